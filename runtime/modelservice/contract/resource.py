"""The custom resource as a user writes it: the same model reads it in the cluster and on a laptop."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.base import DNS_LABEL_PATTERN, Contract, Tolerant
from modelservice.contract.data import Data
from modelservice.contract.model import Model
from modelservice.contract.serving import Serving
from modelservice.contract.training import Training

GROUP = "modelservice.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ModelService"
MAX_NAME_LENGTH = 40
"""Leaves room in 63 characters for what child names append."""

ServiceName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH, pattern=DNS_LABEL_PATTERN)]


class ModelServiceSpec(Contract):
    """Data in, a model service out."""

    suspend: bool = Field(
        default=False, description="Stops training, not serving. Default false; true deletes an unfinished Job."
    )
    data: Data = Field(description="What to learn from.")
    model: Model = Field(description="What to train.")
    training: Training = Field(default=Training(), description="How to train.")
    artifacts: Artifacts | None = Field(
        default=None, description="Where trained models are stored. Default: the chart's, else a ReadWriteOnce claim."
    )
    serving: Serving = Field(default=Serving(), description="How to serve.")
    revision_history_limit: int = Field(
        default=5, ge=1, le=50, description="Revisions that are kept, the one being served included. Default 5."
    )


class Metadata(Tolerant):
    """The part of the metadata that means something without a cluster."""

    name: ServiceName
    namespace: str = "default"


class ModelService(Tolerant):
    """A ModelService document; status and other metadata are the cluster's."""

    api_version: Literal["modelservice.dev/v1alpha1"]
    kind: Literal["ModelService"]
    metadata: Metadata
    spec: ModelServiceSpec
