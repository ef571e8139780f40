"""What an artifact says of itself, as one JSON object."""

from typing import Any

from modelservice.artifact.load import Artifact
from modelservice.contract.manifest import METRICS_FILE
from modelservice.tasks.metrics_document import MetricsDocument


def describe(artifact: Artifact) -> dict[str, Any]:
    """Digest, manifest, signature and metrics of an artifact; what it tells of the data's values is not among them.

    ``metrics`` are None where the artifact has none, and without the curves of its epochs.

    Raises:
        ArtifactError: one of its documents is not valid.
    """
    metrics = artifact.document(METRICS_FILE, MetricsDocument) if METRICS_FILE in artifact.contents else None
    return {
        "digest": artifact.digest,
        "manifest": artifact.manifest.model_dump(mode="json"),
        "signature": artifact.signature.model_dump(mode="json"),
        "metrics": None if metrics is None else metrics.model_dump(mode="json", exclude={"curves"}),
    }
