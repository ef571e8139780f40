"""Which task a target is for, asked or inferred; and what a further task needs to be one."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modelservice import tasks
from modelservice.contract.documents import DocumentError
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.failure import DataError
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.signature import Output
from modelservice.contract.task import Task as AskedTask
from modelservice.tasks import TASKS, task_named
from modelservice.tasks.base import Array, Drop, Head, Loss, Scores, Target, TargetCells, TargetProfile, Weights
from modelservice.tasks.binary import BINARY
from modelservice.tasks.choice import choose_task

CLASSIFICATION = AskedTask.model_validate({"classification": {}})
REGRESSION = AskedTask.model_validate({"regression": {}})


def cells(*texts: str) -> TargetCells:
    known = tuple(dict.fromkeys(texts))
    return TargetCells(name="y", codes=np.array([known.index(text) for text in texts], dtype=np.int32), texts=known)


@pytest.mark.parametrize(
    ("texts", "name", "note"),
    [
        (("a", "b", "c"), "Multiclass", "task: classification, since y holds texts"),
        (("yes", "no"), "Binary", "task: classification, since y holds two different values"),
        (("0", "1", "1.0", "NA"), "Binary", "task: classification, since y holds two different values"),
        (map(str, range(20)), "Multiclass", "task: classification, since y holds 20 different whole numbers"),
        (map(str, range(21)), "Regression", "task: regression, since y holds numbers"),
        (("0.5", "1.5"), "Regression", "task: regression, since y holds numbers"),
        (("1", "2", "2.5"), "Regression", "task: regression, since y holds numbers"),
        ([f"{n:05}" for n in range(50)], "Multiclass", "task: classification, since y holds texts"),
        (("1", "2", "x"), "Multiclass", "task: classification, since y holds texts"),
        ([*map(str, range(150)), "x"], "Regression", "task: regression, since y holds numbers"),
    ],
)
def test_the_task_is_inferred_and_said(texts: Any, name: str, note: str) -> None:
    task, notes = choose_task(None, cells(*texts))
    assert (task.name, notes) == (name, (note,))


@pytest.mark.parametrize(
    ("asked", "texts", "name"),
    [
        (CLASSIFICATION, ("a", "b"), "Binary"),
        (CLASSIFICATION, ("0.5", "1.5"), "Binary"),
        (CLASSIFICATION, map(str, range(50)), "Multiclass"),
        (REGRESSION, ("0", "1"), "Regression"),
        (REGRESSION, ("a", "b"), "Regression"),
    ],
)
def test_what_is_asked_for_is_taken_without_a_word(asked: Any, texts: Any, name: str) -> None:
    task, notes = choose_task(asked, cells(*texts))
    assert (task.name, notes) == (name, ())


def test_a_slip_among_numbers_is_named_with_its_place() -> None:
    target = cells(*map(str, range(150)), "l2")
    task, _ = choose_task(None, target)
    with pytest.raises(DataError, match=r"row 150, column y: 'l2' is not a number: .* spec\.task to classification"):
        task.read(target)


def test_classes_asked_of_measurements_are_refused_by_the_field_that_asked() -> None:
    target = cells("0.5", "1.5", "2.5")
    task, _ = choose_task(CLASSIFICATION, target)
    with pytest.raises(DataError) as caught:
        task.read(target)
    assert (caught.value.reason, caught.value.field) == ("ContinuousTarget", "spec.task")


def test_a_task_of_a_newer_release_is_refused() -> None:
    with pytest.raises(
        DocumentError, match=r"task 'Ranking' is not known here, but Binary, BinaryThreshold, Multiclass, Regression"
    ):
        task_named("Ranking")


def test_every_member_is_found_by_its_name() -> None:
    assert [task_named(task.name) for task in TASKS] == list(TASKS)


class Sign:
    """A further task: whether a number is above zero."""

    name = "Sign"
    choice = "classification"
    loss = Loss.BINARY_CROSS_ENTROPY
    head = Head.SIGMOID
    primary_metric: str = "right"

    def suits(self, profile: TargetProfile, *, asked: bool) -> str | None:
        return f"{profile.name} has a sign" if profile.numbers and not asked else None

    def read(self, cells: TargetCells) -> Target:
        values = np.array([float(cells.texts[code]) > 0 for code in cells.codes], dtype=np.int64)
        return Target(
            name=cells.name, values=values, present=np.ones(len(values), bool), strata=values, labels=("-", "+")
        )

    def of_outputs(self, outputs: tuple[Output, ...]) -> "Sign":
        return self

    def logits(self, labels: tuple[str, ...]) -> int:
        return 1

    def outputs(self, labels: tuple[str, ...]) -> tuple[Output, ...]:
        return (Output(name="sign", datatype="BYTES"),)

    def score(
        self, raw: Array, values: NDArray[Any], labels: tuple[str, ...], weights: Weights | None = None
    ) -> Scores:
        right = Metric(name="right", value=float(((raw[:, 1] > 0.5) == values).mean()))
        return Scores(evaluation=Evaluation(primary="right", rows=len(values), metrics=(right,)))

    def primary(self, raw: Array, values: NDArray[Any], weights: Weights | None = None) -> float:
        return BINARY.primary(raw, values, weights)

    def measure(
        self, metric: KnownMetric, raw: Array, values: NDArray[Any], weights: Weights | None = None
    ) -> float | None:
        return BINARY.measure(metric, raw, values, weights)

    def drop(self, before: Array, after: Array, values: NDArray[Any], weights: Weights | None = None) -> Drop:
        return BINARY.drop(before, after, values, weights)

    def decide(self, raw: Array) -> NDArray[np.int64]:
        return (raw[:, 1] > 0.5).astype(np.int64)

    def named(self, raw: Array, labels: tuple[str, ...]) -> dict[str, Any]:
        return {"sign": [labels[code] for code in self.decide(raw)]}


def test_a_further_task_is_one_line_in_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TASKS", (Sign(), *TASKS))
    target = cells("-1.5", "2", "3")
    task, notes = choose_task(None, target)
    assert notes == ("task: classification, since y has a sign",)
    assert choose_task(CLASSIFICATION, target)[0].name == "Multiclass"
    read = task.read(target)
    raw = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], dtype=np.float32)
    assert task.score(raw, read.values, read.labels).evaluation.primary_metric.value == pytest.approx(2 / 3)
    assert task_named("Sign").named(raw, read.labels) == {"sign": ["-", "+", "-"]}
