"""The one layer of an artifact's image: a tar of plain files, the manifest first, the same bytes for the same files.

A reader takes the files in that order as they come, and nothing but files: no link, no folder, no extension of tar.
"""

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from modelservice.artifact.download import Piece
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import MAX_MANIFEST_BYTES, check_size, size_limit
from modelservice.artifact.load import Hashed, collected
from modelservice.artifact.sealing import PLAIN, Form
from modelservice.contract.manifest import KNOWN_FILES, MANIFEST_FILE, FileEntry

MAX_LAYER_BYTES: Final = sum(map(size_limit, KNOWN_FILES)) + MAX_MANIFEST_BYTES + (1 << 30)
"""All files as large as they may be, and room for what encryption and tar put around them."""

_MODE: Final = 0o444
_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK)
_PLAIN_TYPES: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})


def layer_size(sizes: Iterable[int]) -> int:
    """Bytes of a layer whose files have these sizes."""
    return sum(_BLOCK + size + _padding(size) for size in sizes) + len(_END)


def layer_pieces(manifest: bytes, files: Mapping[str, bytes], form: Form = PLAIN) -> Iterator[Piece]:
    """The bytes of a layer, in pieces.

    Args:
        manifest: comes first.
        files: all that it lists, in its order.
        form: how manifest and files are stored.
    """
    for name, content in ((MANIFEST_FILE, manifest), *files.items()):
        size = form.size(len(content))
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, _MODE
        # Files of more than 8 GiB have no size in the older format; of all others the bytes are the same.
        yield member.tobuf(tarfile.GNU_FORMAT)
        yield from form.store(name, [content])
        yield bytes(_padding(size))
    yield _END


class LayerReader:
    """Reads a layer from the beginning to its end; whoever reads hashes, and nothing is believed of a size."""

    def __init__(self, pieces: Iterable[Piece], *, where: str) -> None:
        """Args: the layer's bytes, and its address for messages."""
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")
        self._where = where

    def manifest(self) -> bytes:
        """The first file, as it is stored.

        Raises:
            ArtifactError: it is another one, or too large.
        """
        size = self._begin(MANIFEST_FILE)
        check_size(MANIFEST_FILE, size)
        content = b"".join(self._take(size))
        self._skip(_padding(size))
        return content

    def files(self, listed: Mapping[str, FileEntry], form: Form) -> Iterator[Hashed]:
        """The files in the order in which the manifest lists them, and then the end.

        Raises:
            ArtifactError: something else is there.
        """
        for name, entry in listed.items():
            expected = form.size(entry.size)
            size = self._begin(name)
            check_size(name, size, expected=expected)
            yield collected(form.restore(name, self._take(size)))
            self._skip(_padding(size))
        for piece in (self._rest, *self._pieces):
            if bytes(piece).strip(b"\0"):
                raise ArtifactError(f"the layer in {self._where} holds more than the manifest lists")

    def _begin(self, name: str) -> int:
        """The size of the next file, which must be of this name."""
        header = b"".join(self._take(_BLOCK))
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError):
            raise ArtifactError(f"the layer in {self._where} has no {name} where it should be") from None
        if member.type not in _PLAIN_TYPES:
            raise ArtifactError(f"{member.name!r} in the layer of {self._where} is no plain file")
        if member.name != name:
            raise ArtifactError(f"the layer in {self._where} has {member.name!r} where {name} should be")
        return member.size

    def _skip(self, size: int) -> None:
        for _ in self._take(size):
            pass

    def _take(self, size: int) -> Iterator[Piece]:
        """The next bytes, exactly so many."""
        while size > 0:
            if not self._rest and (piece := next(self._pieces, None)) is not None:
                self._rest = memoryview(piece)
                continue
            if not self._rest:
                raise ArtifactError(f"the layer in {self._where} ends too soon")
            taken, self._rest = self._rest[:size], self._rest[size:]
            size -= len(taken)
            yield taken


def _padding(size: int) -> int:
    return -size % _BLOCK
