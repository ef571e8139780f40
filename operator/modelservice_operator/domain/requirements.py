"""What a model must show before it serves, and what it wants of clients that the one before did not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelservice.contract.comparison import ComparedMetric, Comparison
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.promotion import MetricBounds, NotWorse, Promotion, Requirement, SizeBound
from modelservice.contract.signature import Input
from modelservice_operator.domain.records import Revision, StageRecord, interval_text, metric_text

_NAMED = 5
"""Inputs of each kind of change that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A result that may be promoted.

    ``current`` is what serves, None where nothing does, or where ``unreadable``: its record is lost or cannot be read.
    ``rival`` is what metrics are compared with: what serves, or would go on serving where the artifact of that is gone.
    ``apart`` says why one pod cannot open both. ``comparison`` is what came of it, None while that is not known.
    """

    record: StageRecord
    current: Revision | None
    unreadable: bool = False
    rival: Revision | None = None
    apart: str | None = None
    comparison: Comparison | None = None

    @property
    def compared_with(self) -> Revision | None:
        """The rival, where that is another model: the first one has none, and nothing is worse than itself."""
        rival, own = self.rival, self.record
        same = rival is not None and (rival.key == own.key or rival.digest == own.artifact.digest)
        return None if same else rival


def refusal(promotion: Promotion | None, candidate: Candidate) -> str | None:
    """A sentence for each requirement that does not hold; None where all do."""
    required = (promotion.require if promotion is not None else None) or ()
    found = ((place, _missed(one, candidate)) for place, one in enumerate(required))
    return "; ".join(f"{words} (spec.promotion.require[{place}])" for place, words in found if words) or None


def input_changes(before: StageRecord, after: StageRecord) -> str | None:
    """What clients must send in another way than before, in words; None where all is as it was, or nobody knows."""
    digests = before.known_inputs_digest, after.known_inputs_digest
    if None in digests or digests[0] == digests[1]:
        return None
    if before.signature is None or after.signature is None:
        return "the inputs are others"
    return _compared(before.signature.inputs, after.signature.inputs)


def _compared(before: tuple[Input, ...], after: tuple[Input, ...]) -> str:
    old, new = (dict(one.wire for one in inputs) for inputs in (before, after))
    changed = [f"{name} was {old[name]} and is {new[name]}" for name in new if old.get(name, new[name]) != new[name]]
    parts = (
        _listed("new", [f"{name} ({new[name]})" for name in new if name not in old]),
        _listed("gone", [f"{name} ({old[name]})" for name in old if name not in new]),
        _listed("of another kind", changed),
    )
    return "; ".join(filter(None, parts)) or "the order of the inputs is another one"


def _listed(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{kind}: {', '.join(names[:_NAMED])}{others}"


def comparison_text(metric: ComparedMetric, *, rows: int, number: int) -> str:
    """Such as ``logLoss 0.41 against 0.30 of revision 1 on 38 test rows, 0.11 worse (paired 95 % interval ...)``."""
    value, low, high = metric.worse, metric.low, metric.high
    if value > 0:
        words = f"{value:.4g} worse"
    else:  # the same interval, read the other way
        words, low, high = (f"{-value:.4g} better" if value else "no difference"), -metric.high, -metric.low
    interval = f"paired 95 % interval {low:.4g} to {high:.4g}"
    against = f"against {metric.current:.4g} of revision {number}"
    return f"{metric.name} {metric.candidate:.4g} {against} on {rows} test rows, {words} ({interval})"


def _not_worse(name: KnownMetric, rule: NotWorse, candidate: Candidate) -> str | None:
    """Why it may be worse than what serves; None where it is not, or is not compared, or not yet."""
    if candidate.unreadable:
        return f"the record of what serves cannot be read, so that {name} cannot be compared with its own"
    rival, comparison = candidate.compared_with, candidate.comparison
    if rival is None:
        return None
    if (why := _incomparable(rival, candidate)) is not None:
        return f"{name} cannot be compared with that of revision {rival.number}: {why}"
    return _shown_worse(name, rule, comparison, number=rival.number) if comparison is not None else None


def _shown_worse(name: KnownMetric, rule: NotWorse, comparison: Comparison, *, number: int) -> str | None:
    """What the paired interval shows: worse by more than the tolerance, and not only on these rows."""
    found = comparison.metric(name)
    if found is None:
        return f"{name} is not among what was compared with revision {number}"
    if found.low <= rule.tolerance:
        return None
    return f"{comparison_text(found, rows=comparison.rows, number=number)}, and may be {rule.tolerance:g} worse"


def _incomparable(rival: Revision, candidate: Candidate) -> str | None:
    """Why two results answer different questions, or cannot be asked the same, as far as their records tell."""
    before, after = rival.record, candidate.record
    if before.evaluation is None:
        return "it was packed, not trained, and nobody knows from which rows it learned"
    if candidate.comparison is not None and candidate.comparison.incomparable is not None:
        return candidate.comparison.incomparable
    if (changes := input_changes(before, after)) is not None:
        return f"the inputs changed, {changes}"
    return candidate.apart


def _metric(bounds: MetricBounds, candidate: Candidate) -> str | None:
    evaluation = candidate.record.evaluation
    metric = evaluation.metric(bounds.name) if evaluation else None
    if metric is None:
        known = ", ".join(one.name for one in evaluation.metrics) if evaluation else "none"
        return f"the metric {bounds.name} is not among those of the model: {known}"
    known_to = interval_text(metric)
    interval = f" ({known_to})" if known_to else ""
    if bounds.min is not None and metric.value < bounds.min:
        return f"{metric_text(metric)}{interval} is below {bounds.min:g}"
    if bounds.max is not None and metric.value > bounds.max:
        return f"{metric_text(metric)}{interval} is above {bounds.max:g}"
    if bounds.not_worse_than_current is not None:
        return _not_worse(bounds.name, bounds.not_worse_than_current, candidate)
    return None


def _inputs(_rule: object, candidate: Candidate) -> str | None:
    if candidate.unreadable:
        return "the record of what serves cannot be read, so that its inputs are not known"
    if candidate.current is None:
        return None
    before, after = candidate.current.record, candidate.record
    if before.known_inputs_digest is None or after.known_inputs_digest is None:
        return "the inputs are not known, and may have changed"
    changes = input_changes(before, after)
    return f"the inputs changed against revision {candidate.current.number}, {changes}" if changes else None


def _size(bound: SizeBound, candidate: Candidate) -> str | None:
    found = candidate.record.artifact_bytes
    return f"the artifact has {found:,} bytes, more than {bound.max}" if found > bound.bytes else None


_CHECKS: Mapping[str, Callable[..., str | None]] = {"metric": _metric, "inputs": _inputs, "size": _size}


def _missed(requirement: Requirement, candidate: Candidate) -> str | None:
    return _CHECKS[requirement.choice](requirement.chosen, candidate)
