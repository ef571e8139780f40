"""What identifies a row of a table: a hash of its cells and its target."""

import hashlib
from collections.abc import Iterator, Sequence

from modelservice.cells import MISSING_WORDS, as_number
from modelservice.modalities.split import MISSING, framed, number_token
from modelservice.modalities.table.columns import Column, NumericColumn

_CHUNK = 8192


def row_digests(columns: Sequence[Column], targets: Sequence[bytes], *, seed: int) -> list[bytes]:
    """Hash each row's content: its cells by column name, and the token of its target.

    A cell that is a number counts as that number however it is written and whatever the rest of its column holds, so
    that rows appended later cannot change the hash of the others.
    """
    ordered = sorted(columns, key=lambda column: column.name)
    prefix = hashlib.blake2b(key=seed.to_bytes(8, "big"), digest_size=16)
    for column in ordered:
        prefix.update(framed(column.name))
    digests = []
    for start in range(0, len(targets), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        for target, *cells in zip(targets[chunk], *(_tokens(column, chunk) for column in ordered), strict=True):
            state = prefix.copy()
            state.update(target + b"".join(cells))
            digests.append(state.digest())
    return digests


def _tokens(column: Column, rows: slice) -> Iterator[bytes]:
    if isinstance(column, NumericColumn):
        return (number_token(value) for value in column.values[rows].tolist())
    tokens = [*map(_text_token, column.texts), MISSING]
    return (tokens[code] for code in column.codes[rows].tolist())


def _text_token(text: str) -> bytes:
    if text.lower() in MISSING_WORDS:
        return MISSING
    try:
        return number_token(as_number(text))
    except ValueError:
        return b"t" + framed(text)
