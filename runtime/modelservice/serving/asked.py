"""What a request asks besides its rows, whatever protocol carries it: by these names, with these values."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from modelservice.contract.signature import ColumnKind
from modelservice.modalities.base import STRICT, Rows, Tolerance
from modelservice.modalities.tensors import describe
from modelservice.serving.errors import RequestError
from modelservice.serving.model import ServedModel, unlike_by_row

UNSEEN: Final = "unseen"
"""Tell for each row the columns whose category training never saw."""
FAR: Final = "far"
"""Tell for each row the columns whose number is far from those of training."""
UNKNOWN_COLUMNS: Final = "unknown_columns"
MISSING_COLUMNS: Final = "missing_columns"
TIMEOUT: Final = "timeout"
"""Microseconds, as Triton's clients send them."""
MAX_TIMEOUT: Final = 3_600_000_000
NAMES: Final = frozenset({UNSEEN, FAR, UNKNOWN_COLUMNS, MISSING_COLUMNS, TIMEOUT})
_KINDS: Final = {UNSEEN: ColumnKind.CATEGORY, FAR: ColumnKind.NUMBER}
_TOLERATED: Final = {UNKNOWN_COLUMNS: "Ignore", MISSING_COLUMNS: "Missing"}
_REFUSED: Final = "Error"


class Asked(NamedTuple):
    """What is told of the rows beside their answers, what is tolerated in them, and how many seconds they may wait."""

    told: tuple[str, ...] = ()
    tolerance: Tolerance = STRICT
    timeout: float | None = None


NOTHING: Final = Asked()


def read_asked(given: Mapping[str, Any], tolerance: Tolerance = STRICT, place: str = "") -> Asked:
    """What the members of a request ask; those of other names are not looked at.

    Args:
        given: members by name.
        tolerance: what is tolerated where the request does not say.
        place: what stands before a name in messages.

    Raises:
        RequestError: one of them has no such value.
    """
    if NAMES.isdisjoint(given):
        return NOTHING if tolerance.strict else Asked(tolerance=tolerance)
    told = tuple(name for name in _KINDS if _is_true(given.get(name, False), f"{place}{name}"))
    unknown = _is_tolerated(given, UNKNOWN_COLUMNS, place, default=tolerance.unknown)
    missing = _is_tolerated(given, MISSING_COLUMNS, place, default=tolerance.missing)
    timeout = _seconds(given.get(TIMEOUT, 0), f"{place}{TIMEOUT}")
    return Asked(told, tolerance._replace(unknown=unknown, missing=missing), timeout)


def tell(model: ServedModel, rows: Rows, asked: Asked) -> dict[str, list[list[str]]]:
    """What was asked to be told of the rows: by name, for each row the columns that it is true of."""
    return {name: unlike_by_row(model, rows, _KINDS[name]) for name in asked.told}


def _is_true(said: Any, place: str) -> bool:
    if isinstance(said, bool):
        return said
    raise RequestError(f"{place}: must be true or false, not {describe(said)}")


def _seconds(said: Any, place: str) -> float | None:
    if type(said) is int and 0 <= said <= MAX_TIMEOUT:
        return said / 1e6 or None
    expected = f"microseconds, a whole number up to {MAX_TIMEOUT}, or 0 for none"
    raise RequestError(f"{place}: must be {expected}, not {describe(said)}")


def _is_tolerated(given: Mapping[str, Any], name: str, place: str, *, default: bool) -> bool:
    if name not in given:
        return default
    said, tolerated = given[name], _TOLERATED[name]
    if not isinstance(said, str) or said not in {_REFUSED, tolerated}:
        raise RequestError(f"{place}{name}: must be {_REFUSED} or {tolerated}, not {describe(said)}")
    return said == tolerated
