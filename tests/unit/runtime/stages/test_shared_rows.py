"""A head of a shared encoder: trained on what the encoder's service answers, and stored without the encoder."""

import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.support.samples import SAMPLES, model_service, sample_rows
from tests.unit.runtime.families.berts import TEXTS
from tests.unit.runtime.served import NAME, Counting, bert, served
from tests.unit.runtime.stages.pipelines import run_pod, train_work

import modelservice
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.stores import load_artifact
from modelservice.contract.data import Data
from modelservice.contract.failure import Failure, PassingError, StageError
from modelservice.contract.manifest import SharedEncoder
from modelservice.contract.report import Success
from modelservice.contract.work_order import FetchWork, TrainWork
from modelservice.inference.encoder_wire import NotAnsweredError, Trouble
from modelservice.inference.predictor import Predictor
from modelservice.stages import shared_rows
from modelservice.stages.documents import ResourceError

SAMPLE, MINILM = SAMPLES / "shared-encoder.yaml", SAMPLES / "minilm.yaml"
HEAD = {"service": {"name": NAME}, "head": {"logistic": {"c": 10}}}


def table(folder: Path) -> Path:
    """80 rows of 12 different texts, those of good and bad words."""
    lines = ["text,mood"]
    for place in range(96):
        text = TEXTS[place % len(TEXTS)]
        lines.append(f"{text},{'good' if text.endswith(('fine', 'great')) else 'bad'}")
    folder.mkdir(exist_ok=True)
    (folder / "moods.csv").write_text("\n".join(lines))
    return folder / "moods.csv"


def resource(encoder: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "moods"},
        "spec": {
            "data": {"configMap": {"name": "moods"}, "text": {"column": "text"}, "target": "mood"},
            "model": {"encoder": encoder},
            **spec,
        },
    }


def order(address: str | None, **service: Any) -> TrainWork:
    work = train_work(
        file="moods.csv", target="mood", model={"encoder": {**HEAD, "service": {"name": NAME, **service}}}
    )
    data = Data.model_validate({"configMap": {"name": "moods"}, "text": {"column": "text"}, "target": "mood"})
    return work.model_copy(update={"data": data, "encoder": address})


def gone() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_head_answers_as_with_the_encoder_inside_and_is_stored_without_it(tmp_path: Path) -> None:
    encoder, data = bert(tmp_path / "bert"), table(tmp_path / "data")
    inside = resource({"uri": f"file://{tmp_path / 'bert'}", "head": HEAD["head"]})
    inside["spec"]["data"]["text"]["maxLength"] = 8
    whole = modelservice.train(inside, data, tmp_path / "whole")
    encoder.engine = counting = Counting(encoder.engine)
    with served(encoder) as address:
        counting.batches.clear()  # its examples
        head = modelservice.train(resource(HEAD), data, tmp_path / "head", encoder=address)
        np.testing.assert_allclose(head.predict_proba(TEXTS), whole.predict_proba(TEXTS), atol=1e-4)
        # Texts of training, validation and test rows, each once; then those that were asked about just now.
        assert (len(counting.batches), sum(counting.batches[:3]), counting.batches[3]) == (4, len(TEXTS), len(TEXTS))
        again = modelservice.load(tmp_path / "head", encoder=address)
        assert (
            again.predict([{"text": "the soup was great"}, {"text": " the soup was great "}, None])[:2] == ["good"] * 2
        )
        assert again.explain(["the soup was great"])[0]["contributions"]
    assert head.manifest.encoder == SharedEncoder(name=NAME, digest=encoder.digest, width=16)
    assert (head.manifest.modality, head.manifest.family) == ("EmbeddedText", "encoder")
    assert head.manifest.files["model.onnx"].size < 4096 < whole.manifest.files["model.onnx"].size
    note = f"the encoder is the service {NAME} of {encoder.digest}, 16 numbers of a row"
    assert head.manifest.data is not None
    assert note in head.manifest.data.notes
    assert whole.manifest.encoder is None
    assert b'"encoder": {' not in (tmp_path / "whole" / "manifest.json").read_bytes()


def test_the_sample_learns_with_the_encoder_that_it_names(tmp_path: Path) -> None:
    encoder = bert(tmp_path / "bert", length=64, max_position_embeddings=64)
    with served(encoder) as address:
        model = modelservice.train(SAMPLE, output=tmp_path / "model", encoder=address)
        rows = sample_rows(SAMPLE)
        answers = model.predict([{"message": row["message"]} for row in rows])
    right = sum(answer == row["team"] for answer, row in zip(answers, rows, strict=True))
    assert right / len(rows) > 0.6
    assert (
        model_service(SAMPLE)["spec"]["model"]["encoder"]["service"]["name"]
        == model_service(MINILM)["metadata"]["name"]
    )


def test_another_encoder_is_another_key(tmp_path: Path) -> None:
    data, keys = table(tmp_path / "data"), []
    for width in (16, 32):
        with served(bert(tmp_path / f"bert{width}", hidden_size=width, documents={})) as address:
            head = modelservice.train(resource(HEAD), data, tmp_path / f"head{width}", encoder=address)
            keys.append(head.manifest.key)
            assert head.manifest.encoder is not None
            assert head.manifest.encoder.width == width
            assert head.predict(["the soup was great"]) == ["good"]
    assert keys[0] != keys[1]


def test_numbers_of_another_encoder_are_none(tmp_path: Path) -> None:
    data = table(tmp_path / "data")
    first, second = bert(tmp_path / "first"), bert(tmp_path / "second", intermediate_size=20)
    with served(first) as address:
        modelservice.train(resource(HEAD), data, tmp_path / "head", encoder=address)
    with served(second) as address:
        head = Predictor.load(tmp_path / "head", encoder=address)
        with pytest.raises(
            NotAnsweredError, match=f"{first.digest}' is asked for|is served as {second.digest}"
        ) as caught:
            head.predict(["the soup was great"])
        assert caught.value.trouble is Trouble.CHANGED
        failed = run_pod(tmp_path, order(address, digest=first.digest), data=data.parent)
    assert isinstance(failed, Failure)
    assert (failed.reason, failed.retry, failed.field) == ("EncoderChanged", "Soon", "spec.model.encoder.service")
    assert second.digest in failed.message


def test_an_artifact_that_names_two_encoders_or_another_host_is_none(tmp_path: Path) -> None:
    """The operator makes an address of the name that the manifest has."""
    with served(bert(tmp_path / "bert")) as address:
        modelservice.train(resource(HEAD), table(tmp_path / "data"), tmp_path / "head", encoder=address)
    head = load_artifact(tmp_path / "head")
    encoder = head.manifest.encoder
    assert encoder is not None
    for other in (None, encoder.model_copy(update={"name": "other"})):
        manifest = head.manifest.model_copy(update={"encoder": other})
        with pytest.raises(ArtifactError, match="name different encoders"):
            Predictor.from_artifact(replace(head, manifest=manifest))
    with pytest.raises(ValidationError, match="must be lower-case letters"):
        SharedEncoder(name="elsewhere.example#", digest=encoder.digest, width=16)


def test_a_pod_asks_where_its_order_says(tmp_path: Path) -> None:
    encoder, data = bert(tmp_path / "bert"), table(tmp_path / "data")
    with served(encoder) as address:
        done = run_pod(tmp_path, order(address, digest=encoder.digest), data=data.parent)
    assert isinstance(done, Success)
    assert done.encoder == SharedEncoder(name=NAME, digest=encoder.digest, width=16)
    failed = run_pod(tmp_path / "data", order(None), data=data.parent)
    assert isinstance(failed, Failure)
    assert failed.reason == "OrderInvalid"


def test_a_training_waits_for_its_encoder_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the third time that it was asked; what comes never ends the pod, for the next one to go on."""
    encoder, data, address, waits = bert(tmp_path / "bert"), table(tmp_path / "data"), gone(), list[float]()
    port = int(address.rpartition(":")[2])
    servers = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            servers.append(served(encoder, port=port))
            servers[0].__enter__()

    monkeypatch.setattr(time, "sleep", wait)
    try:
        done = run_pod(tmp_path, order(address), data=data.parent)
    finally:
        servers[0].__exit__(None, None, None)
    assert isinstance(done, Success)
    assert waits == [1.0] * 3
    monkeypatch.setattr(shared_rows, "PATIENCE_SECONDS", -1.0)
    (tmp_path / "again").mkdir()
    failed = run_pod(tmp_path / "again", order(gone()), data=data.parent)
    assert isinstance(failed, Failure)
    assert (failed.reason, failed.about, failed.retry) == ("EncoderAway", "Platform", "Soon")
    assert "the encoder minilm at http://127.0.0.1" in failed.message


def test_a_laptop_says_where_the_encoder_answers(tmp_path: Path) -> None:
    data = table(tmp_path / "data")
    with pytest.raises(ResourceError, match=r"service names minilm: start it with modelservice serve"):
        modelservice.train(resource(HEAD), data, tmp_path / "head")
    with pytest.raises(ResourceError, match=r"--encoder: spec\.model\.encoder\.service is not set"):
        modelservice.train(resource({"uri": "file:///m"}), data, tmp_path / "head", encoder="http://a")
    with pytest.raises(
        StageError, match=r"'minilm:80' is no address of an encoder: expected http://HOST:PORT"
    ) as caught:
        modelservice.train(resource(HEAD), data, tmp_path / "head", encoder="minilm:80")
    assert caught.value.reason == "EncoderUnsuited"
    with pytest.raises(PassingError, match="does not answer") as away:
        modelservice.train(resource(HEAD), data, tmp_path / "head", encoder=gone())
    assert away.value.reason == "EncoderAway"


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    data = table(tmp_path / "data")
    with served(bert(tmp_path / "bert")) as address:
        head = modelservice.train(resource(HEAD), data, tmp_path / "head", encoder=address)
        with pytest.raises(StageError, match="answers with 404: no model named 'other' here") as caught:
            modelservice.train(resource({"service": {"name": "other"}}), data, tmp_path / "x", encoder=address)
        assert caught.value.reason == "EncoderUnsuited"
        with (
            served(head) as second,
            pytest.raises(StageError, match=f"minilm at {second} is no encoder, since it has no output embedding"),
        ):
            modelservice.train(resource(HEAD), data, tmp_path / "x", encoder=second)


def test_a_head_is_no_model_that_another_cluster_can_fetch(tmp_path: Path) -> None:
    data = table(tmp_path / "data")
    with served(bert(tmp_path / "bert")) as address:
        modelservice.train(resource(HEAD), data, tmp_path / "head", encoder=address)
    stored = load_artifact(tmp_path / "head")
    source = {"uri": "pvc://claim/head", "digest": stored.digest}
    work = FetchWork.model_validate({"source": source, "file": "head", "field": "spec.model.artifact"})
    failed = run_pod(tmp_path, work, data=tmp_path)
    assert isinstance(failed, Failure)
    assert failed.reason == "ModelUnsuited"
    assert "is a head that asks the encoder minilm, which it does not hold" in failed.message
