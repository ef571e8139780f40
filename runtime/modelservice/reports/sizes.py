"""The picture of a compression: how large each model on the way is, and how well it does."""

import math
from typing import Final

from modelservice.contract.sizes import Sizes, Tried
from modelservice.reports.axes import Scale, figure, scale
from modelservice.reports.svg import Picture

_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 480, 60, 260
_PREFIXES: Final = ("B", "kB", "MB", "GB")


def sizes_picture(sizes: Sizes) -> bytes:
    """A dot for each model: bytes of its file across, by powers of ten, the metric on validation rows up.

    A line joins the models on the way; controls, of another colour, stand apart.
    """
    chosen = next(one for one in sizes.tried if one.chosen)
    picture = Picture(
        width=_RIGHT + 40,
        height=_BOTTOM + 60 + 18 * len(sizes.tried),
        title="Compression",
        description=f"Bytes and {sizes.metric} on the validation rows: {'; '.join(map(_said, sizes.tried))}."
        f" The test rows judged the model named {chosen.name}.",
    )
    x = scale([math.log10(one.bytes) for one in sizes.tried], start=_LEFT, end=_RIGHT)
    y = scale([one.metric for one in sizes.tried], start=_BOTTOM, end=_TOP)
    _draw_axes(picture, x, y, metric=sizes.metric)
    places = [(x(math.log10(one.bytes)), y(one.metric)) for one in sizes.tried]
    way, compared = (
        [place for place, one in zip(places, sizes.tried, strict=True) if one.control is control]
        for control in (False, True)
    )
    picture.line(sorted(way), "line a")
    picture.dots(way, 4, "fill a")
    picture.dots(compared, 4, "fill b")
    picture.dots([places[sizes.tried.index(chosen)]], 8, "fill b", opacity=0.4)
    for number, ((left, top), one) in enumerate(zip(places, sizes.tried, strict=True), 1):
        picture.text(left, top - 8, str(number), "middle")
        picture.text(_LEFT, _BOTTOM + 42 + 18 * number, f"{number}: {_said(one)}")
    return picture.content()


def _draw_axes(picture: Picture, x: Scale, y: Scale, *, metric: str) -> None:
    """A grid, and beside it round numbers of the metric, and bytes at both ends and in the middle."""
    for tick in y.ticks:
        picture.line([(x.start, y(tick)), (x.end, y(tick))], "grid")
        picture.text(x.start - 6, y(tick) + 4, figure(tick), "end")
    for power in (x.low, (x.low + x.high) / 2, x.high):
        picture.line([(x(power), y.start), (x(power), y.start + 4)], "axis")
        picture.text(x(power), y.start + 18, _bytes(10**power), "middle")
    picture.line([(x.start, y.end), (x.start, y.start), (x.end, y.start)], "axis")
    picture.text((x.start + x.end) / 2, y.start + 36, "size of the file", "middle")
    picture.text(18, (y.start + y.end) / 2, metric, "middle", turned=True)


def _said(one: Tried) -> str:
    control = ", a control" if one.control else ""
    return f"{one.name}, {_bytes(one.bytes)}, {figure(one.metric)}{control}"


def _bytes(count: float) -> str:
    power = min(len(_PREFIXES) - 1, max(0, int(math.log10(max(count, 1)) // 3)))
    return f"{count / 1000**power:.3g} {_PREFIXES[power]}"
