"""Cross-validation of a training: what is told, and that the stored model is that of the split."""

from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.stages.pipelines import IRIS, context, order_of, produce, train_work

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.failure import DataError
from modelservice.contract.manifest import MODEL_FILE, PREPROCESSING_FILE
from modelservice.contract.progress import Progress
from modelservice.contract.task import Task
from modelservice.modalities.table.source import TableExamples
from modelservice.stages.base import Context
from modelservice.stages.folds import summarize
from modelservice.stages.train import TRAIN

FOLDED = train_work(model={"logistic": {}}, split={"folds": 5})


def test_the_stored_model_is_that_of_the_split_and_the_folds_are_told() -> None:
    folded, plain = produce(FOLDED), produce(train_work(model={"logistic": {}}))
    for name in (MODEL_FILE, PREPROCESSING_FILE):
        assert folded.files[name] == plain.files[name]
    assert folded.metrics.test == plain.metrics.test
    assert plain.metrics.cross_validation is None
    found = folded.metrics.cross_validation
    assert found is not None
    metrics = {metric.name: metric for metric in found.metrics}
    assert found.folds == 5
    assert metrics["accuracy"].mean == pytest.approx(0.95, abs=0.04)
    assert 0 < metrics["accuracy"].deviation < 0.08
    assert metrics.keys() == {metric.name for metric in folded.metrics.test.metrics}
    assert folded.manifest.data is not None
    assert folded.manifest.data.notes[-1].startswith("5 folds: accuracy 0.9")
    assert folded.manifest.data.notes[-1].endswith("the model that is stored is that of the split")


def test_the_preprocessing_is_measured_on_the_training_rows_of_each_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[frozenset[int]] = []
    fit = TableExamples.fit

    def noting(self: TableExamples, train: Any) -> Any:
        measured.append(frozenset(train.tolist()))
        return fit(self, train)

    monkeypatch.setattr(TableExamples, "fit", noting)
    produce(FOLDED)
    assert len(measured) == len(set(measured)) == 6
    # Each row is tested in one of five folds, and chooses in some others.
    learned = np.bincount([row for rows in measured[1:] for row in rows], minlength=150)
    assert learned.max() <= 4


def test_the_folds_are_one_progress() -> None:
    told: list[Progress] = []
    given = context(IRIS.read_bytes())
    work = train_work(epochs=2, split={"folds": 3})
    TRAIN.run(order_of(work), Context(source=given.source, observe=told.append, watch=given.watch))
    assert [(progress.done, progress.total) for progress in told] == [(done, 8) for done in range(1, 9)]


def test_a_further_fit_for_a_threshold_is_no_progress_of_its_own() -> None:
    told: list[Progress] = []
    content = "\n".join(["x,y", *(f"{n % 37},{'yes' if n % 37 > 25 else 'no'}" for n in range(200))]).encode()
    asked = Task.model_validate({"classification": {"positiveLabel": "yes", "threshold": {"maximize": "F1"}}})
    work = train_work(target="y", model={"logistic": {}}, split={"folds": 2}).model_copy(update={"task": asked})
    given = context(content)
    TRAIN.run(order_of(work), Context(source=given.source, observe=told.append, watch=given.watch))
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert done[-1] == told[-1].total


def test_thresholds_and_weights_of_classes_belong_to_each_fold() -> None:
    generator = np.random.default_rng(0)
    belongs = generator.random(300) < 0.25
    x = generator.normal(size=300) + 1.5 * belongs
    content = "\n".join(["x,y", *(f"{value:.5f},{'a' if one else 'b'}" for value, one in zip(x, belongs, strict=True))])
    asked = {"positiveLabel": "a", "threshold": {"maximize": "F1"}, "imbalance": "ClassWeight"}
    work = train_work(target="y", model={"logistic": {}}, split={"folds": 3})
    work = work.model_copy(update={"task": Task.model_validate({"classification": asked})})
    found = produce(work, content.encode()).metrics.cross_validation
    assert found is not None
    metrics = {metric.name: metric.mean for metric in found.metrics}
    assert metrics["f1Positive"] > 0.5
    assert metrics["rocAuc"] > 0.8


def test_too_few_rows_are_refused_before_anything_is_trained() -> None:
    work = train_work(target="y", model={"logistic": {}}, split={"folds": 20})
    content = "\n".join(["x,y", *(f"{n % 8},{'ab'[n % 2]}" for n in range(40))])
    with pytest.raises(DataError, match="there are 8 different rows or groups, too few for 20 folds"):
        produce(work, content.encode())


def evaluation(**values: float) -> Evaluation:
    return Evaluation(
        primary="r2", rows=3, metrics=tuple(Metric(name=name, value=value) for name, value in values.items())
    )


def test_means_are_over_the_folds_that_determine_a_metric() -> None:
    found = summarize([evaluation(r2=0.5, rocAuc=1.0), evaluation(r2=0.7), evaluation(r2=0.6, rocAuc=0.5, mae=1.0)])
    metrics = {metric.name: (round(metric.mean, 9), round(metric.deviation, 6)) for metric in found.metrics}
    assert metrics == {"r2": (0.6, 0.1), "rocAuc": (0.75, 0.353553)}
