"""Dates and times as they are written, read without a guess: one definition for files and requests."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Final, NamedTuple

from modelservice.modalities.table.remembered import Remembered

_TIME = (
    r"(?:[T ] ?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp])[Mm])?"
    r" ?(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_YEAR = r"(?P<year>[0-9]{4})"
_PARTS = r"(?P<first>[0-9]{1,2})(?P<mark>[-/.])(?P<last>[0-9]{1,2})(?P=mark)"
_YEAR_FIRST = (
    re.compile(_YEAR + r"(?P<mark>[-/.])(?P<first>[0-9]{1,2})(?P=mark)(?P<last>[0-9]{1,2})" + _TIME),
    re.compile(_YEAR + r"(?P<first>[0-9]{2})(?P<last>[0-9]{2})" + _TIME),
)
_YEAR_LAST = re.compile(_PARTS + _YEAR + _TIME)
_SHORT_YEAR = re.compile(_PARTS + r"[0-9]{2}" + _TIME)
MARKS: Final = "-/."
"""What may stand between the parts of a date."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOON, _MIDNIGHT = 12, 0


class DateOrder(StrEnum):
    """What stands first where the year stands last: 31/01/2024 or 01/31/2024."""

    DAY = "Day"
    MONTH = "Month"


class Moment(NamedTuple):
    """One date, with a time of day or none (midnight).

    Attributes:
        seconds: since 1970-01-01T00:00, of UTC where there is a zone, of the clock on the wall where there is none.
        weekday: 0 for Monday.
        day: of the year, from 0.
        clock: seconds since midnight.
        timed: whether a time of day is written.
        zoned: whether a zone is written; then weekday, day and clock are those of UTC, too.
    """

    seconds: float
    weekday: int
    day: int
    clock: float
    timed: bool
    zoned: bool


def read_date(text: str, order: DateOrder | None, marks: str = MARKS) -> Moment | None:
    """The moment that a text says; None if it is no date, or one with its year last and no order is known.

    Args:
        text: ISO 8601 or the like, with ``-``, ``/`` or ``.`` between its parts: the year first, or last.
        order: what stands first where the year is last.
        marks: between the parts of dates that have this order; of others with the year last it is not known.
    """
    return _remembered(text, order, marks)


def _read(text: str, order: DateOrder | None, marks: str) -> Moment | None:
    found = _YEAR_FIRST[0].fullmatch(text) or _YEAR_FIRST[1].fullmatch(text)
    if found is not None:
        month, day = found["first"], found["last"]
    elif order is not None and (found := _YEAR_LAST.fullmatch(text)) is not None and found["mark"] in marks:
        first, last = found["first"], found["last"]
        month, day = (last, first) if order is DateOrder.DAY else (first, last)
    else:
        return None
    try:
        hour, minute, second = _clock(found)
        written = datetime(int(found["year"]), int(month), int(day), hour, minute, second, tzinfo=UTC)
        moment = written - _offset(found["zone"])
    except (ValueError, OverflowError):
        return None
    fraction = float(f"0.{found['fraction'] or 0}")
    clock = moment.hour * 3600 + moment.minute * 60 + moment.second + fraction
    return Moment(
        seconds=(moment - _EPOCH).days * 86400 + clock,
        weekday=moment.weekday(),
        day=moment.timetuple().tm_yday - 1,
        clock=clock,
        timed=found["hour"] is not None,
        zoned=found["zone"] is not None,
    )


_remembered = Remembered(_read, most=8192)


def _clock(found: re.Match[str]) -> tuple[int, int, int]:
    hour, half = int(found["hour"] or 0), found["half"]
    if half is not None:
        if not 1 <= hour <= _NOON:
            raise ValueError("hour")
        hour = hour % _NOON + (_NOON if half in "Pp" else _MIDNIGHT)
    return hour, int(found["minute"] or 0), int(found["second"] or 0)


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone in "Zz":
        return timedelta(0)
    sign = -1 if zone[0] == "-" else 1
    # datetime refuses an offset of a day and more, which no place has.
    return timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0))).utcoffset(None)


class Dates(NamedTuple):
    """How the dates of a column are written.

    Attributes:
        order: what stands first in those that have their year last; None where none has.
        marks: those between the parts of these.
        zoned: whether all have a zone.
    """

    order: DateOrder | None
    marks: str
    zoned: bool


class Unclear(NamedTuple):
    """Dates that can be read in two ways: ``text`` is one of them."""

    text: str
    message: str


def is_date(text: str) -> bool:
    """Whether a text is a date in some order."""
    return any(read_date(text, order) is not None for order in DateOrder)


def find_dates(texts: Sequence[str]) -> Dates | Unclear:
    """How texts that are all dates are written.

    What stands first is certain where a number beyond 12 does in one of them; beside points it is the day, since
    nobody writes the month there.
    """
    last = [text for text in texts if read_date(text, None) is None]
    orders = [order for order in DateOrder if all(read_date(text, order) is not None for text in last)]
    if not orders:
        day, month = (next(text for text in last if read_date(text, order) is None) for order in reversed(DateOrder))
        return Unclear(month, f"{day!r} has its day first and {month!r} its month: write all as 2024-01-31")
    marks = {found["mark"] for text in last if (found := _YEAR_LAST.fullmatch(text)) is not None}
    if len(orders) > 1 and marks - {"."}:
        return Unclear(last[0], f"{last[0]!r} may have its day or its month first: write all as 2024-01-31")
    order = orders[0] if last else None
    zones = {moment.zoned: text for text in texts if (moment := read_date(text, order)) is not None}
    if len(zones) > 1:
        return Unclear(zones[False], f"{zones[True]!r} has a zone and {zones[False]!r} has none: write it for all")
    return Dates(order, "".join(sorted(marks)), True in zones)


def has_short_year(text: str) -> bool:
    """Whether a text looks like a date whose year has two digits, which is not read: it may be any of its parts."""
    return _SHORT_YEAR.fullmatch(text) is not None


def most_are_dates(texts: Iterable[str]) -> bool:
    """Whether nine in ten are."""
    found = [is_date(text) for text in texts]
    return 10 * sum(found) >= 9 * len(found) > 0


def exact_text(moment: Moment) -> str:
    """One text for each moment, which is that of ISO 8601 to the second; midnight is the day itself."""
    whole, fraction = divmod(moment.seconds, 1)
    said = date_text(whole, zoned=moment.zoned, timed=moment.clock != 0)
    return f"{said} and {fraction!r}" if fraction else said


def date_text(seconds: float, *, zoned: bool, timed: bool) -> str:
    """A moment in ISO 8601, to the second."""
    moment = _EPOCH + timedelta(seconds=round(seconds))
    if not timed and not zoned:
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat() + ("Z" if zoned else "")
