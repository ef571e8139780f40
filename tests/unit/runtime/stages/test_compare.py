"""The comparison of a candidate with what serves, as a pod does it: on rows that neither learned from, or none."""

import base64
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.object_server import object_server
from tests.unit.runtime.stages.pipelines import (
    IRIS,
    compress_work,
    produce,
    run_comparison,
    run_pod,
    store,
    train_work,
)

from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import load_artifact
from modelservice.artifact.stores.folder import write
from modelservice.artifact.stores.objects import object_name
from modelservice.contract.comparison import ComparedMetric, Comparison
from modelservice.contract.failure import About, Failure, Retry
from modelservice.contract.manifest import MANIFEST_FILE, METRICS_FILE
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice.contract.report import Compared, Success
from modelservice.contract.work_order import CompareWork, TrainWork
from modelservice.modalities.dataset import divide_rows
from modelservice.modalities.sources import read_source
from modelservice.tasks.metrics_document import MetricsDocument

ROWS = IRIS.read_text().splitlines(keepends=True)
ACCURACY, LOG_LOSS = KnownMetric.ACCURACY, KnownMetric.LOG_LOSS


class Shelf:
    """Artifacts below a folder, and the data that the last one was made of."""

    def __init__(self, root: Path) -> None:
        self.root, self.works = root, dict[str, TrainWork]()

    def train(self, name: str, content: bytes | None = None, **work: Any) -> Artifact:
        self.works[name] = train_work(**work)
        produced = produce(self.works[name], content)
        return load_artifact(store(produced, self.root / name))

    def compare(
        self,
        current: str,
        candidate: str,
        content: bytes | None = None,
        /,
        *,
        metrics: tuple[KnownMetric, ...] = (ACCURACY, LOG_LOSS),
        **changes: Any,
    ) -> Compared | Failure:
        mounted = self.root / "data"
        mounted.mkdir(exist_ok=True)
        (mounted / "iris.csv").write_bytes(IRIS.read_bytes() if content is None else content)
        work = self.works[candidate]
        asked: dict[str, Any] = {
            "data_file": "iris.csv",
            "data": work.data,
            "task": work.task,
            "revision": 3,
            "metrics": metrics,
        }
        for side, name in (("current", current), ("candidate", candidate)):
            place = changes.get(side) or str(self.root / name)
            digest = changes.get(f"{side}_digest") or load_artifact(self.root / name).digest
            asked |= {side: place, f"{side}_digest": digest}
        return run_comparison(self.root, CompareWork.model_validate(asked | changes), data=mounted)

    def compared(self, *names: Any, **more: Any) -> Comparison:
        result = self.compare(*names, **more)
        assert isinstance(result, Compared), result
        return result.comparison

    def recorded(self, name: str, metric: str) -> float:
        found = load_artifact(self.root / name).document(METRICS_FILE, MetricsDocument).test.metric(metric)
        assert found is not None
        return found.value


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    made = Shelf(tmp_path_factory.mktemp("shelf"))
    made.train("poor", epochs=1)
    made.train("good", epochs=40)
    return made


def of(changes: dict[str, str]) -> dict[str, Any]:
    return dict(changes)


def metric(found: Comparison, name: KnownMetric) -> ComparedMetric:
    one = found.metric(name)
    assert one is not None
    return one


def test_a_worse_candidate_is_told_by_its_whole_interval(shelf: Shelf) -> None:
    found = shelf.compared("good", "poor")
    assert found.incomparable is None
    assert found.rows == 31
    for name, sign in ((ACCURACY, -1), (LOG_LOSS, 1)):
        one = metric(found, name)
        assert one.candidate == pytest.approx(shelf.recorded("poor", name), rel=1e-3)
        assert one.current == pytest.approx(shelf.recorded("good", name), rel=1e-3)
        assert one.worse == pytest.approx(sign * (one.candidate - one.current))
        assert 0 < one.low < one.worse < one.high


def test_a_better_candidate_is_the_same_below_zero(shelf: Shelf) -> None:
    found, back = shelf.compared("poor", "good"), shelf.compared("good", "poor")
    for name in (ACCURACY, LOG_LOSS):
        one, other = metric(found, name), metric(back, name)
        assert one.high < 0
        assert (one.worse, one.low, one.high) == pytest.approx((-other.worse, -other.high, -other.low))


def test_the_same_order_says_the_same(shelf: Shelf) -> None:
    assert shelf.compare("poor", "good") == shelf.compare("poor", "good")


def test_only_what_is_asked_for_is_compared(shelf: Shelf) -> None:
    assert [one.name for one in shelf.compared("poor", "good", metrics=(KnownMetric.F1,)).metrics] == ["f1"]


def test_after_a_training_on_more_rows_only_those_count_that_what_serves_did_not_learn_from(shelf: Shelf) -> None:
    generator = random.Random(1)  # noqa: S311 - no secret
    grown = [*ROWS[1:]]
    for place in range(120):
        *cells, label = ROWS[1 + place].rstrip("\n").split(",")
        grown.append(",".join([f"{float(cell) + generator.uniform(0, 0.05):.3f}" for cell in cells] + [label]) + "\n")
    generator.shuffle(grown)
    table = "".join([ROWS[0], *grown]).encode()
    shelf.train("later", table, epochs=40)
    found = shelf.compared("poor", "later", table)
    assert found.incomparable is None
    assert metric(found, LOG_LOSS).high < 0
    # The rows are those which the artifacts allow, and none of them was learned from, by the split itself.
    before, after = (
        divide_rows(read_source(content, format=shelf.works["poor"].data.format_of("iris.csv")), train_work().data)
        for content in (IRIS.read_bytes(), table)
    )
    learned = {ROWS[1 + row] for row in (*before.split.train, *before.split.validation)}
    tested = [grown[row] for row in after.split.test]
    unseen = [row for row in tested if row not in learned]
    assert len(unseen) - 9 <= found.rows <= len(unseen)
    assert found.rows > 40


@pytest.mark.parametrize(("name", "work"), [("seeded", {"split": {"seed": 4}}), ("shared", {"split": {"test": 0.3}})])
def test_a_model_that_was_tested_on_other_rows_is_not_compared(shelf: Shelf, name: str, work: dict[str, Any]) -> None:
    shelf.train(name, epochs=1, **work)
    found = shelf.compared("poor", name)
    assert found.metrics == ()
    assert found.incomparable is not None
    assert found.incomparable.startswith("nobody can tell which of the ")
    assert "test rows revision 3 learned from: its data were read or divided in another way (spec.data)" in (
        found.incomparable
    )


def test_rows_that_a_column_divides_are_compared_on_the_same_data_alone(shelf: Shelf) -> None:
    sides = ["side", *(("train", "validation", "test")[place % 3] for place in range(len(ROWS) - 1))]
    table = "".join(f"{row.rstrip()},{side}\n" for row, side in zip(ROWS, sides, strict=True)).encode()
    work: dict[str, Any] = {"split": {"column": "side"}}
    shelf.train("first", table, epochs=1, **work)
    shelf.train("second", table, epochs=40, **work)
    assert shelf.compared("first", "second", table).rows == 50
    # Other rows to learn from, the same to test on: what serves comes to what was recorded of it.
    fewer = b"".join(line for place, line in enumerate(table.splitlines(keepends=True)) if place % 3 != 1 or place % 2)
    shelf.train("fewer", fewer, epochs=1, **work)
    assert shelf.compared("first", "fewer", fewer).rows == 50
    moved = table.replace(b",test\n", b",rest\n").replace(b",train\n", b",test\n").replace(b",rest\n", b",train\n")
    shelf.train("moved", moved, epochs=40, **work)
    assert shelf.compared("first", "moved", moved).incomparable is not None


def test_other_classes_are_another_question(shelf: Shelf) -> None:
    table = "".join(ROWS).replace("virginica", "other").encode()
    shelf.train("renamed", table, epochs=1)
    said = shelf.compared("poor", "renamed", table).incomparable
    assert said is not None
    assert said.startswith(
        "the classes differ, so nothing can be compared: setosa, versicolor, virginica of revision 3"
    )


def test_other_inputs_are_another_question(shelf: Shelf) -> None:
    wider = "".join(f"{row.rstrip()},{place % 7}\n" for place, row in enumerate(ROWS)).replace(
        "species,0", "species,day"
    )
    shelf.train("wider", wider.encode(), epochs=1)
    said = shelf.compared("poor", "wider", wider.encode()).incomparable
    assert said is not None
    assert said.startswith("the inputs changed, and with them what tells rows apart; promote it by spec.serving")


def test_models_in_a_bucket_are_fetched(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        places = {"current": "poor", "candidate": "good"}
        for name in places.values():
            artifact = load_artifact(shelf.root / name)
            server.objects[f"models/{name}/{MANIFEST_FILE}"] = artifact.manifest_bytes
            for file, entry in artifact.manifest.files.items():
                server.objects[f"models/{name}/{object_name(file, entry)}"] = artifact.contents[file]
        before = dict(server.objects)
        result = shelf.compare("poor", "good", **of({side: f"s3://models/{name}" for side, name in places.items()}))
        assert isinstance(result, Compared)
        assert metric(result.comparison, LOG_LOSS).high < 0
        assert server.objects == before, "nothing is written"


def test_a_metric_of_another_task_is_said_with_those_that_there_are(shelf: Shelf) -> None:
    said = shelf.compared("poor", "good", metrics=(KnownMetric.RMSE,)).incomparable
    assert said is not None
    assert said.startswith("these 31 rows do not tell rmse, or it is none of the task; there are accuracy, ")


def test_what_was_packed_is_said_to_be(shelf: Shelf) -> None:
    packed = shelf.root / "packed"
    good = load_artifact(shelf.root / "good")
    manifest = good.manifest.model_copy(
        update={"data": None, "files": {name: one for name, one in good.manifest.files.items() if name != METRICS_FILE}}
    )
    write(packed, manifest, {name: one for name, one in good.contents.items() if name != METRICS_FILE})
    assert str(shelf.compared("packed", "good").incomparable).startswith("revision 3 was packed, not trained")


def test_a_compressed_candidate_is_compared_as_it_would_serve(shelf: Shelf) -> None:
    good = load_artifact(shelf.root / "good")
    smaller = produce(compress_work(shelf.works["good"], shelf.root / "good", good.digest))
    store(smaller, shelf.root / "smaller")
    shelf.works["smaller"] = shelf.works["good"]
    found = shelf.compared("good", "smaller")
    assert found.rows == 31
    assert metric(found, LOG_LOSS).candidate == pytest.approx(shelf.recorded("smaller", "logLoss"), rel=1e-3)


def test_data_that_changed_since_are_refused_with_the_field(shelf: Shelf) -> None:
    failure = shelf.compare("poor", "good", "".join(ROWS[:-1]).encode())
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.about, failure.retry) == ("DataChanged", About.DATA, Retry.ON_CHANGE)
    assert failure.field == "spec.data.version"
    other = train_work(split={"seed": 9}).data
    failure = shelf.compare("poor", "good", data=other)
    assert isinstance(failure, Failure)
    assert failure.reason == "DataChanged"
    assert "these are not the test rows of the new model: " in failure.message


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("candidate", "the model that is to be promoted cannot be read"),
        ("current", "the model that serves, revision"),
    ],
)
def test_another_artifact_than_the_one_that_is_meant_is_refused(shelf: Shelf, side: str, words: str) -> None:
    failure = shelf.compare("poor", "good", **of({f"{side}_digest": "sha256:" + "0" * 64}))
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.about) == ("ArtifactInvalid", About.STORAGE)
    assert words in failure.message
    assert "expected sha256:000" in failure.message
    failure = shelf.compare("poor", "good", **of({side: str(shelf.root / "nowhere")}))
    assert isinstance(failure, Failure)
    assert failure.reason == "ArtifactInvalid"


def test_encrypted_models_are_opened_with_their_keys(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(base64.b64encode(bytes(range(32))).decode())
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, str(tmp_path / "key"))
    data = IRIS.parent
    for name, epochs in (("sealed", 1), ("sealed-better", 40)):
        (shelf.root / name).mkdir()
        shelf.works[name] = train_work(epochs=epochs)
        assert isinstance(run_pod(shelf.root / name, shelf.works[name], data=data), Success)
    places = {"current": str(shelf.root / "sealed" / "abc"), "candidate": str(shelf.root / "sealed-better" / "abc")}
    digests = {f"{side}_digest": load_artifact(place).digest for side, place in places.items()}
    assert (shelf.root / "sealed" / "abc" / "model.onnx").read_bytes().startswith(b"MSVCSEA1")
    result = shelf.compare("poor", "good", **of(places | digests))
    assert isinstance(result, Compared)
    assert metric(result.comparison, LOG_LOSS).high < 0
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, "")
    failure = shelf.compare("poor", "good", **of(places | digests))
    assert isinstance(failure, Failure)
    assert failure.about is About.STORAGE


def test_numbers_are_compared_by_their_errors(shelf: Shelf) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(160, 2))
    y = x @ [2.0, -1.0] + generator.normal(size=160) * 0.1
    table = ("a,b,y\n" + "".join(f"{a:.4f},{b:.4f},{v:.4f}\n" for (a, b), v in zip(x, y, strict=True))).encode()
    shelf.train("rough", table, epochs=1, target="y")
    shelf.train("fine", table, epochs=30, target="y")
    found = shelf.compared("fine", "rough", table, metrics=(KnownMetric.RMSE, KnownMetric.R2))
    assert metric(found, KnownMetric.RMSE).low > 0
    assert metric(found, KnownMetric.R2).low > 0
