"""How far a stage is, in words: what the pod of the stage tells, or what was last known of it."""

import math
from dataclasses import dataclass

from modelservice.contract.progress import Progress
from modelservice_operator.domain.plan import Plan
from modelservice_operator.domain.records import metric_text, number_text
from modelservice_operator.objects import Object

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEP = 10
"""Seconds that a short rest is rounded up to, so that it is not written anew with every look."""

_LONGEST_DAYS = 99


@dataclass(frozen=True, kw_only=True)
class Headway:
    """``percent`` such as 40%, ``eta`` how long it still takes, such as 3m, ``figures`` the last loss and metric."""

    percent: str | None = None
    eta: str | None = None
    figures: str = ""

    @property
    def words(self) -> str:
        """All of it in one line."""
        left = f"{self.eta} left" if self.eta else ""
        return ", ".join(filter(None, (self.percent, self.figures, left)))


def headway(planned: Plan, told: Progress | None, live: Object, *, stuck: bool) -> Headway:
    """How far the pending stage is.

    Args:
        planned: what is waited for.
        told: what the pod of the stage said just now, None where it does not answer.
        live: the status as it is: its percent stays while a pod does not answer, so that it never jumps back.
        stuck: whether something keeps the stage.
    """
    if planned.desired is not None:
        return Headway(percent="100%")
    pending = planned.pending
    if pending is None or pending.job is None or stuck:
        return Headway()
    if told is not None:
        return Headway(percent=f"{told.percent}%", eta=duration(told.eta_seconds), figures=_figures(told))
    same = (live.get("key"), live.get("stage")) == (planned.key, pending.step.stage.word)
    return Headway(percent=live.get("progress") if same else None)


def duration(seconds: float | None) -> str | None:
    """About how long, in two units at most and rounded up: 40s, 3m, 2h05m, 1d03h. None where that is not known."""
    if seconds is None or seconds < 0 or seconds > _LONGEST_DAYS * _DAY:
        return None
    if seconds <= _MINUTE - _STEP:
        return f"{max(1, math.ceil(seconds / _STEP)) * _STEP}s"
    minutes = math.ceil(seconds / _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}h{minutes:02d}m" if hours < _DAY // _HOUR else "{}d{:02d}h".format(*divmod(hours, _DAY // _HOUR))


def _figures(told: Progress) -> str:
    loss = "" if told.loss is None else f"loss {number_text(told.loss)}"
    return ", ".join(filter(None, (loss, metric_text(told.metric) if told.metric else "")))
