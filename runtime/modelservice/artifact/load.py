"""Reading an artifact: everything is hashed before it is parsed, and what was hashed is what is parsed."""

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.digests import sha256, written
from modelservice.contract.documents import DocumentError, Stored, read_document
from modelservice.contract.manifest import MANIFEST_FILE, REQUIRED_FILES, FileEntry, Manifest
from modelservice.contract.signature import SIGNATURE_FILE, Signature


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A verified artifact, in memory: ``contents`` are the bytes that were hashed, by file name.

    ``manifest_bytes`` are those whose sha256 is the digest; the manifest is not among the files that it lists.
    """

    digest: str
    manifest: Manifest
    manifest_bytes: bytes
    contents: dict[str, bytes]

    def content(self, name: str) -> bytes:
        """The bytes of one of its files.

        Raises:
            ArtifactError: the file is not listed.
        """
        if name not in self.contents:
            raise ArtifactError(f"the artifact has no {name}")
        return self.contents[name]

    def document(self, name: str, model: type[Stored]) -> Stored:
        """Parse one of its JSON files.

        Raises:
            ArtifactError: the file is not listed, is no such document, or was written by a newer major version.
        """
        return parse(name, self.content(name), model)

    @property
    def signature(self) -> Signature:
        """What goes in and what comes out."""
        return self.document(SIGNATURE_FILE, Signature)


class Hashed(NamedTuple):
    """Bytes in memory, and the sha256 of just these."""

    content: bytes
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "Hashed":
        """Of bytes that are there."""
        return cls(content, sha256(content))


def collected(pieces: Iterable[bytes | memoryview]) -> Hashed:
    """Pieces put together and hashed as they come; in memory once, since a buffer gives its bytes without a copy."""
    buffer, state = io.BytesIO(), hashlib.sha256()
    for piece in pieces:
        state.update(piece)
        buffer.write(piece)
    return Hashed(buffer.getvalue(), written(state))


ReadFiles = Callable[[Mapping[str, FileEntry]], Iterable[Hashed]]
"""Gives the contents of listed files in their order, each with its hash; bounds their sizes before it reads."""


def verify(raw: bytes, read: ReadFiles, *, where: str, digest: str | None = None) -> Artifact:
    """Put an artifact together from its manifest, and check each file against it.

    Args:
        raw: the bytes of the manifest.
        read: gives the contents of the listed files.
        where: the address, for messages.
        digest: what the manifest's sha256 must be, if known.

    Raises:
        ArtifactError: it is not one, or not the wanted one.
    """
    is_now = sha256(raw)
    if digest is not None and is_now != digest:
        raise ArtifactError(f"the artifact in {where} has digest {is_now}, expected {digest}")
    manifest = parse(MANIFEST_FILE, raw, Manifest)
    if missing := [name for name in REQUIRED_FILES if name not in manifest.files]:
        raise ArtifactError(f"the manifest of {where} does not list {missing[0]}, which every artifact has")
    contents = {}
    for name, (content, found) in zip(manifest.files, read(manifest.files), strict=True):
        if found != manifest.files[name].sha256:
            raise ArtifactError(f"{name} in {where} is not what the manifest lists: its sha256 differs")
        contents[name] = content
    return Artifact(digest=is_now, manifest=manifest, manifest_bytes=raw, contents=contents)


def parse(name: str, raw: bytes, model: type[Stored]) -> Stored:
    """Parse one document of an artifact, after a look at its kind and schema version.

    Raises:
        ArtifactError: it is no such document, or was written by a newer major version.
    """
    try:
        return read_document(name, raw, model)
    except DocumentError as error:
        raise ArtifactError(str(error)) from None
