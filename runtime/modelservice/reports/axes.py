"""Where numbers lie in a picture, and the round ones that are written beside an axis."""

import math
from dataclasses import dataclass

from modelservice.reports.svg import Picture

_STEPS = (1, 2, 2.5, 5, 10)
_WANTED = 5
_TICK = 4
_EQUAL = 1e-9


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Numbers from ``low`` to ``high`` on pixels from ``start`` to ``end``, which lies above ``start`` on a y axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a number; of one beyond the ends, the end."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round numbers on it, about five."""
        step = round_step((self.high - self.low) / _WANTED)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is no less."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))


def scale(values: list[float], *, start: float, end: float) -> Scale:
    """A scale that has room for some finite numbers, at least one."""
    low, high = min(values), max(values)
    equal = high - low <= _EQUAL * max(abs(low), abs(high))
    room = (abs(high) / 2 or 1.0) if equal else (high - low) / 20
    return Scale(low=low - room, high=high + room, start=start, end=end)


def figure(value: float) -> str:
    """A number to four digits."""
    return f"{value + 0.0:.4g}"


def draw_axes(picture: Picture, x: Scale, y: Scale, *, below: str, beside: str) -> None:
    """A grid with its numbers, and what they are of: ``below`` the x axis, and ``beside`` the y axis."""
    for tick in y.ticks:
        picture.line([(x.start, y(tick)), (x.end, y(tick))], "grid")
        picture.text(x.start - 6, y(tick) + _TICK, figure(tick), "end")
    for tick in x.ticks:
        picture.line([(x(tick), y.start), (x(tick), y.start + _TICK)], "axis")
        picture.text(x(tick), y.start + 18, figure(tick), "middle")
    picture.line([(x.start, y.end), (x.start, y.start), (x.end, y.start)], "axis")
    picture.text((x.start + x.end) / 2, y.start + 36, below, "middle")
    picture.text(18, (y.start + y.end) / 2, beside, "middle", turned=True)
