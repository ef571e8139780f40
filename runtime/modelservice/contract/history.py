"""What a served revision is told of itself and of those before it: a pod asks no apiserver.

It is written once, when the revision is first served, and never again: what is pruned later restarts no pod.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field, FiniteFloat, TypeAdapter

from modelservice.contract.base import Sha256, ShortText, Tolerant
from modelservice.contract.evaluation import Metric

MOST_TOLD: Final = 10
"""Revisions that a pod is told of; the newest."""


class PastRevision(Tolerant):
    """A revision in one line.

    Attributes:
        number: of the revision.
        made: when it was recorded, as the apiserver writes times; None of the one that is told of itself.
        digest: of its artifact.
        data_digest: of what it was trained on.
        rows: of that data.
        metric: the primary one, on the test rows.
        seconds: that its last stage took, from reading to storing.
    """

    number: int = Field(ge=1)
    made: ShortText | None = None
    digest: Sha256
    data_digest: Sha256 | None = None
    rows: int | None = Field(default=None, ge=0)
    metric: Metric | None = None
    seconds: FiniteFloat | None = Field(default=None, ge=0)


History = Annotated[tuple[PastRevision, ...], Field(max_length=MOST_TOLD)]
"""The oldest first; the last one is the revision that is told."""
_HISTORY: Final[TypeAdapter[tuple[PastRevision, ...]]] = TypeAdapter(History)


def write_history(history: Sequence[PastRevision]) -> str:
    """As the command line has it: JSON."""
    return _HISTORY.dump_json(tuple(history), exclude_none=True, by_alias=True).decode()


def read_history(text: str) -> tuple[PastRevision, ...]:
    """What ``write_history`` wrote.

    Raises:
        ValidationError: it is something else.
    """
    return _HISTORY.validate_json(text)
