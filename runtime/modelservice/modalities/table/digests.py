"""What identifies a row of a table: a hash of its cells and its target."""

import hashlib
from collections.abc import Sequence

from modelservice.modalities.split import framed
from modelservice.modalities.table.kinds.base import Column

_CHUNK = 8192


def row_digests(columns: Sequence[Column], targets: Sequence[bytes], *, seed: int) -> list[bytes]:
    """Hash each row's content: its cells by column name, and the token of its target."""
    ordered = sorted(columns, key=lambda column: column.name)
    prefix = hashlib.blake2b(key=seed.to_bytes(8, "big"), digest_size=16)
    for column in ordered:
        prefix.update(framed(column.name))
    digests = []
    for start in range(0, len(targets), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        for target, *cells in zip(targets[chunk], *(column.tokens(chunk) for column in ordered), strict=True):
            state = prefix.copy()
            state.update(target + b"".join(cells))
            digests.append(state.digest())
    return digests
