"""The task: what a training pod is told to do, mounted from an immutable ConfigMap."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.data import Data
from modelservice.contract.model import Model
from modelservice.contract.training import Hyperparameters


class Task(Tolerant):
    """One training; the artifact is stored in the folder ``key`` of the artifact store.

    ``data_file`` is relative to the mounted data source. ``data_sha256`` is the digest of the (inflated) content that
    the key was made from, or None for a claim, whose content nobody saw before; a mismatch ends with TRY_AGAIN.
    """

    schema_version: Literal[1] = 1
    name: str
    namespace: str
    key: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,16}$")]
    data_file: str
    data_sha256: Sha256 | None = None
    data: Data
    model: Model
    training: Hyperparameters = Field(default=Hyperparameters())
