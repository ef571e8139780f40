"""The comparison of a candidate with the model that serves, before it may take its place."""

from collections.abc import Iterator
from math import isfinite
from typing import Final

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import load_artifact
from modelservice.comparing.difference import difference
from modelservice.comparing.models import Model, NotComparableError, check_alike
from modelservice.comparing.rows import Answered, OtherRowsError, unseen
from modelservice.contract.comparison import MAX_WORDS, ComparedMetric, Comparison
from modelservice.contract.failure import DataError, StorageError, one_line
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.report import Compared
from modelservice.contract.work_order import CompareWork, WorkOrder
from modelservice.stages.base import Context

_GATE: Final = "spec.promotion.require"
_CHANGED: Final = "the data changed since, or is read in another way: change spec.data.version, which trains again"
_REMEDY: Final = "promote it by spec.serving.pinRevision.digest, and the next one is compared with it"
_WORDS: Final = MAX_WORDS - len(_REMEDY) - 2


def compare(order: WorkOrder, context: Context) -> Compared:
    """Score both models of an order on the same rows; that they cannot be compared is an answer, too.

    Raises:
        StorageError: an artifact cannot be read.
        DataError, PassingError, OSError: as ``Context.source``; or the data are not those of the candidate.
    """
    work, watch = order.work, context.watch
    assert isinstance(work, CompareWork)  # noqa: S101 - the caller looked
    with watch.step("load"):
        artifacts = (
            _artifact(work.current, work.current_digest, f"the model that serves, revision {work.revision},"),
            _artifact(work.candidate, work.candidate_digest, "the model that is to be promoted"),
        )
    with watch.step("read"):
        source = context.source()
    try:
        current, candidate = (
            _model(name, artifact)
            for name, artifact in zip((f"revision {work.revision}", "the new model"), artifacts, strict=True)
        )
        check_alike(current, candidate)
        _check_inputs(*artifacts)
        with watch.step("answer"):
            rows = unseen(current, candidate, source, work.data, work.task, field=_GATE)
        with watch.step("compare"):
            found = Comparison(rows=len(rows.values), metrics=tuple(_metrics(work, current, candidate, rows)))
    except OtherRowsError as error:
        raise DataError("DataChanged", f"{error}: {_CHANGED}", field="spec.data.version") from None
    except NotComparableError as error:
        found = Comparison(incomparable=f"{one_line(str(error))[:_WORDS]}; {_REMEDY}")
    return Compared(stage=work.stage, key=order.key, comparison=found, seconds=watch.seconds)


def _artifact(address: str, digest: str, what: str) -> Artifact:
    try:
        return load_artifact(address, digest=digest)
    except ArtifactError as error:
        raise StorageError("ArtifactInvalid", f"{what} cannot be read: {error}", field="spec.artifacts") from None


def _model(name: str, artifact: Artifact) -> Model:
    try:
        return Model.of(name, artifact)
    except ArtifactError as error:
        raise StorageError("ArtifactInvalid", f"{name} cannot be used: {error}", field="spec.artifacts") from None


def _check_inputs(current: Artifact, candidate: Artifact) -> None:
    """Refuse models that want different things of clients: the operator may not know, where there are many inputs."""
    if current.signature.inputs_digest != candidate.signature.inputs_digest:
        raise NotComparableError("the inputs changed, and with them what tells rows apart")


def _metrics(work: CompareWork, current: Model, candidate: Model, rows: Answered) -> Iterator[ComparedMetric]:
    for metric in work.metrics:
        yield _metric(metric, current, candidate, rows)


def _metric(metric: KnownMetric, current: Model, candidate: Model, rows: Answered) -> ComparedMetric:
    found = difference(current, candidate, rows, metric)
    if found is None or not all(map(isfinite, (*found.values, *found.worse))):
        known = ", ".join(one.name for one in candidate.tested.metrics)
        raise NotComparableError(
            f"these {len(rows.values)} rows do not tell {metric}, or it is none of the task; there are {known}"
        )
    before, after = found.values
    worse = found.worse
    return ComparedMetric(
        name=metric, candidate=after, current=before, worse=worse.value, low=worse.low, high=worse.high
    )
