"""Who is compared with whom."""

from typing import Final

from tests.bench.quality.gluon import AUTOGLUON
from tests.bench.quality.ours import OURS
from tests.bench.quality.prediction import Candidate
from tests.bench.quality.scikit import SCIKIT

CANDIDATES: Final[tuple[Candidate, ...]] = (*OURS, *SCIKIT)
"""In the order of the report."""

EVERY: Final = (*CANDIDATES, AUTOGLUON)
"""With those that are optional."""

RIVALS: Final = tuple(candidate.name for candidate in SCIKIT)
"""The best of these, chosen for each table in hindsight, is what ours is measured against."""


def candidate_named(name: str) -> Candidate:
    """The candidate of that name.

    Raises:
        KeyError: there is none.
    """
    for candidate in EVERY:
        if candidate.name == name:
            return candidate
    raise KeyError(f"there is no candidate {name!r}: choose of {', '.join(one.name for one in EVERY)}")
