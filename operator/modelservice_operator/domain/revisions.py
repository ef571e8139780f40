"""The record of a revision: what was trained from what, kept in an immutable ControllerRevision."""

from typing import Any

from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.manifest import DataSummary, Signature
from modelservice.contract.report import Metrics, Success


class StoredTemplate(Tolerant):
    """A pod template and the hash of the serving inputs that it was built from.

    While the inputs stay the same, this template is served whatever a newer operator would build: an upgrade of the
    operator restarts no model.
    """

    inputs: str
    template: dict[str, Any]


class Revision(Tolerant):
    """One trained result. ``number`` counts up; ``key`` says what decided the result; ``claim`` holds the artifact."""

    number: int
    key: str
    digest: Sha256
    data_digest: Sha256
    data: DataSummary
    metrics: Metrics
    parameters: int
    artifact_bytes: int
    signature: Signature | None = None
    claim: str
    image: str
    serving: StoredTemplate | None = None

    @classmethod
    def from_success(cls, success: Success, *, number: int, data_digest: str, claim: str, image: str) -> "Revision":
        """The record of a training that ended well."""
        return cls(
            number=number,
            key=success.key,
            digest=success.digest,
            data_digest=data_digest,
            data=success.data,
            metrics=success.metrics,
            parameters=success.parameters,
            artifact_bytes=success.artifact_bytes,
            signature=success.signature,
            claim=claim,
            image=image,
        )
