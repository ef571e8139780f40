"""A search inside of a training: the best by validation rows, told trial by trial, and never made twice."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.stages.pipelines import IRIS, context, order_of, train_work
from tests.unit.runtime.stages.test_train import images

from modelservice.contract.documents import read_document
from modelservice.contract.failure import DataError, StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, METRICS_FILE, MODEL_FILE, SEARCH_FILE, WEIGHTS_FILE
from modelservice.contract.progress import Progress
from modelservice.contract.search_report import Outcome, SearchReport
from modelservice.contract.task import Task
from modelservice.contract.work_order import TrainWork
from modelservice.families import ensemble
from modelservice.families.base import Fitted
from modelservice.families.decision_tree import Tree
from modelservice.stages.base import Produced
from modelservice.stages.recipe import Judged, Recipe
from modelservice.stages.train import TRAIN

RATE = {"path": "training.optimizer.adam.learningRate", "logUniform": {"min": 0.001, "max": 0.1}}
RATES = {"path": "training.optimizer.adam.learningRate", "values": [0.0001, 0.001, 0.03]}
DEPTHS = {"path": "model.decisionTree.maxDepth", "values": [1, 2, 3, 4]}
LEAVES = {"path": "model.decisionTree.minSamplesLeaf", "values": [1, 30]}
TREE = {"decisionTree": {"maxDepth": 1}}


class Kept:
    """Checkpoints in memory, and a process that is killed when it begins its ``patience``-th write."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.patience = -1

    def read(self, name: str, *, limit: int) -> bytes | None:
        content = self.files.get(name)
        assert content is None or len(content) <= limit
        return content

    def write(self, name: str, *content: bytes | memoryview) -> None:
        if self.patience == 0:
            raise Killed
        self.patience -= 1
        self.files[name] = b"".join(content)

    def discard(self) -> None:
        self.files.clear()


class Killed(BaseException):
    """SIGKILL, as far as a test can tell."""


class World:
    """A stage that is run again and again with the same order."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = IRIS.read_bytes() if content is None else content
        self.kept = Kept()
        self.said: list[str] = []
        self.told: list[Progress] = []

    def run(self, work: TrainWork, *, key: str = "abc") -> Produced:
        self.said, self.told = [], []
        given = dataclasses.replace(
            context(self.content, format_=work.data.format_of(work.data_file or "")),
            checkpoints=self.kept,
            say=self.said.append,
            observe=self.told.append,
        )
        return TRAIN.run(order_of(work, key=key), given)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[TrainWork]:
    """The work of each trial that was trained."""
    works: list[TrainWork] = []
    judge = Recipe.judge

    def noting(self: Recipe, *given: Any) -> Judged:
        works.append(self.work)
        return judge(self, *given)

    monkeypatch.setattr(Recipe, "judge", noting)
    return works


def report_of(produced: Produced) -> SearchReport:
    return read_document(SEARCH_FILE, produced.files[SEARCH_FILE], SearchReport)


def searched(*parameters: dict[str, Any], model: Any = None, epochs: int = 15, **search: Any) -> TrainWork:
    return train_work(model=model, epochs=epochs, search={"parameters": list(parameters), **search})


def test_the_model_is_the_one_that_the_best_settings_written_down_give() -> None:
    produced = World().run(searched(RATES, metric="logLoss", epochs=8))
    report = report_of(produced)
    assert [trial.parameters[str(RATES["path"])] for trial in report.trials] == [0.01, 0.03, 0.001, 0.0001]
    values = [trial.value for trial in report.trials]
    assert report.best == int(np.argmin(np.array(values))) == 1
    assert {trial.outcome for trial in report.trials} == {Outcome.FINISHED}
    assert {trial.epochs for trial in report.trials} == {8}
    written = World().run(train_work(epochs=8, optimizer={"adam": {"learning_rate": 0.03}}))
    for name in (MODEL_FILE, WEIGHTS_FILE, ARCHITECTURE_FILE, METRICS_FILE):
        assert produced.files[name] == written.files[name]
    assert written.metrics.validation is not None
    measured = written.metrics.validation.metric("logLoss")
    assert measured is not None
    assert report.winner.value == pytest.approx(measured.value, rel=1e-5)
    assert report.rows == written.metrics.validation.rows


def test_families_without_epochs_are_judged_on_rows_that_they_did_not_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[int] = []
    fit = Tree.fit

    def noting(self: Tree, settings: Any, dataset: Any, *given: Any, **further: Any) -> Fitted:
        learned.append(len(dataset.train.values) + len(dataset.validation.values))
        return fit(self, settings, dataset, *given, **further)

    monkeypatch.setattr(Tree, "fit", noting)
    report = report_of(World().run(searched(DEPTHS, LEAVES, model=TREE, trials=5)))
    *trials, stored = learned
    assert set(trials) == {stored - report.rows}
    assert len(trials) == len(report.trials) == 5
    assert {trial.epochs for trial in report.trials} == {None}


EACH_FAMILY: list[tuple[dict[str, Any], str, list[Any]]] = [
    ({"mlp": {"hiddenLayers": [8]}}, "model.mlp.activation", ["Tanh"]),
    ({"mlp": {"ensemble": 2}}, "model.mlp.ensemble", [1]),
    ({"cnn": {"channels": [4], "hiddenLayers": []}}, "model.cnn.kernelSize", [1, 5]),
    ({"logistic": {}}, "model.logistic.c", [0.1]),
    ({"svm": {}}, "model.svm.kernel", ["Linear"]),
    ({"randomForest": {"trees": 5}}, "model.randomForest.trees", [7]),
    ({"gradientBoosting": {"rounds": 4}}, "model.gradientBoosting.maxLeaves", [3]),
    ({"kernelRidge": {}}, "model.kernelRidge.gamma", [0.01]),
]


@pytest.mark.parametrize("case", EACH_FAMILY, ids=lambda case: case[1])
def test_each_family_can_be_searched(
    case: tuple[dict[str, Any], str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path, values = case
    monkeypatch.setattr(ensemble, "_EPOCHS", 4)
    of_images: dict[str, Any] = {"target": "y", "file": "i.npz"} if "cnn" in model else {}
    work = train_work(model=model, search={"parameters": [{"path": path, "values": values}]}, **of_images)
    report = report_of(World(images() if of_images else None).run(work))
    assert [trial.outcome for trial in report.trials] == [Outcome.FINISHED] * (1 + len(values))


def test_less_of_an_error_is_better() -> None:
    work = train_work(
        model={"kernelRidge": {}},
        target="petal_width",
        search={"metric": "rmse", "parameters": [{"path": "model.kernelRidge.gamma", "values": [1e-6, 100.0]}]},
    )
    report = report_of(World().run(work))
    values = [trial.value or 0.0 for trial in report.trials]
    assert report.best == int(np.argmin(values)) == 0
    assert values[0] < min(values[1:])


def test_the_note_says_what_was_won() -> None:
    produced = World().run(searched(DEPTHS, model=TREE, metric="logLoss", trials=20))
    assert produced.manifest.data is not None
    (note,) = (note for note in produced.manifest.data.notes if note.startswith("search:"))
    assert note.startswith("search: the best of 4 trials, which are all that there are, is ")
    assert "(maxDepth " in note
    assert ", validation logLoss " in note
    assert note.endswith(" of the spec as written")


def test_equal_trials_change_nothing() -> None:
    world = World()
    work = searched({"path": "training.l1", "values": [0.0, 1e-30, 1e-29]}, epochs=3)
    assert world.run(work).files[WEIGHTS_FILE] == world.run(train_work()).files[WEIGHTS_FILE]
    produced = world.run(work)
    assert produced.manifest.data is not None
    (note,) = (note for note in produced.manifest.data.notes if note.startswith("search:"))
    assert " is the spec as written, validation accuracy 0." in note


def test_test_rows_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    work = searched(DEPTHS, LEAVES, model=TREE)
    before = report_of(World().run(work))
    recipe_of = Recipe.of.__func__  # type: ignore[attr-defined]

    def blinded(cls: type[Recipe], work: TrainWork, dataset: Any) -> Recipe:
        values = dataset.test.values
        values[:] = np.roll(values, 7)
        return recipe_of(cls, work, dataset)  # type: ignore[no-any-return]

    monkeypatch.setattr(Recipe, "of", classmethod(blinded))
    assert report_of(World().run(work)) == before


def test_halving_trains_the_best_again_with_more_epochs(judged: list[TrainWork]) -> None:
    report = report_of(World().run(searched(RATE, trials=10, epochs=18, metric="logLoss", halving={})))
    assert [work.training.epochs for work in judged] == [18, *[2] * 9, *[6] * 3, 18]
    assert sorted(trial.epochs or 0 for trial in report.trials) == [*[2] * 6, *[6] * 2, 18, 18]
    finished = {trial.number for trial in report.trials if trial.outcome is Outcome.FINISHED}
    assert report.best in finished
    assert 0 in finished
    assert len(finished) == 2


def test_progress_names_the_trial_and_never_falls() -> None:
    world = World()
    world.run(searched(RATE, trials=3, epochs=4))
    stages = list(dict.fromkeys(progress.stage for progress in world.told))
    assert stages == ["trial 0 of 3", "trial 1 of 3", "trial 2 of 3", "train"]
    assert [progress.done for progress in world.told] == list(range(1, 17))
    assert {progress.total for progress in world.told} == {16}


def test_a_trial_with_few_epochs_is_a_small_part_of_the_progress_so_that_the_time_left_is_told_rightly() -> None:
    world = World()
    world.run(searched(RATE, trials=4, epochs=9, halving={}))
    trials, rounds = 9, 3 * 3 + 9
    assert [progress.done for progress in world.told] == list(range(1, trials + rounds + 9 + 1))
    assert {progress.total for progress in world.told} == {36}


def test_folds_are_trained_with_the_settings_that_were_found(judged: list[TrainWork]) -> None:
    work = train_work(model=TREE, split={"folds": 3}, search={"parameters": [DEPTHS]})
    produced = World().run(work)
    assert len(judged) == 4
    found = produced.metrics.cross_validation
    assert found is not None
    assert next(metric.mean for metric in found.metrics if metric.name == "accuracy") > 0.9


def test_a_trial_that_diverges_has_failed_and_the_others_go_on() -> None:
    wild = {"path": "training.optimizer.sgd.learningRate", "values": [10]}
    work = train_work(epochs=40, l2=1.0, optimizer={"sgd": {"momentum": 0.9}}, search={"parameters": [wild]})
    report = report_of(World().run(work))
    written, failed = report.trials
    assert (written.outcome, failed.outcome, failed.reason) == (Outcome.FINISHED, Outcome.FAILED, "Diverged")
    assert failed.value is None
    assert "the loss was no longer a finite number" in str(failed.message)
    assert report.best == 0


def test_where_all_fail_the_reason_of_the_spec_as_written_is_said() -> None:
    wild = {"path": "training.optimizer.sgd.learningRate", "values": [9]}
    diverging = {"sgd": {"learning_rate": 10, "momentum": 0.99}}
    with pytest.raises(StageError, match="none of the 2 trials could be trained; the spec as written: Diverged") as no:
        World().run(train_work(epochs=40, l2=1.0, optimizer=diverging, search={"parameters": [wild]}))
    assert (no.value.reason, no.value.field) == ("AllTrialsFailed", "spec.training.search")


def test_what_would_meet_every_trial_ends_the_search_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_gpu(*_: Any, **__: Any) -> Fitted:
        raise StageError("GpuNotVisible", "none is seen", field="spec.training.runtimeClassName")

    monkeypatch.setattr(Tree, "fit", without_gpu)
    world = World()
    with pytest.raises(StageError, match="none is seen"):
        world.run(searched(DEPTHS, model=TREE))
    assert world.kept.files == {}


def test_a_metric_that_the_rows_do_not_tell_is_refused_before_anything_is_trained(judged: list[TrainWork]) -> None:
    with pytest.raises(
        StageError, match=r"do not tell rmse, which spec\.training\.search\.metric asks for: take one"
    ) as no:
        World().run(searched(DEPTHS, model=TREE, metric="rmse"))
    assert no.value.reason == "MetricNotMeasured"
    assert judged == []


def test_a_threshold_is_part_of_what_is_judged() -> None:
    content = "\n".join(["x,y", *(f"{n % 37},{'yes' if n % 37 > 29 else 'no'}" for n in range(300))]).encode()
    asked = Task.model_validate({"classification": {"positiveLabel": "yes", "threshold": {"maximize": "F1"}}})
    work = searched(DEPTHS, model=TREE, metric="f1Positive").model_copy(
        update={"task": asked, "data": train_work(target="y").data}
    )
    produced = World(content).run(work)
    assert report_of(produced).winner.value == pytest.approx(1.0)
    assert produced.manifest.data is not None
    assert any("highest F1" in note for note in produced.manifest.data.notes)
    with pytest.raises(DataError):
        World(content.replace(b"yes", b"no")).run(work)


@pytest.mark.parametrize(
    "work",
    [
        searched(DEPTHS, LEAVES, model=TREE, trials=5),
        searched(RATE, trials=5, epochs=9, metric="logLoss", halving={}),
    ],
    ids=["random", "halving"],
)
def test_a_search_that_is_killed_at_each_trial_makes_none_twice_and_ends_with_the_same_bytes(
    work: TrainWork, judged: list[TrainWork]
) -> None:
    whole = World().run(work)
    trials = len(judged)
    judged.clear()
    world = World()
    for number in range(trials):
        world.kept.patience = 1
        if number == trials - 1:
            break
        with pytest.raises(Killed):
            world.run(work)
        assert len(world.kept.files) == number + 1
    # Each process made the trial that it kept, and the one in which it was killed.
    produced = world.run(work)
    assert len(judged) == 2 * (trials - 1) + 1
    assert len(world.kept.files) == trials
    assert produced.files == whole.files
    assert produced.digest == whole.digest
    assert sum("was made before" in said for said in world.said) == trials - 1
    judged.clear()
    assert World.run(world, work).digest == whole.digest
    assert judged == []


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "another key": lambda stored: stored.update(key="other"),
    "other data": lambda stored: stored.update(data=f"sha256:{'0' * 64}"),
    "another metric": lambda stored: stored.update(metric="logLoss"),
    "fewer epochs": lambda stored: stored.update(budget=1),
    "other settings": lambda stored: stored["trial"].update(parameters={"model.decisionTree.maxDepth": 7}),
    "another number": lambda stored: stored["trial"].update(number=9),
    "no value": lambda stored: stored["trial"].pop("value"),
    "no number": lambda stored: stored["trial"].update(value="NaN"),
    "a reason that is none": lambda stored: stored["trial"].update(outcome="Failed", value=None, reason="<b>"),
    "another kind": lambda stored: stored.update(kind="Metrics"),
    "another version": lambda stored: stored.update(schemaVersion="2.0"),
}


@pytest.mark.parametrize("change", FORGED)
def test_what_is_kept_is_doubted(change: str, judged: list[TrainWork]) -> None:
    world, work = World(), searched(DEPTHS, model=TREE, trials=3)
    whole = world.run(work)
    stored = json.loads(world.kept.files["trial-1"])
    FORGED[change](stored)
    world.kept.files["trial-1"] = json.dumps(stored).encode()
    judged.clear()
    assert world.run(work).digest == whole.digest
    assert len(judged) == 1
    (said,) = (said for said in world.said if "is made again" in said)
    assert said.startswith("trial 1 is made again, since what was kept ")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"kind": "Trial", "schemaVersion": "1.0"}'])
def test_what_is_no_trial_is_made_again(content: bytes) -> None:
    world, work = World(), searched(DEPTHS, model=TREE, trials=2)
    whole = world.run(work)
    world.kept.files["trial-0"] = content
    assert world.run(work).digest == whole.digest
    assert world.said[0].startswith("trial 0 is made again, since what was kept of it cannot be used: trial-0 is ")
