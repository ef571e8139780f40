"""The threshold of two classes: the best one, what it decides, and that it is never left out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from tests.support.examples import examples

from modelservice import tasks
from modelservice.contract.documents import DocumentError
from modelservice.contract.signature import Output, Signature
from modelservice.tasks import task_named, task_of
from modelservice.tasks.binary import BINARY
from modelservice.tasks.threshold import BINARY_THRESHOLD, BinaryThreshold, best_f1_threshold

LABELS = ("no", "yes")
ROWS = st.lists(
    st.tuples(st.integers(0, 10), st.integers(0, 1), st.sampled_from([0.5, 1.0, 2.0])), min_size=1, max_size=25
).map(lambda rows: [*rows, (5, 1, 1.0)])


def probabilities(positive: Any) -> Any:
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


@examples(30, many=300)
@given(ROWS, st.booleans())
def test_no_threshold_has_a_higher_f1(rows: Any, weighed: bool) -> None:
    tenths, true, given_weights = (np.array(column) for column in zip(*rows, strict=True))
    positive, weights = (tenths / 10).astype(np.float32), given_weights if weighed else None

    def f1(threshold: float) -> float:
        return float(f1_score(true, positive >= threshold, sample_weight=weights, zero_division=0))

    found = best_f1_threshold(positive, true, weights)
    assert 0 <= found <= 1
    assert f1(found) == pytest.approx(max(f1(place / 10 - 0.05) for place in range(11)))


def test_the_threshold_is_half_way_and_of_equal_ones_the_nearest_to_a_half() -> None:
    positive = np.array([0.1, 0.2, 0.4, 0.9], dtype=np.float32)
    assert best_f1_threshold(positive, np.array([0, 1, 1, 1])) == pytest.approx(0.15)
    assert best_f1_threshold(positive, np.array([0, 0, 0, 1])) == pytest.approx(0.65)
    assert best_f1_threshold(np.array([0.3], dtype=np.float32), np.array([1])) == pytest.approx(0.15)


def test_the_answer_changes_at_the_threshold() -> None:
    task = BinaryThreshold(0.25)
    raw = probabilities(np.array([0.1, 0.25, 0.4, 0.6]))
    assert task.named(raw, LABELS)["label"] == ["no", "yes", "yes", "yes"]
    assert BINARY.named(raw, LABELS)["label"] == ["no", "no", "no", "yes"]
    true = np.array([0, 1, 1, 1])
    scores = {name: one.score(raw, true, LABELS).evaluation for name, one in (("at", task), ("half", BINARY))}
    assert {name: one.primary_metric.value for name, one in scores.items()} == {"at": 1, "half": 0.5}
    found = {name: scores["half"].metric(name) for name in ("precisionPositive", "recallPositive", "f1Positive")}
    assert {name: metric and round(metric.value, 6) for name, metric in found.items()} == {
        "precisionPositive": 1,
        "recallPositive": 0.333333,
        "f1Positive": 0.5,
    }
    # Probabilities are what they are, and so is what is measured of them.
    assert scores["at"].metric("logLoss") == scores["half"].metric("logLoss")
    assert task.drop(raw, raw, true).value == 0


def signature(task: str, outputs: tuple[Output, ...]) -> Signature:
    given_input = {"kind": "Tensor", "name": "x", "datatype": "FP32", "shape": [1]}
    document = {"modality": "Image", "task": task, "inputs": [given_input]}
    return Signature.model_validate({**document, "outputs": [output.model_dump() for output in outputs]})


def test_a_signature_says_the_threshold() -> None:
    stored = signature("BinaryThreshold", BinaryThreshold(0.3125).outputs(LABELS))
    task = task_of(Signature.model_validate_json(stored.model_dump_json()))
    assert task == BinaryThreshold(0.3125)
    assert task.outputs(LABELS) == stored.outputs
    assert task_of(signature("Binary", BINARY.outputs(LABELS))) is BINARY
    with pytest.raises(DocumentError, match="label has no threshold"):
        task_of(signature("BinaryThreshold", BINARY.outputs(LABELS)))


def test_a_server_that_knows_of_no_thresholds_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert task_named("BinaryThreshold") is BINARY_THRESHOLD
    monkeypatch.setattr(tasks, "TASKS", tuple(task for task in tasks.TASKS if task is not BINARY_THRESHOLD))
    with pytest.raises(DocumentError, match="task 'BinaryThreshold' is not known here"):
        task_of(signature("BinaryThreshold", BinaryThreshold(0.3).outputs(LABELS)))
