"""``retry``: another attempt at what failed for good; pure.

An attempt is a Job whose name says all that it is told, and the operator makes what is not there: so a failed one is
tried again once it is deleted, as its status says, and no field changes that Git would change back. Pods of a rollout
that was taken back are judged by what they are told: another annotation of theirs is another rollout of the same model.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from modelservice.cluster.access import STAGE_LABEL, Object
from modelservice.cluster.errors import ClusterError
from modelservice.cluster.tree import condition

RETRY_ANNOTATION: Final = "modelservice.dev/retry"
"""Of serving pods: how often a person asked for another rollout."""
_STAGES: Final = {"Fetched": "fetch", "Trained": "train", "Compressed": "compress", "Promoted": "compare"}
"""Conditions that one stage decides; DataReady is decided by whichever reads the data."""
_DATA: Final = "DataReady"
_ROLLED_BACK: Final = "RolledBack"
_UNREADABLE: Final = "ReportUnreadable"
"""A Job ended well, and said nothing that can be read: the one failure whose Job did not fail."""


class Retry(NamedTuple):
    """What starts another attempt: a Job that is deleted, or a change of the spec; and what comes of it in a sentence.

    ``uid`` is that of the Job, so that no other one of the same name is deleted.
    """

    said: str
    job: str | None = None
    uid: str | None = None
    change: dict[str, Any] | None = None


def retry(service: Mapping[str, Any], jobs: Sequence[Object] = ()) -> Retry:
    """Begin another attempt at the stage, or the rollout, that waits for a person.

    Args:
        service: the ModelService.
        jobs: its Jobs.

    Raises:
        ClusterError: nothing failed for good, or what failed is no attempt, such as a spec that is refused.
    """
    name, spec = service["metadata"]["name"], service.get("spec", {})
    ready = condition(service, "Ready")
    if not ready or ready.get("observedGeneration", 0) < service["metadata"].get("generation", 0):
        raise ClusterError(f"the operator has not looked at the newest spec of {name} yet: wait a moment")
    if ready["status"] == "True":
        raise ClusterError(f"nothing failed: {name} is Ready")
    why = f"{ready['reason']}: {ready['message']}"
    if condition(service, "Stalled").get("status") != "True":
        raise ClusterError(f"nothing failed for good, {name} goes on by itself: {why}")
    if ready["reason"] == _ROLLED_BACK:
        return Retry(f"the rollout that was taken back is tried again; it was {why}", change=_again(spec))
    failed = _failed_job(service, ready, jobs)
    if failed is None:
        raise ClusterError(f"no attempt failed, so another one would change nothing: {why}")
    metadata = failed["metadata"]
    said = f"Job {metadata['name']} goes with its log, and its stage is tried again; it was {why}"
    if spec.get("suspend"):
        said += "; spec.suspend keeps it from starting until it is false"
    return Retry(said, job=metadata["name"], uid=metadata["uid"])


def _failed_job(service: Mapping[str, Any], ready: Mapping[str, Any], jobs: Sequence[Object]) -> Object | None:
    """The Job that is why nothing goes on; None where none is. The one that Ready names comes before a newer one."""
    kinds = [kind for kind in (_DATA, *_STAGES) if condition(service, kind).get("reason") == ready["reason"]]
    stages = set(_STAGES.values()) if _DATA in kinds else {_STAGES[kind] for kind in kinds}
    # The operator goes by the pod of an attempt, which ends a moment before its Job is said to have failed.
    well = ready["reason"] == _UNREADABLE
    found = [
        job for job in jobs if job["metadata"].get("labels", {}).get(STAGE_LABEL) in stages and _ended_well(job) == well
    ]

    def last(job: Object) -> tuple[bool, str]:
        metadata = job["metadata"]
        return metadata["name"] in ready["message"], str(metadata.get("creationTimestamp", ""))

    return max(found, key=last, default=None)


def _ended_well(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)


def _again(spec: Mapping[str, Any]) -> dict[str, Any]:
    pods = (spec.get("serving") or {}).get("podMetadata") or {}
    asked = str((pods.get("annotations") or {}).get(RETRY_ANNOTATION, ""))
    count = int(asked) + 1 if asked.isascii() and asked.isdecimal() else 1
    return {"spec": {"serving": {"podMetadata": {"annotations": {RETRY_ANNOTATION: str(count)}}}}}
