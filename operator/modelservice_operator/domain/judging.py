"""How well the pods of a canary answer, beside those that serve: what their own metrics counted since they were read.

Both sides are counted over the same time, so what callers do wrong counts on both.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from modelservice.contract.rollout import Canary
from modelservice_operator.answers import Answers
from modelservice_operator.domain.observe import Observed, is_ready
from modelservice_operator.domain.rollout import newest_pods
from modelservice_operator.objects import Object

PODS: Final = 16
"""Pods of each side that are read at most, the oldest."""

_FEWEST = 100
"""Requests of either side from which on their mean latency is compared."""

_Z = 3.0
"""Of a 99.7 % interval: it is looked at again and again, and once by chance is enough to fail."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a pod had counted when it was read first, at ``since``, and when it was read last."""

    since: datetime
    first: Answers
    last: Answers


Readings = Mapping[str, Reading]
"""By the UID of a pod."""


def is_judged(canary: Canary | None) -> bool:
    """Whether a canary has limits that its pods' own metrics are held to."""
    return canary is not None and (canary.max_error_rate is not None or canary.max_latency_ratio is not None)


def tried_pods(beside: Observed) -> tuple[Object, ...]:
    """The pods of a canary that are read: of the candidate, not of one before it that are on their way out."""
    return tuple(pod for pod in newest_pods(beside) if is_ready(pod))[:PODS]


def serving_pods(observed: Observed) -> tuple[Object, ...]:
    """The pods that are read of those that serve."""
    return observed.answering[:PODS]


def judge(canary: Canary, observed: Observed, readings: Readings) -> str | None:
    """Why the pods of a canary do not answer well enough; None where they do, or too little is known to say so."""
    beside = observed.beside
    if beside is None or not is_judged(canary):
        return None
    return compare(canary, _sum(tried_pods(beside), readings), _sum(serving_pods(observed), readings))


def compare(canary: Canary, ours: Answers, theirs: Answers) -> str | None:
    """Why a canary's answers are not good enough beside those of what serves; None where they are."""
    return _errors(canary.max_error_rate, ours, theirs) or _latency(canary.max_latency_ratio, ours, theirs)


def _sum(pods: Iterable[Object], readings: Readings) -> Answers:
    found = (readings[uid] for uid in (pod["metadata"]["uid"] for pod in pods) if uid in readings)
    counted = [one.last.since(one.first) for one in found]
    return Answers(
        sum(one.answered for one in counted), sum(one.failed for one in counted), sum(one.seconds for one in counted)
    )


def _errors(limit: float | None, ours: Answers, theirs: Answers) -> str | None:
    """Only a difference that is surely beyond the limit counts: by Newcombe's interval of two proportions."""
    if limit is None:
        return None
    (rate, low, _), (other, _, high) = _wilson(ours), _wilson(theirs)
    if rate - other - math.hypot(rate - low, high - other) <= limit:
        return None
    return (
        f"{_share(ours)} failed or were refused, {_share(theirs)} of what serves: surely more than"
        f" spec.serving.rollout.canary.maxErrorRate {limit:g} beyond that"
    )


def _latency(limit: float | None, ours: Answers, theirs: Answers) -> str | None:
    if limit is None or min(ours.total, theirs.total) < _FEWEST:
        return None
    mean, other = ours.seconds / ours.total, theirs.seconds / theirs.total
    if mean <= limit * other:
        return None
    return (
        f"an answer took {1000 * mean:.3g} ms in the mean of {ours.total}, {1000 * other:.3g} ms of what serves: more"
        f" than spec.serving.rollout.canary.maxLatencyRatio {limit:g} times as long"
    )


def _share(answers: Answers) -> str:
    percent = 100 * answers.failed / answers.total if answers.total else 0.0
    return f"{percent:.1f} % of {answers.total} requests"


def _wilson(answers: Answers) -> tuple[float, float, float]:
    """The rate of failures with its interval by Wilson; of no requests it may be anything."""
    n = answers.total
    if not n:
        return 0.0, 0.0, 1.0
    rate, z2 = answers.failed / n, _Z**2
    centre, half = rate + z2 / (2 * n), _Z * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return rate, max(0.0, (centre - half) / (1 + z2 / n)), min(1.0, (centre + half) / (1 + z2 / n))
