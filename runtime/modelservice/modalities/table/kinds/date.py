"""Columns of dates and times: the trend, the season, the weekday and the time of day, as far as training rows vary."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, FiniteFloat, StringConstraints, model_validator

from modelservice.cells import quoted
from modelservice.contract.data import ColumnType
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnContent, ColumnKind, InputColumn
from modelservice.modalities.base import Features, Variable
from modelservice.modalities.errors import InputError
from modelservice.modalities.table.dates import (
    MARKS,
    DateOrder,
    Dates,
    Moment,
    Unclear,
    date_text,
    exact_text,
    find_dates,
    is_date,
    most_are_dates,
    read_date,
)
from modelservice.modalities.table.kinds.base import (
    FEWEST_ROWS,
    SMALL,
    ULPS,
    ColumnEncoder,
    ColumnPreprocessing,
    Kind,
    RawColumn,
    Useless,
    Values,
    is_missing,
    side,
    text_at,
    told_missing,
)
from modelservice.modalities.table.kinds.texts import Texts, texts_of, unvaried
from modelservice.modalities.table.written import FEW_TEXTS

_YEAR, _DAY = 2 * math.pi / 365.2425, 2 * math.pi / 86400
_SECOND = 1
_UNITS: Final = (86400, 3600, 60, _SECOND)
"""Seconds of a day, an hour, a minute."""
_NOISE = 1e-9
"""What a part differs by where it does not vary: rounding."""


class DatePart(StrEnum):
    """A number that a date becomes."""

    TREND = "Trend"
    YEAR_SINE = "YearSine"
    YEAR_COSINE = "YearCosine"
    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"
    DAY_SINE = "DaySine"
    DAY_COSINE = "DayCosine"


def _is_weekday(moment: Moment, weekday: int) -> float:
    return float(moment.weekday == weekday)


_WEEKDAYS = tuple(DatePart)[tuple(DatePart).index(DatePart.MONDAY) :][:7]
# math, not numpy, whose sine of one number need not be that of many to the last bit.
_MEASURES: Final[dict[DatePart, Callable[[Moment], float]]] = {
    DatePart.TREND: lambda moment: moment.seconds,
    DatePart.YEAR_SINE: lambda moment: math.sin(moment.day * _YEAR),
    DatePart.YEAR_COSINE: lambda moment: math.cos(moment.day * _YEAR),
    **{part: partial(_is_weekday, weekday=weekday) for weekday, part in enumerate(_WEEKDAYS)},
    DatePart.DAY_SINE: lambda moment: math.sin(moment.clock * _DAY),
    DatePart.DAY_COSINE: lambda moment: math.cos(moment.clock * _DAY),
}


class DatePreprocessing(ColumnPreprocessing):
    """How the dates of a column are written, and their parts that vary in the training rows.

    Attributes:
        order: what stands first where the year stands last; None where no date of training had it last.
        marks: those between the parts of dates with the year last, for which the order is known.
        zoned: whether all have a zone, or none.
        mean: of the trend, in seconds since 1970.
        std: of the trend, in seconds.
        parts: the numbers that a date becomes, in this order; the trend is standardised.
        fill: what stands in for each part of a missing date: its mean.
        indicator: whether one more number says that a date is missing.
    """

    kind: Literal["Date"] = "Date"
    order: DateOrder | None = None
    marks: Annotated[str, StringConstraints(max_length=len(MARKS))] = Field(
        default=MARKS, exclude_if=lambda marks: marks == MARKS
    )
    zoned: bool
    mean: FiniteFloat
    std: Annotated[FiniteFloat, Field(gt=0)]
    parts: Annotated[tuple[DatePart, ...], Field(max_length=len(DatePart))]
    fill: Annotated[tuple[FiniteFloat, ...], Field(max_length=len(DatePart))]
    indicator: bool = Field(default=False, exclude_if=lambda said: not said)
    example: str

    @model_validator(mode="after")
    def _fill_for_each_part(self) -> Self:
        if len(self.fill) != len(self.parts):
            raise ValueError(f"fill has {len(self.fill)} numbers for {len(self.parts)} parts")
        return self

    @property
    def width(self) -> int:
        """One for each part, and one more with the indicator."""
        return len(self.parts) + self.indicator

    @property
    def layout(self) -> str:
        """See ``ColumnPreprocessing``."""
        return ", ".join((*self.parts, *["missing"] * self.indicator))

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=ColumnKind.CATEGORY, content=ColumnContent.DATE, example=self.example)

    def condition(self, place: int, threshold: float, *, value: float, said: float | str | None) -> str:
        """See ``ColumnPreprocessing``; moments are told to the second, season and time of day by their sines."""
        if place == len(self.parts):
            return told_missing(value)
        part, on = self.parts[place], side(value, threshold)
        if part is DatePart.TREND:
            condition = f"{on} {self._moment(threshold, said, left=value <= threshold)}"
        elif part in _WEEKDAYS and value in {0.0, 1.0}:
            condition = f"is a {part}" if value else f"is no {part}"
        else:
            condition = f"{part} {on} {threshold:.6g}"
        # In the place of a missing date stands the mean of each part.
        return f"is missing, and counts as one that {condition}" if is_missing(said) else condition

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:
        """Dates as the file has them, or of ISO 8601."""
        return _Parts(self, words)

    def _moment(self, threshold: float, said: float | str | None, *, left: bool) -> str:
        """The roundest moment that lies within float32's precision of a trend, on its side of the date."""
        seconds, own = threshold * self.std + self.mean, self.mean if is_missing(said) else float(said or 0)
        close = max(_SECOND / 2, ULPS * max(abs(threshold), SMALL) * self.std)
        near = (round(seconds / unit) * float(unit) for unit in _UNITS)
        rounded = (one for one in near if abs(one - seconds) <= close and (own <= one) == left)
        moment = next(rounded, float(math.ceil(own) if left else math.ceil(own) - _SECOND))
        return date_text(moment, zoned=self.zoned, timed=moment % _UNITS[0] != 0)


class _Parts(NamedTuple):
    stored: DatePreprocessing
    words: frozenset[str]
    linear: None = None

    def encode(self, values: Values, target: Features) -> int:
        missing = (*self.stored.fill, 1.0) if self.stored.indicator else self.stored.fill
        for row, value in enumerate(values):
            moment = self._moment_at(value, row)
            target[row] = missing if moment is None else self._numbers(moment)
        return 0

    def check(self, value: Any, row: int) -> None:
        self._moment_at(value, row)

    def measure(self, values: Values) -> list[float]:
        moments = (self._moment_at(value, row) for row, value in enumerate(values))
        return [math.nan if moment is None else moment.seconds for moment in moments]

    def _numbers(self, moment: Moment) -> list[float]:
        stored = self.stored
        numbers = [_MEASURES[part](moment) for part in stored.parts]
        if DatePart.TREND in stored.parts:
            at = stored.parts.index(DatePart.TREND)
            numbers[at] = (numbers[at] - stored.mean) / stored.std
        return [*numbers, 0.0] if stored.indicator else numbers

    def _moment_at(self, value: Any, row: int) -> Moment | None:
        text = text_at(value, row, self.stored.name)
        if text is None or text.lower() in self.words:
            return None
        moment = read_date(text, self.stored.order, self.stored.marks)
        if moment is None:
            what = "is not a date"
            if read_date(text, self.stored.order) is not None:
                what = "has other marks than the dates that were learned from: its day or its month may be first"
            expected = f"expected one such as {self.stored.example}"
            raise InputError(f"{quoted(value)} {what}; {expected}", row=row, column=self.stored.name)
        if moment.zoned != self.stored.zoned:
            has, other = ("has a zone", "have none") if moment.zoned else ("has no zone", "have one")
            message = f"{quoted(value)} {has}, and the dates that were learned from {other}"
            raise InputError(message, row=row, column=self.stored.name)
        return moment


@dataclass(frozen=True, kw_only=True, eq=False)
class DateColumn(Texts):
    """Each text that a row has is a date, written as ``dates`` says."""

    dates: Dates

    def useless(self) -> Useless | None:
        """It is empty, or constant without a gap."""
        return unvaried(len({moment.seconds for moment in self._moments()}), self.missing)

    def refusal(self) -> DataError | None:
        """None: dates can always be learned from."""
        return None

    @property
    def told_apart_by(self) -> str:
        """What stands first in a date, too: 01/02/2024 is one or another."""
        return f"{super().told_apart_by}, {self.dates.order}"

    def meaning(self, text: str) -> str:
        """The moment in ISO 8601."""
        moment = read_date(text, self.dates.order)
        return text if moment is None else exact_text(moment)

    def notes(self) -> Iterator[str]:
        """How a date that is not of ISO 8601 is read."""
        if self.dates.order is None:
            return
        text = next(text for text in self.texts if read_date(text, None) is None and is_date(text))
        moment = read_date(text, self.dates.order)
        if moment is not None:
            said = date_text(moment.seconds, zoned=moment.zoned, timed=moment.timed)
            yield f"column {self.name}: {text} is read as the date {said}"

    def example(self) -> str:
        """The median, the earlier of two."""
        moments = sorted(self._moments())
        if not moments:
            return ""
        timed = any(moment.timed for moment in moments)
        return date_text(moments[(len(moments) - 1) // 2].seconds, zoned=self.dates.zoned, timed=timed)

    def fit(self) -> DatePreprocessing:
        """The parts that vary in its rows, and their means."""
        moments = self._moments()
        measured = {part: np.array([measure(moment) for moment in moments]) for part, measure in _MEASURES.items()}
        parts = tuple(part for part, numbers in measured.items() if len(numbers) and np.ptp(numbers) > _NOISE)
        seconds = measured[DatePart.TREND]
        return DatePreprocessing(
            name=self.name,
            order=self.dates.order,
            marks=self.dates.marks if self.dates.order else MARKS,
            zoned=self.dates.zoned,
            mean=float(seconds.mean()) if len(seconds) else 0.0,
            std=(float(seconds.std()) if len(seconds) else 0.0) or 1.0,
            parts=parts,
            fill=tuple(0.0 if part is DatePart.TREND else float(measured[part].mean()) for part in parts),
            indicator=FEWEST_ROWS <= self.missing < self.rows,
            example=self.example(),
        )

    def variable(self) -> Variable:
        """When they are."""
        read = [read_date(text, self.dates.order) for text in self.texts]
        seconds = np.array([*(math.nan if moment is None else moment.seconds for moment in read), math.nan])
        return Variable(seconds[self.codes], unit="seconds since 1970")

    def _moments(self) -> list[Moment]:
        """Those of the rows that have one."""
        read = [read_date(text, self.dates.order) for text in self.texts]
        found = (read[code] for code in self.codes[self.codes >= 0])
        return [moment for moment in found if moment is not None]


def _read(raw: RawColumn) -> DateColumn | None:
    if raw.declared is None and (raw.floats is not None or raw.plain):
        return None
    texts = [text for text in raw.cells.texts if text.lower() not in raw.words]
    if raw.declared is None and not most_are_dates(texts):
        return None
    if wrong := [text for text in texts if not is_date(text)]:
        # Few texts of which some are no dates are categories; of many, each date would be one.
        if raw.declared is None and len(texts) <= FEW_TEXTS:
            return None
        raise _not_a_date(raw, wrong[0])
    dates = find_dates(texts)
    if isinstance(dates, Unclear):
        if raw.declared is None:
            return None
        where = f"{raw.cells.place_of(dates.text)}, column {raw.name}"
        raise DataError("DateNotClear", f"{where}: {dates.message}")
    return DateColumn(**texts_of(raw), dates=dates).without_words()


def _not_a_date(raw: RawColumn, text: str) -> DataError:
    why = "most values of this column are" if raw.declared is None else "spec.data.columns says Date"
    return DataError(
        "NotADate",
        f"{raw.cells.place_of(text)}, column {raw.name}: {quoted(text)} is not a date, but {why}: write it as"
        " 2024-01-31, or leave it empty if it is not known",
    )


DATE: Final = Kind(name="Date", document=DatePreprocessing, read=_read, type=ColumnType.DATE)
