"""Reading an artifact: everything is hashed before it is parsed, and what was hashed is what is parsed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import MAX_MANIFEST_BYTES, read_file, sha256, size_limit
from modelservice.contract.base import Tolerant
from modelservice.contract.manifest import (
    MANIFEST_FILE,
    PREPROCESSING_FILE,
    SCHEMA_VERSION,
    SIGNATURE_FILE,
    Manifest,
    Signature,
)
from modelservice.data.preprocessing import Preprocessing

Model = TypeVar("Model", bound=BaseModel)

_MAJOR = SCHEMA_VERSION.partition(".")[0]


class _Versioned(Tolerant):
    schema_version: str = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A verified artifact, in memory: ``contents`` are the bytes that were hashed, by file name."""

    digest: str
    manifest: Manifest
    contents: dict[str, bytes]

    def document(self, name: str, model: type[Model]) -> Model:
        """Parse one of its JSON files.

        Raises:
            ArtifactError: the file is not listed, is no such document, or was written by a newer major version.
        """
        if name not in self.contents:
            raise ArtifactError(f"the artifact has no {name}")
        return parse(name, self.contents[name], model)

    @property
    def signature(self) -> Signature:
        """Input columns and labels."""
        return self.document(SIGNATURE_FILE, Signature)

    @property
    def preprocessing(self) -> Preprocessing:
        """How rows become numbers."""
        return self.document(PREPROCESSING_FILE, Preprocessing)


def load(folder: Path, *, digest: str | None = None) -> Artifact:
    """Read and verify a whole artifact.

    Args:
        folder: the artifact.
        digest: what the manifest's sha256 must be, if known.

    Raises:
        ArtifactError: it is not one, or not the wanted one.
    """
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder: train a model first, or name the folder of one")
    raw = read_file(folder / MANIFEST_FILE, limit=MAX_MANIFEST_BYTES)
    found = sha256(raw)
    if digest is not None and found != digest:
        raise ArtifactError(f"the artifact in {folder} has digest {found}, expected {digest}")
    manifest = parse(MANIFEST_FILE, raw, Manifest)
    unlisted = sorted({entry.name for entry in folder.iterdir()} - {MANIFEST_FILE} - manifest.files.keys())
    if unlisted:
        raise ArtifactError(f"{unlisted[0]!r} in {folder} is not listed in the manifest")
    contents = {}
    for name, entry in manifest.files.items():
        content = read_file(folder / name, limit=size_limit(name), expected_size=entry.size)
        if sha256(content) != entry.sha256:
            raise ArtifactError(f"{name} in {folder} is not what the manifest lists: its sha256 differs")
        contents[name] = content
    return Artifact(digest=found, manifest=manifest, contents=contents)


def parse(name: str, raw: bytes, model: type[Model]) -> Model:
    """Parse one document, after a look at its schema version.

    Raises:
        ArtifactError: it is no such document, or was written by a newer major version.
    """
    try:
        version = _Versioned.model_validate_json(raw).schema_version
        if version.partition(".")[0] != _MAJOR:
            raise ArtifactError(
                f"{name} has schema version {version}, this release reads {_MAJOR}.x: use a newer release"
            )
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{name} is not valid: {place or 'document'}: {first['msg']}") from None
