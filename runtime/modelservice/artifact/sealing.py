"""Files encrypted at rest: AES-256-GCM in chunks, so that any size takes little memory and no chunk can be moved.

This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015), as age and Tink use it. A file is a header and chunks::

    header  "MSVCSEA1" | id of the key, 16 bytes | random salt, 32 bytes
    chunk   AES-256-GCM(1 MiB, of the last one 1 byte to 1 MiB, of an empty file none) and its tag, 16 bytes

Each file has a key of its own, HKDF-SHA256 of the key and the salt, so that no nonce comes twice. The nonce is the
number of the chunk (11 bytes) and whether it is the last one (1 byte); header and name of the file are authenticated
with each chunk. So a file that is cut, lengthened, reordered, or put under another name is refused.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from modelservice.artifact.download import Piece
from modelservice.artifact.errors import ArtifactError
from modelservice.contract.digests import digits

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
ID_BYTES: Final = 16
CHUNK_BYTES: Final = 1 << 20

_MAGIC: Final = b"MSVCSEA1"
_SALT_BYTES: Final = 32
_HEADER_BYTES: Final = len(_MAGIC) + ID_BYTES + _SALT_BYTES
_TAG_BYTES: Final = 16
_FILE_KEY: Final = b"modelservice file"
_KEY_ID: Final = b"modelservice key id"
_NAMES: Final = b"modelservice names"


class Form(Protocol):
    """How the files of an artifact are stored."""

    def size(self, size: int) -> int:
        """Bytes that are stored of a content of so many."""

    def identify(self, digest: str) -> str:
        """64 hexadecimal digits that stand for the content of a digest, where others can read them."""

    def store(self, name: str, content: Iterable[Piece]) -> Iterable[Piece]:
        """What is stored of the content of a file."""

    def restore(self, name: str, stored: Iterable[Piece]) -> Iterable[Piece]:
        """The content of what is stored.

        Raises:
            ArtifactError: it was changed, or is another file.
        """


class Plain:
    """As it is; see ``Form``."""

    def size(self, size: int) -> int:
        """The same."""
        return size

    def identify(self, digest: str) -> str:
        """The digest's own."""
        return digits(digest)

    def store(self, name: str, content: Iterable[Piece]) -> Iterable[Piece]:
        """The same."""
        del name
        return content

    def restore(self, name: str, stored: Iterable[Piece]) -> Iterable[Piece]:
        """The same."""
        del name
        return stored


PLAIN: Final = Plain()


class Sealed:
    """Encrypted with one key; see ``Form``."""

    def __init__(self, key: bytes) -> None:
        """Args: 32 bytes."""
        self._key = key
        self.key_id = derived(key, _KEY_ID)[:ID_BYTES]
        self._names = derived(key, _NAMES)

    def size(self, size: int) -> int:
        """With header and tags."""
        chunks = max(1, -(-size // CHUNK_BYTES))
        return _HEADER_BYTES + size + chunks * _TAG_BYTES

    def identify(self, digest: str) -> str:
        """A keyed hash: who lacks the key can neither tell a known content nor what two keys share."""
        return hmac.new(self._names, digits(digest).encode(), hashlib.sha256).hexdigest()

    def store(self, name: str, content: Iterable[Piece]) -> Iterator[Piece]:
        """The header, then chunk after chunk."""
        header = _MAGIC + self.key_id + os.urandom(_SALT_BYTES)
        encrypt, bound = self._cipher(header).encrypt, header + name.encode()
        yield header
        for number, (chunk, last) in enumerate(_blocks(content, CHUNK_BYTES)):
            yield encrypt(_nonce(number, last=last), chunk, bound)

    def restore(self, name: str, stored: Iterable[Piece]) -> Iterator[Piece]:
        """Chunk after chunk, each given once it is authentic."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - used by few

        pieces = iter(stored)
        header, rest = _split(pieces)
        if not header.startswith(_MAGIC + self.key_id):
            raise ArtifactError(f"{name} is not encrypted as its manifest is")
        decrypt, bound = self._cipher(header).decrypt, header + name.encode()
        try:
            for number, (chunk, last) in enumerate(_blocks(_chained(rest, pieces), CHUNK_BYTES + _TAG_BYTES)):
                yield decrypt(_nonce(number, last=last), chunk, bound)
        except InvalidTag:
            raise ArtifactError(f"{name} was changed since it was encrypted, or is another file") from None

    def _cipher(self, header: bytes) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - used by few

        return AESGCM(derived(self._key, _FILE_KEY, salt=header[-_SALT_BYTES:]))


def sealed_with(stored: bytes) -> bytes | None:
    """The id of the key that a file was encrypted with, given its beginning; None where it is not encrypted."""
    return stored[len(_MAGIC) : len(_MAGIC) + ID_BYTES] if stored.startswith(_MAGIC) else None


def derived(key: bytes, purpose: bytes, *, salt: bytes | None = None) -> bytes:
    """32 bytes that follow from a key for one purpose (HKDF-SHA256, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - used by few
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=purpose).derive(key)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _blocks(pieces: Iterable[Piece], size: int) -> Iterator[tuple[bytes, bool]]:
    """The same bytes in blocks of one size, and whether it is the last one, which may be shorter; at least one."""
    held = bytearray()
    for piece in pieces:
        view = memoryview(piece).cast("B")
        for begin in range(0, len(view), size):
            held += view[begin : begin + size]
            while len(held) > size:
                yield bytes(memoryview(held)[:size]), False
                del held[:size]
    yield bytes(held), True


def _split(pieces: Iterator[Piece]) -> tuple[bytes, bytes]:
    """The header, and what came with it."""
    held = b""
    while len(held) < _HEADER_BYTES and (piece := next(pieces, None)) is not None:
        held += piece
    return held[:_HEADER_BYTES], held[_HEADER_BYTES:]


def _chained(first: bytes, pieces: Iterator[Piece]) -> Iterator[Piece]:
    yield first
    yield from pieces
