"""The stage compress: the same test rows judge, and what costs too much is not taken."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.compression.learning import HeldCheckpoints
from tests.unit.runtime.families.berts import TEXTS, write_bert
from tests.unit.runtime.stages.pipelines import (
    IRIS,
    QUANTIZE,
    compress_work,
    context,
    order_of,
    produce,
    store,
    train_work,
)
from tests.unit.runtime.stages.test_train import images

from modelservice import compression
from modelservice.compression import Compressible, StepContext
from modelservice.compression.units import kept_units, without_units
from modelservice.contract.compression import Compression, Quantize
from modelservice.contract.data import Data
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.failure import About, DataError, Retry, StageError, StorageError
from modelservice.contract.manifest import (
    ARCHITECTURE_FILE,
    BASELINE_FILE,
    CALIBRATION_PICTURE,
    CARD_FILE,
    CONFUSION_PICTURE,
    DATA_REPORT_FILE,
    MODEL_FILE,
    PREPROCESSING_FILE,
    SIZES_FILE,
    SIZES_PICTURE,
    WEIGHTS_FILE,
    CompressionSummary,
)
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.model import Model
from modelservice.contract.progress import Progress
from modelservice.contract.signature import SIGNATURE_FILE
from modelservice.contract.sizes import Sizes, Tried
from modelservice.contract.split import Split
from modelservice.contract.task import Task
from modelservice.contract.training import Hyperparameters
from modelservice.contract.work_order import CompressWork, TrainWork
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Produced
from modelservice.stages.compress import COMPRESS
from modelservice.stages.compress_summary import measured_speed, missed_target, summarize
from modelservice.tasks.base import Drop

WORK = train_work(epochs=20, hidden=(64, 64))


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(WORK, key="parent")


@pytest.fixture
def parent(trained: Produced, tmp_path: Path) -> Path:
    return store(trained, tmp_path / "parent")


def compressed(trained: Produced, parent: Path, **changes: Any) -> Produced:
    return produce(compress_work(WORK, parent, trained.digest, **changes), key="child")


class Ruin:
    """A step that makes a model small and useless: it forgets everything that it had learned."""

    name = "quantize"

    def apply(self, _settings: Quantize, model: Compressible, _context: StepContext) -> Compressible:
        import onnx  # noqa: PLC0415

        file = onnx.load_from_string(model.onnx)
        for weights in file.graph.initializer:
            if weights.data_type == onnx.TensorProto.FLOAT:
                weights.raw_data = bytes(len(weights.raw_data))
        for unused in ("doc_string", "producer_version"):
            file.ClearField(unused)
        file.graph.name = ""
        return replace(model, onnx=bytes(file.SerializeToString()))


def test_a_model_within_its_budget_is_taken(trained: Produced, parent: Path) -> None:
    produced = compressed(trained, parent)
    summary = produced.manifest.compression
    assert summary is not None
    assert summary.applied
    assert len(produced.files[MODEL_FILE]) == summary.bytes_after < summary.bytes_before
    assert summary.bytes_before == len(trained.files[MODEL_FILE])
    assert summary.low <= summary.drop <= summary.high <= summary.budget == 0.2
    assert f"{summary.bytes_before} bytes became {summary.bytes_after}; accuracy falls by" in summary.message
    reported = produced.success(produced.digest, {}).compression
    assert reported is not None
    assert (reported.applied, reported.message) == (True, summary.message)
    # What is reported was measured on the model that will be served.
    predictor = Predictor.from_artifact(produced.as_artifact())
    assert predictor.predict([[5.1, 3.5, 1.4, 0.2]]) == ["setosa"]


def test_the_artifact_says_from_what_it_comes_and_holds_only_what_serving_needs(
    trained: Produced, parent: Path
) -> None:
    produced = compressed(trained, parent)
    manifest = produced.manifest
    assert (manifest.stage, manifest.key) == ("compress", "child")
    assert manifest.parent is not None
    assert (manifest.parent.key, manifest.parent.digest) == ("parent", trained.digest)
    assert not {ARCHITECTURE_FILE, WEIGHTS_FILE} & produced.files.keys()
    for name in (SIGNATURE_FILE, PREPROCESSING_FILE):
        assert produced.files[name] == trained.files[name]
    assert manifest.data == trained.manifest.data
    assert manifest.model.max_difference is not None
    assert 0 < manifest.model.max_difference < 0.2
    assert "onnxruntime" in manifest.producer.libraries
    assert "torch" in manifest.producer.libraries
    assert produced.metrics.best_epoch == trained.metrics.best_epoch


def test_the_reports_are_of_the_model_that_is_stored(
    trained: Produced, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = compressed(trained, parent)
    assert {*taken.manifest.reports} == {*trained.manifest.reports, SIZES_FILE, SIZES_PICTURE}
    assert taken.files[DATA_REPORT_FILE] == trained.files[DATA_REPORT_FILE]
    card = taken.files[CARD_FILE].decode()
    assert "made of the model with the key parent" in card
    assert "bytes became" in card
    monkeypatch.setattr(compression, "STEPS", (Ruin(),))
    kept = compressed(trained, parent)
    for name in (CONFUSION_PICTURE, CALIBRATION_PICTURE, BASELINE_FILE):
        assert kept.files[name] == trained.files[name]


def test_the_same_parent_and_settings_give_the_same_bytes(trained: Produced, parent: Path) -> None:
    assert compressed(trained, parent).files == compressed(trained, parent).files


def test_a_model_beyond_its_budget_is_not_taken(
    trained: Produced, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "STEPS", (Ruin(),))
    produced = compressed(trained, parent)
    summary = produced.manifest.compression
    assert summary is not None
    assert not summary.applied
    assert summary.drop > 0.3
    assert "maxAccuracyDrop, 0.2: the uncompressed model is kept; allow more, or add rows" in summary.message
    assert produced.files[MODEL_FILE] == trained.files[MODEL_FILE]
    assert produced.metrics == trained.metrics
    assert produced.manifest.model == trained.manifest.model


def test_a_budget_that_few_rows_cannot_show_to_hold_is_missed(trained: Produced, parent: Path) -> None:
    produced = compressed(trained, parent, maxAccuracyDrop=0.01)
    summary = produced.manifest.compression
    assert summary is not None
    assert (summary.applied, summary.drop) == (False, 0)
    assert "accuracy falls by 0 (paired 95 % interval on 31 test rows: " in summary.message
    assert "allow more, or add rows" in summary.message


@pytest.mark.parametrize(
    ("drop", "sizes", "applied", "words"),
    [
        (Drop(0.0, 0.0, 0.0), (100, 50), True, "100 bytes became 50; accuracy falls by 0 (paired"),
        (Drop(0.01, -0.0, 0.05), (100, 50), True, "on 23 test rows: 0 to 0.05), and may fall by 0.05"),
        (Drop(0.01, -0.01, 0.0501), (100, 50), False, "the uncompressed model is kept"),
        (
            Drop(-0.02, -0.03, -0.01),
            (100, 50),
            True,
            "accuracy rises by 0.02 (paired 95 % interval on 23 test rows: 0.01 to 0.03), and may fall by 0.05",
        ),
        (Drop(0.0, 0.0, 0.0), (100, 100), False, "is not smaller for it (100 bytes before, 100 after)"),
    ],
)
def test_the_upper_end_of_the_interval_decides(
    drop: Drop, sizes: tuple[int, int], *, applied: bool, words: str
) -> None:
    tested = Evaluation(primary="accuracy", rows=23, metrics=(Metric(name="accuracy", value=0.9),))
    asked = Compression.model_validate({"maxAccuracyDrop": 0.05, "steps": [{"quantize": {}}]})
    summary = summarize(drop, asked.metric, asked=asked, tested=tested, sizes=sizes)
    assert summary.applied == applied
    assert words in summary.message


@pytest.mark.parametrize(
    ("drop", "metric", "value", "words"),
    [
        (
            Drop(0.02, -0.01, 0.05),
            "logLoss",
            0.1,
            "logLoss rises by 0.02 (paired 95 % interval on 23 test rows: -0.01 to 0.05), and may rise by 0.1",
        ),
        (Drop(-3e-5, -4e-5, -1e-5), "rmse", 0.1, "rmse falls by 3e-05 (paired 95 % interval on 23 test rows: 1e-05 to"),
        (
            Drop(2.0, 1.0, 3.0),
            "mae",
            1,
            "may rise by spec.compression.maxDrop.value, 1: the uncompressed model is kept",
        ),
        (Drop(0.0, 0.0, 0.01), "rocAuc", 0.02, "rocAuc falls by 0 ("),
    ],
)
def test_a_metric_of_choice_has_its_own_words(drop: Drop, metric: str, value: float, words: str) -> None:
    tested = Evaluation(primary="accuracy", rows=23, metrics=(Metric(name="accuracy", value=0.9),))
    asked = Compression.model_validate({"maxDrop": {"metric": metric, "value": value}, "steps": [{"quantize": {}}]})
    summary = summarize(drop, asked.metric, asked=asked, tested=tested, sizes=(100, 50))
    assert (summary.metric, summary.budget) == (metric, value)
    assert words in summary.message


def test_a_budget_of_a_named_metric_is_judged(trained: Produced, parent: Path) -> None:
    for value, applied in ((0.5, True), (0, False)):
        changes = {"maxAccuracyDrop": 0.005, "maxDrop": {"metric": "logLoss", "value": value}}
        summary = compressed(trained, parent, **changes).manifest.compression
        assert summary is not None
        assert (summary.applied, summary.metric, summary.budget) == (applied, "logLoss", value)
        assert "logLoss " in summary.message


def test_a_budget_of_a_metric_that_the_rows_do_not_tell_is_refused(trained: Produced, parent: Path) -> None:
    budget = {"maxAccuracyDrop": 0.005, "maxDrop": {"metric": "rmse", "value": 1}}
    with pytest.raises(StageError, match=r"the validation rows do not tell rmse, .*: take one of accuracy, ") as caught:
        compressed(trained, parent, **budget)
    with pytest.raises(StageError, match="do not tell rmse"):
        produce(WORK.model_copy(update={"compressed": True, "compressed_metric": KnownMetric.RMSE}))
    assert (caught.value.reason, caught.value.field) == ("MetricNotMeasured", "spec.compression.maxDrop.metric")


def test_a_budget_of_which_so_few_rows_have_no_interval_is_refused() -> None:
    table = b"\n".join(IRIS.read_bytes().splitlines()[:20])
    asked = {"compressed": True, "compressed_metric": KnownMetric.RMSE}
    work = train_work(target="petal_width").model_copy(update=asked)
    with pytest.raises(StageError, match=r"4 test rows are too few for an interval of rmse, which needs 5: add"):
        produce(work, table)
    produce(work.model_copy(update={"compressed_metric": KnownMetric.R2}), table)


RARE = TrainWork(
    data_file="rare.csv",
    data=Data.model_validate({"configMap": {"name": "d"}, "target": "ill"}),
    task=Task.model_validate({"classification": {"positiveLabel": "yes", "imbalance": "ClassWeight"}}),
    model=Model.model_validate({"mlp": {"hiddenLayers": [16]}}),
    training=Hyperparameters.model_validate({"epochs": 8, "optimizer": {"adam": {"learningRate": 0.01}}}),
)
"""Classes count alike in training."""


def people(rows: int) -> bytes:
    """A twentieth of them are ill."""
    ill = np.arange(rows) % 20 == 0
    fever, cough = np.random.default_rng(0).normal(size=(2, rows)) + 1.2 * ill
    lines = [f"{a:.4f},{b:.4f},{'yes' if c else 'no'}" for a, b, c in zip(fever, cough, ill, strict=True)]
    return "\n".join(["fever,cough,ill", *lines]).encode()


@cache
def few_ill() -> tuple[bytes, Produced]:
    """The model that finds the few of them who are ill."""
    content = people(800)
    return content, produce(RARE, content, key="parent")


def found_ill(produced: Produced) -> float:
    """How many of all who are ill it finds."""
    rows = [line.split(",") for line in few_ill()[0].decode().splitlines()[1:]]
    ill = [[float(fever), float(cough)] for fever, cough, truth in rows if truth == "yes"]
    return Predictor.from_artifact(produced.as_artifact()).predict(ill).count("yes") / len(ill)


def test_a_small_network_learns_from_classes_as_heavy_as_the_training_had_them(tmp_path: Path) -> None:
    content, trained = few_ill()
    steps = [{"distill": {"student": {"layers": {"hiddenLayers": [4]}}, "epochs": 12, "weight": 0.1}}]
    work = compress_work(RARE, store(trained, tmp_path / "parent"), trained.digest, steps=steps, maxAccuracyDrop=0.5)
    produced = produce(work, content, key="child")
    assert produced.manifest.compression is not None
    assert produced.manifest.compression.applied
    assert found_ill(trained) > 0.6
    assert found_ill(produced) > 0.6
    # What is reported is of rows as they are.
    before, assessed = produced.manifest.compression.before, trained.metrics.validation
    assert before is not None
    assert assessed is not None
    assert before.metric == assessed.primary_metric.value


@pytest.mark.parametrize(
    ("model", "step"),
    [
        ({"mlp": {"hiddenLayers": [8]}}, {"prune": {"structured": {"ratio": 0.25}, "fineTuneEpochs": 5}}),
        ({"mlp": {"hiddenLayers": [64]}}, {"distill": {"student": {"layers": {"hiddenLayers": [4]}}, "epochs": 15}}),
        ({"randomForest": {"trees": 10}}, {"distill": {"student": {"layers": {"hiddenLayers": [4]}}, "epochs": 15}}),
    ],
)
def test_probabilities_stay_calibrated(model: dict[str, Any], step: dict[str, Any], tmp_path: Path) -> None:
    """Curves made those of classes that count alike true again; they are followed once, and not forgotten."""
    classes = {"positiveLabel": "yes", "imbalance": "ClassWeight", "calibration": "Isotonic"}
    split = {"validation": 0.4, "test": 0.1}  # curves need 500 validation rows
    work = train_work(model=model, target="ill", file="rare.csv", split=split).model_copy(
        update={"task": Task.model_validate({"classification": classes})}
    )
    content = people(1400)
    trained = produce(work, content, key="parent")
    parent = store(trained, tmp_path / "parent")
    produced = produce(compress_work(work, parent, trained.digest, steps=[step], maxAccuracyDrop=1), content)
    assert produced.manifest.compression is not None
    assert produced.manifest.compression.applied
    rows = [[float(cell) for cell in line.split(",")[:2]] for line in content.decode().splitlines()[1:]]
    said = Predictor.from_artifact(produced.as_artifact()).predict_proba(rows)
    assert 0.03 < said[:, 1].mean() < 0.09
    before = produced.manifest.compression.before
    assert before is not None
    assert before.name.endswith(", on these rows, too") == ("randomForest" in model), "a forest learned validation rows"


class Forget:
    """A step that leaves one neuron, which says of everything that it is of the first class."""

    name = "quantize"

    def apply(self, _settings: Quantize, model: Compressible, _context: StepContext) -> Compressible:
        assert model.network is not None
        small = without_units(model.network, kept_units(model.network, [1]))
        weights = {
            name: np.full_like(array, -9 if name.endswith("bias") else 0) for name, array in small.weights.items()
        }
        return Compressible(onnx=replace(small, weights=weights).to_onnx())


def test_a_model_that_forgets_the_rare_class_is_no_better_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that nobody is ill, which is right of nineteen in twenty."""
    content, trained = few_ill()
    parent = store(trained, tmp_path / "parent")
    monkeypatch.setattr(compression, "STEPS", (Forget(),))

    def judged(**budget: Any) -> CompressionSummary:
        summary = produce(compress_work(RARE, parent, trained.digest, **budget), content).manifest.compression
        assert summary is not None
        return summary

    kept = judged(maxAccuracyDrop=0.2)
    assert (kept.applied, kept.metric) == (False, "balancedAccuracy")
    assert "balancedAccuracy falls by" in kept.message
    assert "spec.compression.maxAccuracyDrop, 0.2: the uncompressed model is kept" in kept.message
    taken = judged(maxAccuracyDrop=0.005, maxDrop={"metric": "accuracy", "value": 0.2})
    assert (taken.applied, taken.metric) == (True, "accuracy")
    assert "accuracy rises by" in taken.message


def test_a_target_that_was_not_reached_is_said() -> None:
    tried = (
        Tried(name="as it was trained", parameters=1000, bytes=9, metric=1),
        Tried(name="2 x", parameters=500, bytes=5, metric=1, chosen=True),
    )
    for target, words in ((2, ""), (20, "; 2 x fewer parameters, and not the 20 x of auto.targetSizeRatio")):
        asked = Compression.model_validate({"steps": [{"auto": {"targetSizeRatio": target}}]})
        assert missed_target(asked, tried).startswith(words)
        assert bool(missed_target(asked, tried)) == bool(words)
    assert not missed_target(Compression.model_validate({"steps": [{"quantize": {}}]}), tried)
    asked = Compression.model_validate({"steps": [{"auto": {}}]})
    assert missed_target(asked, tried).endswith("targetSizeRatio, which even single units in each layer do not come to")
    smaller = Tried(name="4 x", parameters=250, bytes=3, metric=0.5)
    assert missed_target(asked, (*tried, smaller)).endswith("targetSizeRatio, at which more would be lost")
    control = smaller.model_copy(update={"control": True})
    assert missed_target(asked, (*tried, control)) == missed_target(asked, tried)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.25, "; 64 rows were 4 x faster on the machine that compressed"),
        (
            0.5,
            "; 64 rows were 2 x faster on the machine that compressed, and not 4 x as auto.targetLatencyRatio asks for",
        ),
        (0.0, ""),
    ],
)
def test_what_a_clock_told_is_reported_beside_what_was_chosen(seconds: float, words: str) -> None:
    asked = Compression.model_validate({"steps": [{"auto": {"targetSizeRatio": 2, "targetLatencyRatio": 4}}]})
    before = Tried(
        name="as it was trained", parameters=9000, multiply_adds=1000, bytes=9, metric=1, seconds_of_batch=1.0
    )
    after = before.model_copy(update={"parameters": 900, "seconds_of_batch": seconds, "chosen": True})
    tested = Evaluation(primary="accuracy", rows=23, metrics=(Metric(name="accuracy", value=0.9),))
    summary = summarize(Drop(0, 0, 0), asked.metric, asked=asked, tested=tested, sizes=(9, 5))
    assert measured_speed(asked, summary.model_copy(update={"before": before, "after": after})) == words
    assert "; 1 x fewer multiply-adds, and not the 4 x" in missed_target(asked, (before, after))


@pytest.mark.parametrize(
    ("work", "content"),
    [
        (train_work(target="petal_width", epochs=20, hidden=(64, 64)), IRIS.read_bytes()),
        (train_work(target="y", file="x.npz", model={"cnn": {"channels": [8]}}, epochs=10), images(size=8)),
        (train_work(target="y", file="x.npz", model={"mlp": {"hiddenLayers": [64]}}, epochs=10), images(size=8)),
    ],
)
def test_regressions_and_images_are_compressed_too(tmp_path: Path, work: TrainWork, content: bytes) -> None:
    trained = produce(work, content, key="parent")
    folder = store(trained, tmp_path / "parent")
    produced = produce(compress_work(work, folder, trained.digest, maxAccuracyDrop=0.3), content, key="child")
    summary = produced.manifest.compression
    assert summary is not None
    assert summary.applied, summary.message
    assert summary.bytes_after < 0.6 * summary.bytes_before + 2000
    assert (produced.manifest.task, produced.manifest.family) == (trained.manifest.task, trained.manifest.family)


def test_what_cannot_be_quantised_says_so(tmp_path: Path) -> None:
    work = train_work(model={"decisionTree": {}})
    trained = produce(work, key="parent")
    folder = store(trained, tmp_path / "parent")
    with pytest.raises(StageError, match=r"leave spec\.compression out"):
        produce(compress_work(work, folder, trained.digest))


def test_other_data_than_that_of_the_training_judges_nothing(trained: Produced, parent: Path) -> None:
    work = compress_work(WORK, parent, trained.digest)
    changed = IRIS.read_bytes() + b"5,3,1,0.2,setosa\n"
    with pytest.raises(DataError, match=r"change spec\.data\.version, which trains again") as caught:
        COMPRESS.run(order_of(work), context(changed))
    assert (caught.value.reason, caught.value.field) == ("DataChanged", "spec.data.version")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: folder.rename(folder.with_name("elsewhere")),
        lambda folder: (folder / "extra").touch(),
        lambda folder: (folder / MODEL_FILE).unlink(),
    ],
)
def test_a_parent_that_cannot_be_trusted_is_a_matter_of_storage(
    trained: Produced, parent: Path, damage: Callable[[Path], Any]
) -> None:
    damage(parent)
    with pytest.raises(StorageError, match="the model to compress cannot be used") as caught:
        compressed(trained, parent)
    failure = caught.value.failure()
    assert (failure.reason, failure.about, failure.retry) == ("ParentInvalid", About.STORAGE, Retry.ON_CHANGE)


def test_a_parent_of_another_digest_is_not_taken(parent: Path) -> None:
    work = compress_work(WORK, parent, "sha256:" + "0" * 64)
    with pytest.raises(StorageError, match="expected sha256:0"):
        produce(work)


def test_the_settings_of_the_spec_reach_the_work() -> None:
    work = compress_work(WORK, Path("p"), "sha256:" + "0" * 64)
    stored = CompressWork.model_validate_json(work.model_dump_json())
    assert stored == work
    assert json.loads(work.model_dump_json())["compression"]["maxAccuracyDrop"] == QUANTIZE["maxAccuracyDrop"]


def test_a_pruned_model_says_what_each_step_came_to(trained: Produced, parent: Path) -> None:
    steps = [{"prune": {"structured": {"ratio": 0.5}}}, {"quantize": {}}]
    produced = compressed(trained, parent, steps=steps, maxAccuracyDrop=0.3)
    summary = produced.manifest.compression
    assert summary is not None
    assert summary.applied
    sizes = Sizes.model_validate_json(produced.files[SIZES_FILE])
    whole, pruned, stored, *controls = sizes.tried
    assert [one.name for one in sizes.tried[:3]] == ["as it was trained", "prune", "quantize"]
    assert [one.chosen for one in sizes.tried[:3]] == [False, False, True]
    assert [(one.name, one.control, one.bytes) for one in controls] == [
        ("from scratch", True, stored.bytes),
        ("by distillation alone", True, stored.bytes),
    ]
    assert (summary.before, summary.after, summary.controls) == (whole, stored, tuple(controls))
    # Latencies are reported, and not stored.
    reported = produced.success(produced.digest, {}).compression
    assert reported is not None
    assert reported.after is not None
    assert (stored.seconds_of_batch, reported.after.seconds_of_batch) == (None, 0)
    assert reported.after.without_latency() == stored
    # 4-64-64-3 became 4-32-32-3.
    assert (whole.parameters, pruned.parameters) == (4 * 64 + 64 + 64 * 64 + 64 + 64 * 3 + 3, 160 + 1056 + 99)
    assert produced.manifest.parameters == stored.parameters == pruned.parameters
    assert whole.bytes == summary.bytes_before
    assert whole.bytes > pruned.bytes > stored.bytes == summary.bytes_after
    card = produced.files[CARD_FILE].decode()
    assert f"| quantize \\* | 1315 | 1315 | 1315 | {stored.bytes} |" in card
    assert "![Compression](compression.svg)" in card
    assert "Controls have its layers" in card
    assert "fineTuneEpochs: 20" in card, "of a compression the card has what nobody wrote, too"
    assert "from scratch" in produced.files[SIZES_PICTURE].decode()


def test_a_search_ends_with_what_the_test_rows_judge_once(trained: Produced, parent: Path) -> None:
    steps = [{"auto": {"targetSizeRatio": 8, "fineTuneEpochs": 4}}]
    order = order_of(compress_work(WORK, parent, trained.digest, steps=steps, maxAccuracyDrop=0.3))
    told = list[Progress]()
    produced = COMPRESS.run(order, replace(context(IRIS.read_bytes()), observe=told.append))
    # Two networks at once and two turns of 4 epochs, one of 16, and two controls: as many and the 20 of the training.
    assert [one.done for one in told] == list(range(1, 32 + 2 * (32 + 20) + 3 + 1))
    assert {one.total for one in told} == {139}
    sizes = Sizes.model_validate_json(produced.files[SIZES_FILE])
    assert [one.control for one in sizes.tried] == [False] * 7 + [True] * 2
    assert sum(one.chosen for one in sizes.tried) == 1
    chosen = next(one for one in sizes.tried if one.chosen)
    assert chosen.bytes == len(produced.files[MODEL_FILE])
    assert chosen.parameters == produced.manifest.parameters
    whole, *turns, first, second, last = [one.parameters or 0 for one in sizes.tried if not one.control]
    assert turns == sorted(turns, reverse=True)
    assert all(whole / 10 < one <= whole / 8 for one in (first, second, last))


def test_one_that_was_stopped_goes_on_after_the_last_network_it_had_tuned(trained: Produced, parent: Path) -> None:
    steps = [{"auto": {"targetSizeRatio": 4, "fineTuneEpochs": 3}}]
    order = order_of(compress_work(WORK, parent, trained.digest, steps=steps, maxAccuracyDrop=0.3))
    held, said, epochs = HeldCheckpoints(), list[str](), list[Progress]()

    def stopping(progress: Progress) -> None:
        if progress.metric is not None:
            epochs.append(progress)
        if len(epochs) == 5:
            raise KeyboardInterrupt

    reading = replace(context(IRIS.read_bytes()), checkpoints=held, say=said.append)
    with pytest.raises(KeyboardInterrupt):
        COMPRESS.run(order, replace(reading, observe=stopping))
    (first,) = held.held
    resumed = COMPRESS.run(order, reading)
    assert f"{first} was done before" in said
    assert resumed.files == COMPRESS.run(order, context(IRIS.read_bytes())).files


def test_a_network_that_was_tuned_for_another_task_or_model_is_not_gone_on_with(
    trained: Produced, parent: Path, tmp_path: Path
) -> None:
    """On a laptop the same key may come with any ``spec.task``, and with any folder of a model of that key."""
    steps = [{"auto": {"targetSizeRatio": 4, "fineTuneEpochs": 1}}]
    work = compress_work(WORK, parent, trained.digest, steps=steps, maxAccuracyDrop=0.3)
    held, said = HeldCheckpoints(), list[str]()

    def stopping(_: Progress) -> None:
        if held.held:
            raise KeyboardInterrupt

    reading = replace(context(IRIS.read_bytes()), checkpoints=held, say=said.append)
    with pytest.raises(KeyboardInterrupt):
        COMPRESS.run(order_of(work), replace(reading, observe=stopping))
    (first,) = held.held
    balanced = Task.model_validate({"classification": {"imbalance": "ClassWeight"}})
    again = produce(WORK.model_copy(update={"training": Hyperparameters(epochs=2)}), key="parent")
    other = {"parent": str(store(again, tmp_path / "again")), "parent_digest": again.digest}
    for changed in (work.model_copy(update={"task": balanced}), work.model_copy(update=other)):
        kept = HeldCheckpoints()
        kept.held.update(held.held)
        COMPRESS.run(order_of(changed), replace(reading, checkpoints=kept))
    assert f"{first} was done before" not in said


TWO_KINDS = "\n".join(line for line in IRIS.read_text().splitlines() if not line.endswith("setosa")).encode()


@pytest.mark.parametrize(
    ("work", "content"),
    [
        (train_work(target="petal_width", epochs=20, hidden=(32, 32)), IRIS.read_bytes()),
        (train_work(epochs=20, hidden=(32, 32)), TWO_KINDS),
    ],
    ids=["numbers", "two classes"],
)
def test_networks_for_numbers_and_for_two_classes_are_pruned_and_tuned(
    work: TrainWork, content: bytes, tmp_path: Path
) -> None:
    trained = produce(work, content)
    parent = store(trained, tmp_path / "parent")
    steps = [{"prune": {"structured": {"ratio": 0.75}, "fineTuneEpochs": 25}}]
    produced = produce(compress_work(work, parent, trained.digest, steps=steps, maxAccuracyDrop=1), content)
    assert produced.manifest.compression is not None
    assert produced.manifest.compression.drop < 0.1
    inputs = 4 if work.data.target == "species" else 3 + 3  # the kind is one of three
    assert produced.manifest.parameters == (inputs + 1) * 8 + 9 * 8 + 9
    predictor = Predictor.from_artifact(produced.as_artifact())
    rows = [[5.1, 3.5, 1.4, 0.2]] if work.data.target == "species" else [[5.1, 3.5, 1.4, "setosa"]]
    assert len(predictor.predict(rows)) == 1


def test_an_encoder_is_judged_on_the_tokens_that_it_was_trained_with(tmp_path: Path) -> None:
    work = TrainWork(
        data_file="texts.csv",
        data=Data.model_validate({"configMap": {"name": "d"}, "target": "y", "text": {"column": "t", "maxLength": 8}}),
        model=Model.model_validate({"encoder": {"uri": write_bert(tmp_path / "bert")}}),
        training=Hyperparameters(),
    )
    # More words than the encoder's tokenizer has merged: one that is learned from these rows would number them anew.
    texts = [f"{TEXTS[place % len(TEXTS)]} and so was everything {place % 7}" for place in range(90)]
    lines = [f"{text},{'good' if ' fine' in text or ' great' in text else 'bad'}" for text in texts]
    content = "\n".join(["t,y", *lines]).encode()
    trained = produce(work, content, key="parent")
    parent = store(trained, tmp_path / "parent")
    produced = produce(compress_work(work, parent, trained.digest), content, key="child")
    assert produced.manifest.compression is not None
    # So small a model is kept as it is, so what the test rows say of it must be what they said after the training.
    assert "is not smaller for it" in produced.manifest.compression.message
    for name in (CONFUSION_PICTURE, CALIBRATION_PICTURE, BASELINE_FILE):
        assert produced.files[name] == trained.files[name]


def test_rows_that_are_read_otherwise_than_in_the_training_judge_nothing(trained: Produced, parent: Path) -> None:
    other = WORK.model_copy(update={"data": WORK.data.model_copy(update={"split": Split(seed=1)})})
    with pytest.raises(DataError, match=r"read otherwise than when the model was trained") as caught:
        produce(compress_work(other, parent, trained.digest))
    assert (caught.value.reason, caught.value.field) == ("DataChanged", "spec.data.version")


@pytest.mark.parametrize(
    "other",
    [{"split": {"seed": 1}}, {"split": {"test": 0.4}}, {"split": {"groupBy": "g"}}, {"sampleWeight": None}],
    ids=["seed", "share", "groups", "weights"],
)
def test_texts_that_are_divided_or_weighed_otherwise_than_in_the_training_judge_nothing(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    said = {"configMap": {"name": "d"}, "target": "y", "text": {"column": "t", "maxLength": 8}, "sampleWeight": "w"}
    work = TrainWork(
        data_file="texts.csv",
        data=Data.model_validate(said),
        model=Model.model_validate({"rnn": {"units": 2, "embedding": 2}}),
        training=Hyperparameters(epochs=1),
    )
    lines = [
        f"{TEXTS[place % len(TEXTS)]} {place},{'ab'[place % 2]},{1 + place % 3},{place % 9}" for place in range(60)
    ]
    content = "\n".join(["t,y,w,g", *lines]).encode()
    trained = produce(work, content, key="parent")
    asked = compress_work(work, store(trained, tmp_path / "parent"), trained.digest, maxAccuracyDrop=1)
    assert produce(asked, content).manifest.sides == trained.manifest.sides
    changed = asked.model_copy(update={"data": Data.model_validate(said | other)})
    with pytest.raises(DataError, match=r"divided or weighed otherwise than when the model was trained") as caught:
        produce(changed, content)
    assert (caught.value.reason, caught.value.field) == ("DataChanged", "spec.data.version")


def test_an_artifact_of_before_there_was_a_digest_of_the_sides_is_compressed(tmp_path: Path) -> None:
    trained = produce(train_work(epochs=1), key="parent")
    before = replace(trained, manifest=trained.manifest.model_copy(update={"sides": None}))
    asked = compress_work(train_work(), store(before, tmp_path / "parent"), before.digest)
    assert produce(asked).manifest.sides is None
