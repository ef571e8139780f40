"""A training that goes on from weights of before, and what does not fit these."""

import base64
import math
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.helm import ROOT
from tests.support.object_server import object_server
from tests.support.samples import SAMPLES, model_service
from tests.unit.runtime.inference.graphs import linear
from tests.unit.runtime.stages.pipelines import IRIS, produce, store, train_work
from tests.unit.runtime.stages.test_train import images

import modelservice
from modelservice.artifact.sealing import Sealed
from modelservice.artifact.stores.folder import write
from modelservice.contract.failure import StageError, StorageError
from modelservice.contract.manifest import WEIGHTS_FILE
from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice.contract.resource import ModelService
from modelservice.contract.work_order import TrainWork
from modelservice.families.initial import FIELD
from modelservice.modalities import objects as objects_module
from modelservice.packing.pack import pack
from modelservice.packing.settings import PackSettings
from modelservice.stages.base import Produced

RELEASED = ROOT / "tests" / "data" / "released" / "0.1" / "artifacts" / "iris-train"
SAMPLE = SAMPLES / "initialize.yaml"
TEXTS = b"note,kind\n" + b"".join(
    b"%s number %d,%s\n" % (word, row, word[:1]) for row in range(40) for word in (b"good", b"bad")
)


def begun(folder: Path, digest: str, content: bytes | None = None, **work: Any) -> Produced:
    """A training that begins with what lies there."""
    initialize = {"artifact": {"uri": f"file://{folder}", "digest": digest}}
    return produce(train_work(initialize=initialize, **work), content)


@pytest.fixture(scope="module")
def before() -> Produced:
    """A network that was trained for some epochs."""
    return produce(train_work(epochs=20))


def first_loss(produced: Produced) -> float:
    """On the validation rows, after the first epoch."""
    assert produced.metrics.curves is not None
    return produced.metrics.curves["validationLoss"][0]


def test_it_begins_where_the_other_ended(before: Produced, tmp_path: Path) -> None:
    folder = store(before, tmp_path / "before")
    anew, onward = produce(train_work(epochs=2)), begun(folder, before.digest, epochs=2)
    assert first_loss(onward) < first_loss(anew) / 2
    assert onward.manifest.data is not None
    assert f"the weights began with those of {before.digest}" in onward.manifest.data.notes
    moved = begun(store(before, tmp_path / "moved"), before.digest, epochs=2)
    assert moved.digest == onward.digest, "the digest alone decides"


def test_what_was_encrypted_is_read_with_its_key(
    before: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "sealed", before.manifest, before.files, form=Sealed(b"k" * 32))
    with pytest.raises(StorageError, match="on a laptop name its file with --encryption-key"):
        begun(tmp_path / "sealed", before.digest, epochs=1)
    (tmp_path / "key").write_bytes(base64.b64encode(b"k" * 32))
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, str(tmp_path / "key"))
    assert begun(tmp_path / "sealed", before.digest, epochs=1).digest


def test_one_tiny_step_leaves_the_weights_as_they_were(before: Produced, tmp_path: Path) -> None:
    folder = store(before, tmp_path / "before")
    onward = begun(folder, before.digest, epochs=1, optimizer={"sgd": {"learningRate": 1e-9}})
    assert len(onward.files[WEIGHTS_FILE]) == len(before.files[WEIGHTS_FILE])
    assert onward.metrics.test.primary_metric.value == pytest.approx(before.metrics.test.primary_metric.value)


def test_other_layers_are_named_with_their_shapes(before: Produced, tmp_path: Path) -> None:
    folder = store(before, tmp_path / "before")
    with pytest.raises(StageError, match=r"has other layers: .*0\.weight is \[8, 4\], and \[16, 4\] here") as error:
        begun(folder, before.digest, hidden=(16,))
    assert (error.value.reason, error.value.field) == ("InitialUnsuited", FIELD)
    with pytest.raises(StageError, match=r"6\.weight is not there, and \[3, 8\] here"):
        begun(folder, before.digest, hidden=(8, 8))


def network_of(model: dict[str, Any], **training: Any) -> TrainWork:
    """A training of an epoch, of texts for a transformer and of images for a convolutional network."""
    if "cnn" in model:
        return train_work(model=model, epochs=1, target="y", file="x.npz", **training)
    if "mlp" in model:
        return train_work(model=model, epochs=1, **training)
    work = train_work(model=model, target="kind", **training)
    texts = work.data.model_validate({"configMap": {"name": "d"}, "text": {"column": "note"}, "target": "kind"})
    return work.model_copy(update={"data": texts})


@pytest.mark.parametrize(
    ("then", "now", "content", "words"),
    [
        (
            {"mlp": {"hiddenLayers": [8]}},
            {"activation": "Tanh"},
            None,
            r"function of layer 1 .* is ReLU, and Tanh",
        ),
        ({"cnn": {"channels": [4]}}, {"pooling": "Average"}, images(), r"function of layer 2 .* is Max, and"),
        (
            {"transformer": {"width": 8, "heads": 2, "layers": 1, "feedForward": 8}},
            {"heads": 4},
            TEXTS,
            r"heads of layer 0 \(TokenAttention\) is 2, and 4 here",
        ),
    ],
    ids=["activation", "pooling", "heads"],
)
def test_layers_that_do_something_else_with_the_same_weights_are_named(
    then: dict[str, Any], now: dict[str, Any], content: bytes | None, words: str, tmp_path: Path
) -> None:
    """No shape tells them apart; what is left out while they learn may be another share."""
    (family,) = then
    before = produce(network_of(then), content)
    artifact = {"uri": f"file://{store(before, tmp_path / 'before')}", "digest": before.digest}

    def onward(settings: dict[str, Any]) -> Produced:
        return produce(network_of({family: {**then[family], **settings}}, initialize={"artifact": artifact}), content)

    with pytest.raises(StageError, match=f"has other layers: {words}") as error:
        onward(now)
    assert error.value.reason == "InitialUnsuited"
    assert onward({"dropout": 0.3}).digest


def test_other_inputs_and_labels_are_named(before: Produced, tmp_path: Path) -> None:
    folder = store(before, tmp_path / "before")
    table = IRIS.read_bytes()
    with pytest.raises(StageError, match=r"has other inputs: petal_width \(Number\) where width \(Number\) is now"):
        begun(folder, before.digest, table.replace(b"petal_width", b"width"))
    with pytest.raises(StageError, match="tells setosa, versicolor, virginica apart, not rose, setosa, versicolor"):
        begun(folder, before.digest, table.replace(b"virginica", b"rose"))
    work = train_work(
        model={"rnn": {"units": 2, "embedding": 2}},
        target="kind",
        initialize={"artifact": {"uri": f"file://{folder}", "digest": before.digest}},
    )
    texts = work.data.model_validate({"configMap": {"name": "d"}, "text": {"column": "note"}, "target": "kind"})
    work = work.model_copy(update={"data": texts})
    with pytest.raises(StageError, match="reads Table, and the data is Text"):
        produce(work, TEXTS)


def test_what_is_no_network_and_what_is_another_artifact_is_refused(before: Produced, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(linear().SerializeToString())
    packed, folder = pack(tmp_path / "m.onnx", PackSettings()), tmp_path / "packed"
    write(folder, packed.manifest, packed.files)
    with pytest.raises(StageError, match="holds a model of family onnx, which has no weights to go on from"):
        begun(folder, packed.artifact.digest)
    with pytest.raises(StorageError, match="is asked for: name the one that you mean") as error:
        begun(folder, before.digest)
    assert (error.value.reason, error.value.field) == ("ArtifactChanged", f"{FIELD}.digest")
    with pytest.raises(StorageError, match=r"has no manifest\.json: correct spec\.training\.initialize\.artifact\.uri"):
        begun(tmp_path / "nothing", before.digest)


def test_the_sample_goes_on_from_what_another_cluster_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    initialize = ModelService.model_validate(model_service(SAMPLE)).spec.training.initialize
    assert initialize is not None
    assert initialize.artifact is not None
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        server.refusals = [(403, "AccessDenied")]
        with pytest.raises(StorageError, match=r"with spec\.artifacts\.secretRef or spec\.training\.env"):
            modelservice.train(SAMPLE, output=tmp_path / "out")
        for path in RELEASED.iterdir():
            server.objects[f"{initialize.artifact.uri.removeprefix('s3://')}/{path.name}"] = path.read_bytes()
        model = modelservice.train(SAMPLE, output=tmp_path / "out")
    assert model.predict([[5.1, 3.5, 1.4, 0.2]]) == ["setosa"]
    assert "the weights began with those of sha256:3fde3c33" in " ".join(
        model.manifest.data.notes if model.manifest.data else ()
    )


def table_of(*, gap: str = "", rare: str = "", days: int = 3) -> bytes:
    """Rows of two numbers, a category and a date; ``gap`` is the column with missing cells."""
    lines = ["a,b,k,day,y"]
    for number in range(300):
        common = [one for one in "wxyz" if one != rare]
        cells = {
            "a": str(math.sin(number)),
            "b": str(math.cos(3 * number)),
            "k": rare if rare and number % 100 == 0 else common[number % len(common)],
            "day": str(date(2024, 1, 1) + timedelta(days=7 * number if days == 7 else number % days)),
            "y": "p" if math.sin(number) > 0 else "q",
        }
        if number % 10 == 0 and gap:
            cells[gap] = ""
        lines.append(",".join(cells.values()))
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({"gap": "b"}, {"gap": "a"}, "makes Number of width 1 of column a, which is Number of width 2 now"),
        ({"gap": "k"}, {"gap": "b"}, "of column b, which is Number of width 2 now"),
        ({}, {"days": 7}, "of column day, which is"),
        ({"rare": "x"}, {"rare": "z"}, "makes 'w', 'y', 'z', others of column k, which is 'w', 'x', 'y', others now"),
    ],
    ids=["what is missing", "elsewhere", "how dates vary", "what is rare"],
)
def test_other_numbers_of_the_same_columns_are_no_rows_of_its_weights(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], why: str
) -> None:
    before = produce(train_work(epochs=1, target="y"), table_of(**first))
    folder = store(before, tmp_path / "before")
    assert begun(folder, before.digest, table_of(**first), epochs=1, target="y")
    with pytest.raises(StageError, match=why) as error:
        begun(folder, before.digest, table_of(**second), epochs=1, target="y")
    assert error.value.reason == "InitialUnsuited"
