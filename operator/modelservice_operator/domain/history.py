"""What the pods of a revision are told of it and of those before it."""

from collections.abc import Sequence

from modelservice.contract.history import MOST_TOLD, PastRevision
from modelservice_operator.domain.records import Revision


def history_of(revision: Revision, recorded: Sequence[Revision]) -> tuple[PastRevision, ...]:
    """The revision, and before it the newest with lower numbers: recorded ones, and those that these were told of."""
    handed_down = (one for other in recorded if other.record.serving for one in other.record.serving.history or ())
    known = {one.number: one for one in handed_down} | {one.number: _told(one) for one in recorded}
    before = [known[number] for number in sorted(known) if number < revision.number]
    return (*before[1 - MOST_TOLD :], _told(revision))


def _told(revision: Revision) -> PastRevision:
    record = revision.record
    return PastRevision(
        number=revision.number,
        made=revision.obj["metadata"].get("creationTimestamp") if revision.obj else None,
        digest=revision.digest,
        data_digest=record.data_digest,
        rows=record.data.rows if record.data else None,
        metric=record.evaluation.primary_metric if record.evaluation else None,
        seconds=record.seconds,
    )
