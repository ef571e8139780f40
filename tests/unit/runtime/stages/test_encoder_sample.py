"""Samples with an encoder, with a small one in the store that they name: trained, stored and loaded."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.object_server import ObjectServer, object_server
from tests.support.samples import SAMPLES, model_service, objects, sample_rows, sample_table
from tests.unit.runtime.families.berts import read_bert, write_bert
from tests.unit.runtime.families.test_encoder import rows
from tests.unit.runtime.stages.pipelines import run_pod, train_work

import modelservice
from modelservice.artifact.stores import load_artifact
from modelservice.contract.data import Data
from modelservice.contract.encoders import PretrainedModel
from modelservice.contract.failure import Failure, StageError
from modelservice.contract.report import Success
from modelservice.contract.task import Task
from modelservice.contract.work_order import FetchWork
from modelservice.families import lora
from modelservice.families.base import Fitted
from modelservice.families.logistic import Logistic
from modelservice.families.pretrained import read_pretrained
from modelservice.modalities import objects as objects_module
from modelservice.modalities.base import Dataset
from modelservice.modalities.errors import InputError
from modelservice.modalities.tokens import Tokens
from modelservice.stages.recipe import Recipe

SAMPLE = SAMPLES / "encoder.yaml"
MINILM = SAMPLES / "minilm.yaml"
BESIDE = SAMPLES / "text-beside-columns.yaml"


def put_folder(server: ObjectServer, folder: Path) -> None:
    """Store the encoder where both samples read it."""
    for path in folder.rglob("*"):
        if path.is_file():
            server.objects[f"models/all-MiniLM-L6-v2/{path.relative_to(folder).as_posix()}"] = path.read_bytes()


def test_the_sample_learns_with_the_encoder_of_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    write_bert(tmp_path / "bert", max_position_embeddings=64)
    read_pretrained.cache_clear()
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        server.refusals = [(403, "AccessDenied")]
        with pytest.raises(
            StageError, match=r"keys .* with spec\.artifacts\.secretRef or spec\.training\.env"
        ) as caught:
            modelservice.train(SAMPLE, output=tmp_path / "model")
        assert caught.value.reason == "EncoderNotRead"
        with pytest.raises(StageError, match=r"s3://models/all-MiniLM-L6-v2 has no config\.json") as caught:
            modelservice.train(SAMPLE, output=tmp_path / "model")
        assert (caught.value.reason, caught.value.field) == ("EncoderNotFound", "spec.model.encoder.uri")
        put_folder(server, tmp_path / "bert")
        model = modelservice.train(SAMPLE, output=tmp_path / "model")
    rows = sample_rows(SAMPLE)
    answers = model.predict([{"message": row["message"]} for row in rows])
    right = sum(answer == row["team"] for answer, row in zip(answers, rows, strict=True))
    assert right / len(rows) > 0.6
    assert {one["metadata"]["name"] for one in objects(SAMPLE)} == {"tickets-encoder"}


def test_the_sample_with_columns_beside_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    write_bert(tmp_path / "bert", max_position_embeddings=32)
    read_pretrained.cache_clear()
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StageError) as caught:
            modelservice.train(BESIDE, output=tmp_path / "model")
        assert (caught.value.reason, caught.value.field) == ("EncoderNotFound", "spec.data.encoder.uri")
        put_folder(server, tmp_path / "bert")
        model = modelservice.train(BESIDE, output=tmp_path / "model")
    document = model_service(BESIDE)
    document["spec"]["compression"] = {"steps": [{"quantize": {}}], "maxAccuracyDrop": 0.5}
    table = tmp_path / "tickets.csv"
    table.write_bytes(sample_table(BESIDE))
    # The tokenizer is that of the trained model: a compression asks no store.
    small = modelservice.compress(document, tmp_path / "model", table, tmp_path / "small")
    rows = [{**row, "seats": float(row["seats"])} for row in sample_rows(BESIDE)]
    answers = model.predict([{name: row[name] for name in ("message", "seats", "plan")} for row in rows])
    right = sum(answer == row["priority"] for answer, row in zip(answers, rows, strict=True))
    assert right / len(rows) > 0.6
    with pytest.raises(InputError, match="is missing; null stands for an unknown value"):
        model.predict([{"seats": 3, "plan": "plus"}])
    assert model.predict([{"message": None, "seats": 3, "plan": "plus"}])[0] in {"urgent", "soon", "later"}
    # So few weights take less room as they are, which is said.
    assert small.manifest.compression is not None
    assert small.manifest.compression.message.startswith("the model is not smaller for it")
    assert small.predict([{"message": "Hello", "seats": 3, "plan": "plus"}])[0] in {"urgent", "soon", "later"}


@pytest.mark.parametrize("behind", [True, False])
def test_a_network_behind_an_encoder_of_columns_is_said_to_be_computed_by_onnx_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, behind: bool
) -> None:
    """Its family is one that torch serves, and there is no network for torch in its artifact."""
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    write_bert(tmp_path / "bert", max_position_embeddings=32)
    read_pretrained.cache_clear()
    said = model_service(BESIDE)["spec"]["data"]
    if not behind:
        del said["encoder"], said["columns"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tickets.csv").write_bytes(sample_table(BESIDE))
    work = train_work(epochs=1).model_copy(update={"data": Data.model_validate(said), "data_file": "tickets.csv"})
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        put_folder(server, tmp_path / "bert")
        made = run_pod(tmp_path, work, data=tmp_path / "data")
    assert isinstance(made, Success)
    assert (made.family, made.onnx_only) == ("mlp", behind)


def test_the_sample_without_a_head_answers_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop and in a pod it is the same artifact, whose numbers are those of the folder."""
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    write_bert(tmp_path / "bert", max_position_embeddings=64)
    read_pretrained.cache_clear()
    pretrained = PretrainedModel.model_validate(model_service(MINILM)["spec"]["model"]["pretrained"])
    work = FetchWork(pretrained=pretrained, field="spec.model.pretrained")
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        missing = run_pod(tmp_path, work, data=tmp_path)
        assert isinstance(missing, Failure)
        assert (missing.reason, missing.field) == ("EncoderNotFound", "spec.model.pretrained.uri")
        put_folder(server, tmp_path / "bert")
        model = modelservice.train(MINILM, output=tmp_path / "model")
        made = run_pod(tmp_path, work, data=tmp_path)
        server.objects.clear()
        again = run_pod(tmp_path, work, data=tmp_path)
    assert isinstance(made, Success)
    assert isinstance(again, Success)
    assert (made.stage, made.key, made.source, again.digest) == ("fetch", "abc", pretrained.uri, made.digest)
    stored = load_artifact(tmp_path / "abc")
    assert stored.manifest.files == model.manifest.files
    encoder = read_bert(f"file://{tmp_path / 'bert'}")
    assert (stored.manifest.key, stored.manifest.weights) == ("abc", encoder.digest)
    texts = ["The soup was fine", "an awful view of a poor room"]
    answers = np.array(model.predict(texts), dtype=np.float32)
    tokens = Tokens(encoder.tokenizer, max_length=64).encode(texts)
    np.testing.assert_allclose(answers, encoder.compute(tokens), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(answers, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"digest": f"sha256:{'0' * 64}"}, "EncoderChanged", "spec.model.pretrained.digest"),
        ({"max_length": 65}, "ModelUnsuited", "spec.model.pretrained.maxLength"),
    ],
)
def test_what_is_not_meant_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str, field: str) -> None:
    uri = write_bert(tmp_path / "bert", max_position_embeddings=64)
    work = FetchWork(pretrained=PretrainedModel(uri=uri, **changes), field="spec.model.pretrained")
    result = run_pod(tmp_path, work, data=tmp_path)
    assert isinstance(result, Failure)
    assert (result.reason, result.field) == (reason, field)


@pytest.mark.parametrize("head", [{"mlp": {"hiddenLayers": [8]}}, {"logistic": {}}], ids=["network", "logistic"])
def test_a_trial_of_an_encoder_that_learns_on_is_judged(tmp_path: Path, head: dict[str, Any]) -> None:
    uri = write_bert(tmp_path / "bert")
    model = {"encoder": {"uri": uri, "head": head, "fineTune": {"epochs": 1}}}
    dataset = rows(uri)
    judged = Recipe.of(train_work(model=model, target="label"), dataset).judge(dataset, lambda _: None)
    assert 0 <= judged.evaluation.primary_metric.value <= 1
    assert (judged.epochs is None) == ("mlp" not in head)


@pytest.mark.parametrize("asked", ["learn", "judge"])
def test_what_is_measured_on_validation_rows_is_another_head_on_the_encoder_that_serves(
    tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without these rows an encoder that learns on would be that of another epoch."""
    learned: list[Dataset] = []
    seen: list[Dataset] = []
    fine_tuned, fit = lora.fine_tuned, Logistic.fit

    def learning(encoder: Any, settings: Any, dataset: Dataset, **more: Any) -> Any:
        learned.append(dataset)
        return fine_tuned(encoder, settings, dataset, **more)

    def noting(self: Logistic, settings: Any, dataset: Dataset, *given: Any, **more: Any) -> Fitted:
        seen.append(dataset)
        return fit(self, settings, dataset, *given, **more)

    monkeypatch.setattr(lora, "fine_tuned", learning)
    monkeypatch.setattr(Logistic, "fit", noting)
    uri, tuned = write_bert(tmp_path / "bert"), {"epochs": 2}
    work = train_work(model={"encoder": {"uri": uri, "head": {"logistic": {}}, "fineTune": tuned}}, target="label")
    task = Task.model_validate({"classification": {"calibration": "Temperature"}})
    dataset = rows(uri)
    recipe = Recipe.of(work.model_copy(update={"task": task}), dataset)
    getattr(recipe, asked)(dataset, lambda _: None)
    assert [len(one.validation.values) for one in learned] == [len(dataset.validation.values)]
    assert [len(one.validation.values) for one in seen] == [len(dataset.validation.values), 0]
    np.testing.assert_array_equal(seen[1].train.features, seen[0].train.features)
