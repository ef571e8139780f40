"""The work order: what the pod of a stage is told to do, mounted from an immutable ConfigMap."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from modelservice.contract.artifact_source import ArtifactSource
from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.compression import Compression
from modelservice.contract.data import Data
from modelservice.contract.documents import Document
from modelservice.contract.encoders import PretrainedModel
from modelservice.contract.locations import RelativePath
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.model import Model
from modelservice.contract.task import Task
from modelservice.contract.training import Checkpoint, Hyperparameters, Parallelism

KEY_PATTERN: Final = r"^[a-z0-9]{1,16}$"

Key = Annotated[str, StringConstraints(pattern=KEY_PATTERN)]


def _stays_inside(path: str) -> str:
    if {".", ".."} & set(path.split("/")):
        raise ValueError("must stay inside the mounted data")
    return path


class DataWork(Tolerant):
    """The data that a stage reads, for each stage in the same way.

    ``data_file`` is relative to the mounted data source, None where ``data.uri`` says all. ``data_sha256`` is the
    digest of the (inflated) content that the key was made from, or None for a claim and a URI, whose content nobody saw
    before; a mismatch is to be tried again.
    """

    data_file: Annotated[RelativePath, AfterValidator(_stays_inside)] | None = None
    data_sha256: Sha256 | None = None
    data: Data
    task: Task | None = None


class TrainWork(DataWork):
    """Train a model, ``workers`` pods together, as ``parallelism`` says.

    ``compressed`` says that a compression follows, and ``compressed_metric`` what its budget is of (None for the
    primary metric), so that what it cannot do fails before the training. ``encoder`` is the address of the service that
    ``model.encoder.service`` names.
    """

    stage: Literal["train"] = "train"
    model: Model
    training: Hyperparameters = Field(default=Hyperparameters())
    checkpoint: Checkpoint = Field(default=Checkpoint())
    compressed: bool = False
    compressed_metric: KnownMetric | None = None
    workers: int = 1
    parallelism: Parallelism = Parallelism.DATA
    encoder: str | None = None


class CompressWork(DataWork):
    """Make the model of an artifact smaller; the data's test rows judge what that costs.

    ``parent`` is where the artifact lies, a folder or a URI that ends with its key.
    """

    stage: Literal["compress"] = "compress"
    parent: str
    parent_digest: Sha256
    compression: Compression


class CompareWork(DataWork):
    """Score two artifacts on test rows from which neither learned; nothing is stored, the report says it all.

    ``candidate`` and ``current`` are where they lie, folders or URIs; ``revision`` is the number of the current one.
    """

    stage: Literal["compare"] = "compare"
    candidate: str
    candidate_digest: Sha256
    current: str
    current_digest: Sha256
    revision: int
    metrics: Annotated[tuple[KnownMetric, ...], Field(min_length=1)]


class FetchWork(Tolerant):
    """Take over what was made elsewhere: ``source`` byte for byte, or ``pretrained`` as a graph. One of them is set.

    ``file`` is the folder below the mounted claim, None of what is fetched by its URI; ``field`` of the spec names it.
    """

    stage: Literal["fetch"] = "fetch"
    source: ArtifactSource | None = None
    pretrained: PretrainedModel | None = None
    file: Annotated[RelativePath, AfterValidator(_stays_inside)] | None = None
    field: str

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.source is None) == (self.pretrained is None):
            raise ValueError("a fetch is of source or of pretrained")
        return self

    @property
    def uri(self) -> str:
        """Where it lies."""
        chosen = self.source or self.pretrained
        assert chosen is not None  # noqa: S101 - validated
        return chosen.uri


class WorkOrder(Document):
    """One run of one stage; ``artifact`` is where the result is to be stored: a folder or a URI that ends with the key.

    A reader opens either with ``modelservice.artifact.stores``. It is empty where there is nothing to store.
    """

    kind: Literal["WorkOrder"] = "WorkOrder"
    name: str
    namespace: str
    key: Key
    artifact: str
    work: Annotated[TrainWork | CompressWork | CompareWork | FetchWork, Field(discriminator="stage")]
