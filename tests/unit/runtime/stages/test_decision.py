"""Classes from a table to answers: the positive label, its threshold, classes that count alike, and chance."""

from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.stages.pipelines import compress_work, produce, store, train_work

from modelservice.contract.failure import DataError
from modelservice.contract.task import Task
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Produced

FAMILIES: list[dict[str, Any]] = [
    {"mlp": {"hiddenLayers": [8]}},
    {"logistic": {}},
    {"decisionTree": {"minSamplesLeaf": 10}},
]


def table(rows: int = 1500, *, informative: bool = True) -> bytes:
    """One in five rows is of class a, where x is larger as a rule."""
    generator = np.random.default_rng(1)
    belongs = generator.random(rows) < 0.2
    x = generator.normal(size=rows) + 1.2 * belongs
    shown = belongs if informative else generator.permutation(belongs)
    lines = (
        f"{value:.6f},{noise:.6f},{'a' if one else 'b'}"
        for value, noise, one in zip(x, generator.normal(size=rows), shown, strict=True)
    )
    return "\n".join(["x,noise,y", *lines]).encode()


def trained(model: dict[str, Any], content: bytes | None = None, **classification: Any) -> Produced:
    work = train_work(target="y", epochs=6, model=model)
    asked = Task.model_validate({"classification": classification})
    return produce(work.model_copy(update={"task": asked}), table() if content is None else content)


def on_test(produced: Produced, name: str) -> float:
    metric = produced.metrics.test.metric(name)
    assert metric is not None
    return metric.value


def predictor_of(produced: Produced) -> Predictor:
    return Predictor.from_artifact(produced.as_artifact())


@pytest.mark.parametrize("model", FAMILIES, ids=lambda model: next(iter(model)))
def test_the_threshold_finds_more_and_is_what_is_served(model: dict[str, Any]) -> None:
    half = trained(model, positiveLabel="a")
    best = trained(model, positiveLabel="a", threshold={"maximize": "F1"})
    assert half.signature.labels == best.signature.labels == ("b", "a")
    assert (half.signature.task, best.signature.task) == ("Binary", "BinaryThreshold")
    threshold = best.signature.outputs[0].threshold
    assert threshold is not None
    assert 0 < threshold < 0.5
    assert on_test(best, "recallPositive") > on_test(half, "recallPositive")
    assert on_test(best, "rocAuc") == on_test(half, "rocAuc")
    frame = [[x, 0.0] for x in np.linspace(-2, 4, 50)]
    predictor = predictor_of(best)
    positive = predictor.predict_proba(frame)[:, 1]
    assert predictor.predict(frame) == ["a" if p >= threshold else "b" for p in positive]
    assert best.manifest.data is not None
    assert any(note.startswith("the answer is a from a probability of 0.") for note in best.manifest.data.notes)


def test_a_family_without_epochs_chooses_on_rows_that_it_did_not_learn_from() -> None:
    """A deep tree knows the rows that it learned from, and would take any threshold for a perfect one."""
    produced = trained({"decisionTree": {}}, positiveLabel="a", threshold={"maximize": "F1"})
    assert on_test(produced, "f1Positive") > 0.2
    assert produced.metrics.validation is None
    assert produced.manifest.data is not None
    note = produced.manifest.data.notes[-1]
    assert note.endswith("rows")
    assert not note.endswith(f"on {produced.metrics.train.rows} rows")


def test_a_smaller_model_answers_by_the_same_threshold(tmp_path: Any) -> None:
    content = table()
    work = train_work(target="y", epochs=6)
    asked = Task.model_validate({"classification": {"positiveLabel": "a", "threshold": {"maximize": "F1"}}})
    work = work.model_copy(update={"task": asked})
    parent = produce(work, content)
    smaller = produce(compress_work(work, store(parent, tmp_path / "parent"), parent.digest), content)
    assert smaller.signature == parent.signature
    assert smaller.manifest.task == "BinaryThreshold"
    assert smaller.metrics.test.metric("recallPositive") is not None
    assert on_test(smaller, "recallPositive") == pytest.approx(on_test(parent, "recallPositive"), abs=0.1)


def test_without_a_validation_row_of_the_label_no_threshold_is_chosen() -> None:
    sides = ["train"] * 6 + ["validation", "test"]
    lines = (f"{n},{sides[n % 8]},{'a' if n % 8 in (0, 7) else 'b'}" for n in range(80))
    work = train_work(target="y", model={"logistic": {}}, split={"column": "side"})
    asked = Task.model_validate({"classification": {"positiveLabel": "a", "threshold": {"maximize": "F1"}}})
    with pytest.raises(DataError, match="no validation row has the class 'a'") as caught:
        produce(work.model_copy(update={"task": asked}), "\n".join(["x,side,y", *lines]).encode())
    assert caught.value.reason == "ThresholdNotClear"


@pytest.mark.parametrize("model", FAMILIES, ids=lambda model: next(iter(model)))
def test_classes_that_count_alike_are_found_alike(model: dict[str, Any]) -> None:
    plain, weighed = trained(model), trained(model, imbalance="ClassWeight")
    assert on_test(weighed, "balancedAccuracy") > on_test(plain, "balancedAccuracy") + 0.03
    assert plain.metrics.test.rows == weighed.metrics.test.rows
    assert weighed.manifest.data is not None
    assert any(note.startswith("classes count alike in training, a by 2.") for note in weighed.manifest.data.notes)


@pytest.mark.parametrize(
    "model", [*FAMILIES, {"svm": {}}, {"randomForest": {"trees": 50}}], ids=lambda model: next(iter(model))
)
def test_shuffled_labels_reach_chance(model: dict[str, Any]) -> None:
    """Whatever a model finds in labels that nothing explains would come from the test rows."""
    metrics = trained(model, table(informative=False)).metrics
    chance, primary = 0.8, metrics.test.primary_metric
    assert primary.low is not None
    assert primary.low < chance
    found = metrics.test.metric("rocAuc")
    assert found is not None
    # Three standard errors of the area for 45 and 180 rows.
    assert found.value == pytest.approx(0.5, abs=0.15)
