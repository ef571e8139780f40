"""Kueue: a Job in a queue of its is suspended until there is room, and again when something else goes first.

The label that names the queue is all that a Job needs. Whether Jobs run is Kueue's to say, and so is where: it may put
selectors and tolerations of the room that it found into a suspended Job.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelservice_operator.constants import LABEL_QUEUE
from modelservice_operator.domain.metadata import controller_uid
from modelservice_operator.objects import Object

QUEUED: Final = "Queued"
"""Reason of what waits in a queue, and the word of ``status.stage``."""


@dataclass(frozen=True, kw_only=True)
class QueueSays:
    """What is known of a Job that waits in a queue.

    Attributes:
        served: whether the cluster has Kueue.
        words: why it waits, empty while Kueue has not said it.
    """

    served: bool = True
    words: str = ""


def queue_of(job: Object) -> str | None:
    """The queue that a Job is in: that of the spec, or one that Kueue gave to all Jobs of the namespace."""
    name: str | None = (job["metadata"].get("labels") or {}).get(LABEL_QUEUE)
    return name or None


def queue_says(workloads: Sequence[Object] | None, *, job_uid: str) -> QueueSays:
    """What Kueue's Workloads tell of a Job: those that it controls, since anybody may label one so.

    Args:
        workloads: with the Job's label; None where the cluster has no Kueue.
        job_uid: of the Job.
    """
    if workloads is None:
        return QueueSays(served=False)
    own = (one for one in workloads if controller_uid(one) == job_uid)
    return QueueSays(words=next(("; ".join(_reasons(one)) for one in own), ""))


def _reasons(workload: Object) -> Iterator[str]:
    """Why a Workload does not run, the latest cause first."""
    status = workload.get("status") or {}
    said = {one["type"]: one for one in status.get("conditions") or ()}
    for kind, wrong in (("Finished", "True"), ("QuotaReserved", "False"), ("Evicted", "True")):
        condition = said.get(kind, {})
        if condition.get("status") == wrong and (words := _squeezed(condition.get("message"))):
            yield words
    checks = (one for one in status.get("admissionChecks") or () if one.get("state") != "Ready")
    for check in checks:
        words = _squeezed(check.get("message"))
        yield f"admission check {check.get('name')} is {check.get('state')}" + (f" ({words})" if words else "")


def _squeezed(message: Any) -> str:
    return " ".join(str(message or "").split())
