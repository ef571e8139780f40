"""The artifact's own description: ``manifest.json`` and ``signature.json``.

Nothing in an artifact depends on the time or the machine's name, so the same training gives the same digest.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from modelservice.contract.base import Sha256, Tolerant

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "signature.json"
PREPROCESSING_FILE = "preprocessing.json"
ARCHITECTURE_FILE = "architecture.json"
WEIGHTS_FILE = "weights.safetensors"
METRICS_FILE = "metrics.json"

SCHEMA_VERSION = "1.0"
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]{0,127}$")]


class FileEntry(Tolerant):
    """Digest and size in bytes of one file; a reader hashes before it parses."""

    sha256: Sha256
    size: int = Field(ge=0, le=2**40)


class Producer(Tolerant):
    """Versions of what wrote the artifact."""

    modelservice: str
    python: str
    torch: str


class DataSummary(Tolerant):
    """The table that was read: its digest, its size, and what was noticed on the way."""

    sha256: Sha256
    rows: int
    features: int
    classes: int
    notes: tuple[str, ...] = ()


class Manifest(Tolerant):
    """Everything an artifact consists of; the artifact's digest is the sha256 of this file's bytes.

    A reader refuses another major ``schema_version`` and any file, link or folder that is not listed.
    """

    schema_version: str = SCHEMA_VERSION
    name: str
    key: str
    parent: Sha256 | None = None
    producer: Producer
    data: DataSummary
    parameters: int = Field(ge=0, description="Number of trained parameters.")
    files: Annotated[dict[FileName, FileEntry], Field(min_length=1, max_length=64)]


class ColumnKind(StrEnum):
    """How a column is read."""

    NUMERIC = "Numeric"
    CATEGORICAL = "Categorical"


class InputColumn(Tolerant):
    """One input column, in the order in which rows given as arrays list it.

    ``example`` is a median or a mode, never a real row; ``categories`` are the texts seen in training.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    example: float | str


class Signature(Tolerant):
    """What goes into the model and what comes out: columns in order, and the class labels in order."""

    target: str
    inputs: tuple[InputColumn, ...]
    labels: tuple[str, ...]
