"""What a search came to, as a picture and as a part of the model card."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from modelservice.contract.manifest import SEARCH_FILE
from modelservice.contract.search_report import Outcome, SearchReport, Trial
from modelservice.contract.trials import named
from modelservice.reports.axes import draw_axes, figure, scale
from modelservice.reports.markdown import plain, table
from modelservice.reports.svg import Picture

MAX_ROWS: Final = 20
"""Trials that a card shows, the best ones."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 480, 64, 244


def search_picture(report: SearchReport) -> bytes | None:
    """A dot for each trial that did not fail, a line along the best so far; None where only one trial came to a value.

    Trials that were stopped early had fewer epochs, so they are fainter and no part of the line.
    """
    finished = [(one.number, one.value) for one in report.trials if _ended(one) and one.value is not None]
    stopped = [(one.number, one.value) for one in report.trials if not _ended(one) and one.value is not None]
    valued = finished + stopped
    if len(valued) == 1:
        return None
    failed = len(report.trials) - len(valued)
    said = f"Trial {report.best} of {len(report.trials)} has the best {report.metric}, {figure(_value(report.winner))}."
    rest = f" {len(stopped)} were stopped early." if stopped else ""
    rest += f" {failed} failed." if failed else ""
    picture = Picture(
        width=_RIGHT + 40,
        height=_BOTTOM + 60,
        title=f"Search: {report.metric} of {report.rows} validation rows",
        description=f"{said}{rest}",
    )
    x = scale([0.0, float(len(report.trials) - 1)], start=_LEFT, end=_RIGHT)
    y = scale([value for _, value in valued], start=_BOTTOM, end=_TOP)
    draw_axes(picture, x, y, below="trial", beside=report.metric)
    best = min if report.lower_is_better else max
    so_far = accumulate((value for _, value in finished), best)
    picture.line([(x(number), y(value)) for (number, _), value in zip(finished, so_far, strict=True)], "line b dashed")
    picture.dots([(x(number), y(value)) for number, value in stopped], 3, "fill a", opacity=0.35)
    picture.dots([(x(number), y(value)) for number, value in finished], 4, "fill a")
    picture.dots([(x(report.best), y(_value(report.winner)))], 6, "fill b")
    picture.text(16, 46, f"orange: trial {report.best}, the best{'; faint: stopped early' if stopped else ''}")
    return picture.content()


def search_section(report: SearchReport) -> Iterator[str]:
    """The best trials, and where the others are."""
    yield (
        f"{len(report.trials)} trials were made, of which trial 0 is these settings as they stand. Trial {report.best}"
        f" was taken, by the {report.metric} of {report.rows} validation rows, on which it looks better than it is:"
        f" test rows did not choose. `{SEARCH_FILE}` has all trials."
    )
    yield ""
    shown = sorted(report.trials, key=lambda one: _rank(one, report))[:MAX_ROWS]
    yield from table(
        ("trial", "settings", "epochs", f"validation {report.metric}", "ended"),
        (
            (
                f"**{one.number}**" if one.number == report.best else str(one.number),
                plain(named(one.parameters)),
                "" if one.epochs is None else str(one.epochs),
                "" if one.value is None else figure(one.value),
                one.reason or one.outcome.value,
            )
            for one in shown
        ),
    )


def _rank(trial: Trial, report: SearchReport) -> tuple[bool, bool, float, int]:
    """The best first, then those that were stopped, then those that failed."""
    sign = 1 if report.lower_is_better else -1
    return trial.value is None, not _ended(trial), sign * _value(trial), trial.number


def _ended(trial: Trial) -> bool:
    return trial.outcome is Outcome.FINISHED


def _value(trial: Trial) -> float:
    return 0.0 if trial.value is None else trial.value
