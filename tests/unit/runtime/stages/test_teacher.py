"""A network that learns from what another model says of the rows, and what cannot teach it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from tests.support.object_server import object_server
from tests.support.samples import SAMPLES, sample_rows
from tests.unit.runtime.families.test_initial import RELEASED, TEXTS
from tests.unit.runtime.inference.graphs import linear, model, tensor, value
from tests.unit.runtime.stages.pipelines import IRIS, produce, store, train_work

import modelservice
from modelservice.artifact.files import file_entries
from modelservice.artifact.stores.folder import write
from modelservice.contract.data import Data
from modelservice.contract.failure import DataError, StageError, StorageError
from modelservice.contract.manifest import MODEL_FILE
from modelservice.contract.task import Task
from modelservice.contract.training import Teacher
from modelservice.contract.work_order import TrainWork
from modelservice.families.base import usual_steps
from modelservice.families.transformer import USUAL
from modelservice.modalities.base import Dataset
from modelservice.modalities.dataset import Divided
from modelservice.modalities.sources import read_rows, read_source
from modelservice.packing.pack import pack
from modelservice.packing.settings import PackSettings
from modelservice.stages.base import Produced
from modelservice.stages.teacher import taught

FIELD = "spec.training.teacher.artifact"


def teacher_of(folder: Path, digest: str, **more: Any) -> dict[str, Any]:
    return {"artifact": {"uri": f"file://{folder}", "digest": digest}, **more}


def squares(answer: Callable[[float, float], Any], *, scale: float = 1, rows: int = 300) -> bytes:
    """Points of a square, and what is said of each."""
    points = np.random.default_rng(0).uniform(-scale, scale, size=(rows, 2))
    return "\n".join(["x,y,label", *(f"{x:.6g},{y:.6g},{answer(x, y)}" for x, y in points)]).encode()


def right(x: float, _: float) -> str:
    return "right" if x > 0 else "left"


def wrong(x: float, _: float) -> str:
    return "left" if x > 0 else "right"


def learned(content: bytes, folder: Path, *, model: dict[str, Any]) -> tuple[Path, Produced]:
    """A model that was trained before."""
    produced = produce(train_work(model=model, target="label"), content)
    return store(produced, folder), produced


def rows_of(work: TrainWork, content: bytes) -> tuple[Divided, Dataset]:
    return read_rows(read_source(content, format=work.data.format_of(work.data_file or "")), work.data, work.task)


def test_a_student_says_what_its_teacher_does_though_all_labels_differ(tmp_path: Path) -> None:
    folder, tree = learned(squares(right), tmp_path / "tree", model={"decisionTree": {"maxDepth": 3}})
    teacher = teacher_of(folder, tree.digest, weight=1, temperature=1)
    produced = produce(train_work(epochs=30, target="label", teacher=teacher), squares(wrong))
    assert produced.metrics.test.primary_metric.value < 0.1
    assert produced.manifest.data is not None
    assert f"{tree.digest} taught beside the labels, with 1 of the loss" in produced.manifest.data.notes
    # And by the labels where it has little to say.
    teacher = teacher_of(folder, tree.digest, weight=0.1)
    produced = produce(train_work(epochs=30, target="label", teacher=teacher), squares(wrong))
    assert produced.metrics.test.primary_metric.value > 0.9


def test_numbers_are_learned_from_a_teacher(tmp_path: Path) -> None:
    folder, svm = learned(squares(lambda x, y: 100 + 30 * x + y), tmp_path / "svm", model={"svm": {"c": 100}})
    teacher = teacher_of(folder, svm.digest, weight=1)
    student = produce(train_work(epochs=60, target="label", teacher=teacher), squares(lambda x, y: 100 - 30 * x + y))
    model = modelservice.load(store(student, tmp_path / "student"))
    high, low = (float(value) for value in model.predict([{"x": 0.8, "y": 0.0}, {"x": -0.8, "y": 0.0}]))
    assert high > 115
    assert low < 85


def test_three_classes_and_a_small_student(tmp_path: Path) -> None:
    forest = produce(train_work(model={"randomForest": {}}))
    teacher = teacher_of(store(forest, tmp_path / "forest"), forest.digest)
    student = produce(train_work(epochs=40, hidden=(4,), teacher=teacher))
    assert student.metrics.test.primary_metric.value > 0.85


def test_a_threshold_is_no_other_task(tmp_path: Path) -> None:
    """Probabilities are learned; where an answer changes is a matter of each model."""
    asked = Task.model_validate({"classification": {"positiveLabel": "right", "threshold": {"maximize": "F1"}}})
    decided = train_work(model={"decisionTree": {"maxDepth": 3}}, target="label").model_copy(update={"task": asked})
    tree = produce(decided, squares(right))
    assert tree.manifest.task == "BinaryThreshold"
    teacher = teacher_of(store(tree, tmp_path / "tree"), tree.digest, weight=1, temperature=1)
    plain = train_work(epochs=30, target="label", teacher=teacher)
    for work, task in ((plain, "Binary"), (plain.model_copy(update={"task": asked}), "BinaryThreshold")):
        student = produce(work, squares(wrong))
        assert student.manifest.task == task
        right_one, left_one = modelservice.load(store(student, tmp_path / task)).predict_proba([[0.9, 0], [-0.9, 0]])
        assert right_one[1] > 0.9
        assert left_one[1] < 0.1


def test_it_is_asked_as_its_own_preprocessing_encodes_the_rows(tmp_path: Path) -> None:
    # Its rows had a hundred times the width, so its scale is another one.
    folder, svm = learned(squares(right, scale=100), tmp_path / "svm", model={"svm": {}})
    content = squares(right)
    work = train_work(target="label")
    divided, dataset = rows_of(work, content)
    found = taught(Teacher.model_validate(teacher_of(folder, svm.digest)), divided, dataset)
    points = np.loadtxt(content.decode().splitlines()[1:], delimiter=",", usecols=(0, 1))
    said = np.asarray(modelservice.load(folder).predict_proba([list(point) for point in points]))
    assert found.train.told is not None
    assert found.validation.told is not None
    np.testing.assert_allclose(found.train.told, said[divided.split.train], atol=1e-6)
    np.testing.assert_allclose(found.validation.told, said[divided.split.validation], atol=1e-6)
    assert found.test.told is None


def test_texts_are_read_by_the_tokenizer_of_each(tmp_path: Path) -> None:
    data = Data.model_validate(
        {"configMap": {"name": "d"}, "text": {"column": "note", "vocabulary": 300}, "target": "kind"}
    )

    def of_texts(vocabulary: int, **training: Any) -> TrainWork:
        text = data.text.model_copy(update={"vocabulary": vocabulary}) if data.text else None
        work = train_work(model={"rnn": {"units": 4, "embedding": 4}}, target="kind", **training)
        return work.model_copy(update={"data": data.model_copy(update={"text": text})})

    before = produce(of_texts(400, epochs=4), TEXTS)
    teacher = teacher_of(store(before, tmp_path / "rnn"), before.digest)
    assert produce(of_texts(300, epochs=2, teacher=teacher), TEXTS).manifest.data is not None


def test_the_digest_alone_decides(tmp_path: Path) -> None:
    forest = produce(train_work(model={"decisionTree": {}}))
    first, second = (
        produce(train_work(teacher=teacher_of(store(forest, tmp_path / name), forest.digest))) for name in "ab"
    )
    assert first.digest == second.digest


def test_usual_steps_stay_with_a_teacher() -> None:
    training = train_work(model={"transformer": {}}, teacher=teacher_of(Path("/a"), f"sha256:{'0' * 64}")).training
    steps, notes = usual_steps(training, USUAL, sentence="transformer is trained")
    assert (steps.teacher, steps.epochs, len(notes)) == (training.teacher, USUAL.epochs, 1)


def test_what_answers_or_reads_something_else_is_named(tmp_path: Path) -> None:
    tree = produce(train_work(model={"decisionTree": {}}))
    teacher, table = teacher_of(store(tree, tmp_path / "tree"), tree.digest), IRIS.read_bytes()

    def refused(content: bytes, message: str, **work: Any) -> None:
        with pytest.raises(StageError, match=message) as error:
            produce(train_work(teacher=teacher, **work), content)
        assert (error.value.reason, error.value.field) == ("TeacherUnsuited", FIELD)
        assert error.value.message.endswith("of the same inputs, task and labels, or leave teacher out")

    refused(table.replace(b"petal_width", b"width"), r"has other inputs: petal_width \(Number\) where width \(Number\)")
    refused(table.replace(b"virginica", b"rose"), "tells setosa, versicolor, virginica apart, not rose, setosa")
    lengths = b"\n".join(line.rpartition(b",")[0] for line in table.splitlines())
    refused(lengths, "has other inputs", target="petal_width")


def test_a_missing_or_other_artifact_and_what_was_packed_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(linear().SerializeToString())
    packed, folder = pack(tmp_path / "m.onnx", PackSettings()), tmp_path / "packed"
    write(folder, packed.manifest, packed.files)
    with pytest.raises(StageError, match="reads Tensor, and the data is Table"):
        produce(train_work(teacher=teacher_of(folder, packed.artifact.digest)))
    with pytest.raises(StorageError, match="is asked for: name the one that you mean") as error:
        produce(train_work(teacher=teacher_of(folder, f"sha256:{'0' * 64}")))
    assert (error.value.reason, error.value.field) == ("ArtifactChanged", f"{FIELD}.digest")
    with pytest.raises(StorageError, match=r"has no manifest\.json: correct spec\.training\.teacher\.artifact\.uri"):
        produce(train_work(teacher=teacher_of(tmp_path / "nothing", packed.artifact.digest)))


def test_a_teacher_whose_model_answers_in_another_width_is_refused(tmp_path: Path) -> None:
    """Of three classes it says one number, which would be compared with each of them."""
    tree = produce(train_work(model={"decisionTree": {}}))
    narrow = model(
        [helper.make_node("MatMul", ["features", "w"], ["raw"])],
        weights=[tensor("w", np.ones((4, 1)))],
        outputs=[value("raw", ["rows", 1])],
    )
    manifest, files = tree.manifest, {**tree.files, MODEL_FILE: narrow.SerializeToString()}
    changed = manifest.model_copy(update={"files": file_entries({name: files[name] for name in manifest.files})})
    digest = write(tmp_path / "narrow", changed, files)
    with pytest.raises(StageError, match="for one row, but the signature wants") as error:
        produce(train_work(teacher=teacher_of(tmp_path / "narrow", digest)))
    assert (error.value.reason, error.value.field) == ("TeacherUnsuited", FIELD)


def test_rows_that_it_cannot_read_are_said(tmp_path: Path) -> None:
    folder, tree = learned(squares(right, scale=1e-20), tmp_path / "tree", model={"decisionTree": {}})
    with pytest.raises(StageError, match="does not read these rows: column x: "):
        produce(train_work(target="label", teacher=teacher_of(folder, tree.digest)), squares(right, scale=1e20))


def test_the_sample_learns_from_what_another_cluster_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = SAMPLES / "teacher.yaml"
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        for path in RELEASED.iterdir():
            server.objects[f"models/team-a/iris/qp2iu6b5/{path.name}"] = path.read_bytes()
        model = modelservice.train(sample, output=tmp_path / "out")
    rows = sample_rows(sample)
    kinds = [row.pop("species") for row in rows]
    answers = model.predict([{name: float(cell) for name, cell in row.items()} for row in rows])
    assert np.mean([str(a) == b for a, b in zip(answers, kinds, strict=True)]) > 0.9


def test_a_table_that_is_not_held_has_no_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelservice.stages.train.check_held", _refuse)
    with pytest.raises(DataError, match=r"spec\.training\.teacher"):
        produce(train_work(teacher=teacher_of(tmp_path, f"sha256:{'0' * 64}")))


def _refuse(_: Any, *, field: str) -> None:
    raise DataError("TableNotHeld", field, field=field)
