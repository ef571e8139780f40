"""The pictures of a model: what its training came to, and how its answers compare with the truth."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.importance import Importance
from modelservice.reports.axes import Scale, draw_axes, figure, scale
from modelservice.reports.svg import Picture, label, room_for
from modelservice.tasks.metrics_document import CalibrationBin, ConfusionMatrix, MetricsDocument

MAX_CLASSES: Final = 40
"""Classes of a confusion matrix that is drawn."""
MAX_BARS: Final = 60
MAX_DOTS: Final = 1000
_MAX_POINTS = 400
_NUMBERED = 16
"""Classes up to which each cell has room for its number."""
_DARK = 0.55
"""Opacity from which on a number is written in the colour of the ground."""
_LEFT, _RIGHT, _TOP = 72, 480, 44


def learning_curves(metrics: MetricsDocument) -> bytes | None:
    """Loss by epoch on training and validation rows, and the validation metric below; None without epochs."""
    curves = metrics.curves
    if not curves or not curves.get("epoch"):
        return None
    epochs = curves["epoch"]
    losses = {name: values for name, values in curves.items() if name.endswith("Loss")}
    others = {name: values for name, values in curves.items() if name not in {*losses, "epoch"}}
    panels = [panel for panel in (losses, others) if panel]
    said = [f"{_words(name)} ends at {figure(values[-1])}" for panel in panels for name, values in panel.items()]
    best = "" if metrics.best_epoch is None else f" The weights of epoch {metrics.best_epoch} were kept."
    picture = Picture(
        width=_RIGHT + 40,
        height=_TOP + 250 * len(panels),
        title="Learning curves",
        description=f"After {figure(epochs[-1])} epochs {', '.join(said)}.{best}",
    )
    for number, panel in enumerate(panels):
        top = _TOP + 250 * number
        _draw_panel(picture, epochs, panel, top=top, best=metrics.best_epoch)
    return picture.content()


def _draw_panel(
    picture: Picture, epochs: Sequence[float], panel: dict[str, tuple[float, ...]], *, top: int, best: int | None
) -> None:
    x = scale([epochs[0], epochs[-1]], start=_LEFT, end=_RIGHT)
    y = scale([value for values in panel.values() for value in values], start=top + 180, end=top + 24)
    draw_axes(picture, x, y, below="epoch", beside="loss" if len(panel) > 1 else "metric")
    if best is not None:
        picture.line([(x(best), y.start), (x(best), y.end)], "axis dashed")
    looks = ("line a", "line b dashed") if len(panel) > 1 else ("line b dashed",)
    for number, ((name, values), look) in enumerate(zip(panel.items(), looks, strict=False)):
        at = [(x(epoch), y(value)) for epoch, value in zip(epochs, values, strict=True)]
        picture.line(_thinned(at), look)
        left = _LEFT + 160 * number
        picture.line([(left, top + 8), (left + 24, top + 8)], look)
        picture.text(left + 30, top + 12, _words(name))


def confusion_picture(matrix: ConfusionMatrix) -> bytes:
    """A cell for each true and predicted class, the darker the more rows of the true class; the first 40 classes."""
    labels = matrix.labels[:MAX_CLASSES]
    counts = np.array(matrix.counts)[: len(labels), : len(labels)]
    more = len(matrix.labels) - len(labels)
    size = 44 if len(labels) <= _NUMBERED else 16
    room = room_for(labels)
    left, top = 24 + room, 64 + room
    edge = size * len(labels)
    rest = f" {more} further classes are in metrics.json." if more else ""
    picture = Picture(
        width=max(left + edge + 24, 420),
        height=top + edge + 24,
        title="Confusion matrix of the test rows",
        description=f"Rows by true class (down) and predicted class (across). {_confusions(matrix)}{rest}",
    )
    picture.text(16, 46, f"predicted class across, true class down{f'; {more} more classes' if more else ''}")
    of_class = np.maximum(np.array(matrix.counts).sum(axis=1), 1)
    for at, name in enumerate(labels):
        middle = at * size + size / 2 + 4
        picture.text(left - 8, top + middle, label(name), "end")
        picture.text(left + middle, top - 8, label(name), turned=True)
    for row, column in np.argwhere(counts > 0).tolist():
        share, count = float(counts[row, column] / of_class[row]), int(counts[row, column])
        x, y = left + column * size, top + row * size
        picture.rectangle(x, y, size, size, "fill a", opacity=max(share, 0.08))
        if size > 16:  # noqa: PLR2004
            on = "middle on" if share > _DARK else "middle"
            picture.text(x + size / 2, y + size / 2 + 4, str(count), on)
    corners = [(left, top), (left + edge, top), (left + edge, top + edge), (left, top + edge), (left, top)]
    picture.line([(float(x), float(y)) for x, y in corners], "axis")
    return picture.content()


def _confusions(matrix: ConfusionMatrix) -> str:
    """How many were right, and what was most often taken for what."""
    counts = np.array(matrix.counts)
    right, rows = int(np.trace(counts)), int(counts.sum())
    wrong = counts - np.diag(np.diag(counts))
    said = f"{right} of {rows} rows are predicted right."
    if not wrong.any():
        return said
    true, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
    names = label(matrix.labels[int(true)]), label(matrix.labels[int(predicted)])
    return f"{said} The most frequent error: {names[0]} is taken for {names[1]}, {int(wrong.max())} times."


def calibration_picture(bins: Sequence[CalibrationBin]) -> bytes | None:
    """How often the answer is right by how sure the model is; None where no bin has rows."""
    held = [one for one in bins if one.rows]
    if not held:
        return None
    rows = sum(one.rows for one in held)
    said = (
        f"{one.rows} rows with a probability around {one.confidence:.2f} are right in {one.accuracy:.2f}"
        for one in held
    )
    picture = Picture(
        width=_RIGHT + 40,
        height=_TOP + 400,
        title="Calibration on the test rows",
        description=f"On the dashed line a model is as often right as it says. {'; '.join(said)}.",
    )
    x = Scale(low=0, high=1, start=_LEFT, end=_RIGHT)
    y = Scale(low=0, high=1, start=_TOP + 350, end=_TOP + 10)
    draw_axes(picture, x, y, below="probability of the answer", beside="share of right answers")
    for one in bins:
        top = y(one.rows / rows)
        picture.rectangle(x(one.low), top, x(one.high) - x(one.low), y.start - top, "faint")
    picture.line([(x(0), y(0)), (x(1), y(1))], "axis dashed")
    points = [(x(one.confidence), y(one.accuracy)) for one in held]
    picture.line(points, "line a")
    picture.dots(points, 4, "fill a")
    picture.text(_LEFT + 10, _TOP + 24, "columns: share of the rows")
    return picture.content()


def values_picture(true: NDArray[np.float64], predicted: NDArray[np.float64], *, target: str) -> bytes:
    """Predicted against true numbers of the test rows; evenly chosen ones where there are more than 1000."""
    chosen = np.linspace(0, len(true) - 1, min(len(true), MAX_DOTS)).round().astype(np.int64)
    pairs = list(zip(true[chosen].tolist(), predicted[chosen].tolist(), strict=True))
    apart = float(np.median(np.abs(true - predicted)))
    shown = "" if len(chosen) == len(true) else f" {len(chosen)} of them are drawn."
    picture = Picture(
        width=_RIGHT + 40,
        height=_TOP + 420,
        title="Predicted and true values of the test rows",
        description=(
            f"On the dashed line a prediction is right. Half of the {len(true)} rows are within {figure(apart)} of it."
            f"{shown}"
        ),
    )
    ends = [float(bound) for values in (true, predicted) for bound in (values.min(), values.max())]
    x = scale(ends, start=_LEFT, end=_RIGHT)
    y = scale(ends, start=_TOP + 370, end=_TOP + 10)
    name = label(target)
    draw_axes(picture, x, y, below=f"true {name}", beside=f"predicted {name}")
    picture.line([(x(x.low), y(x.low)), (x(x.high), y(x.high))], "axis dashed")
    picture.dots([(x(a), y(b)) for a, b in pairs], 3, "fill a", opacity=0.6)
    return picture.content()


def importance_picture(importance: Importance) -> bytes:
    """A bar for each of the columns that matter most, at most 60, and its deviation."""
    shown = importance.columns[:MAX_BARS]
    more = len(importance.columns) - len(shown)
    said = ", ".join(f"{label(one.name)} {figure(one.drop)}" for one in shown[:5])
    bottom = _TOP + 16 + 22 * len(shown)
    picture = Picture(
        width=_RIGHT + 140,
        height=bottom + 50,
        title="Permutation importance",
        description=(
            f"How much {importance.metric} falls on {importance.rows} test rows when a column is shuffled: {said}."
            f"{f' {more} columns of less importance are in importance.json.' if more else ''}"
        ),
    )
    reach = [bound for one in shown for bound in (one.drop - one.deviation, one.drop + one.deviation, 0.0)]
    x = scale(reach, start=184, end=_RIGHT + 110)
    for tick in x.ticks:
        picture.line([(x(tick), _TOP), (x(tick), bottom)], "grid")
        picture.text(x(tick), bottom + 16, figure(tick), "middle")
    for number, one in enumerate(shown):
        y = _TOP + 10 + 22 * number
        start, end = sorted((x(0), x(one.drop)))
        picture.text(176, y + 12, label(one.name), "end")
        picture.rectangle(start, y, end - start, 15, "fill a")
        ends = [(x(one.drop + sign * one.deviation), y + 7.5) for sign in (-1, 1)]
        picture.line(ends, "axis")
    rest = f"; {more} more columns" if more else ""
    picture.text(184, bottom + 36, f"fall of {importance.metric} when the column is shuffled{rest}")
    return picture.content()


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Evenly chosen points, as many as can be told apart."""
    if len(points) <= _MAX_POINTS:
        return points
    return [points[int(at)] for at in np.linspace(0, len(points) - 1, _MAX_POINTS).round()]


def _words(name: str) -> str:
    """``validationLoss`` as validation loss."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
