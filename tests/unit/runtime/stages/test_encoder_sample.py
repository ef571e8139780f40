"""Samples with an encoder, with a small one in the store that they name: trained, stored and loaded."""

import os
from pathlib import Path

import pytest
from tests.support.object_server import ObjectServer, object_server
from tests.support.samples import SAMPLES, model_service, objects, sample_rows, sample_table
from tests.unit.runtime.families.berts import write_bert

import modelservice
from modelservice.contract.failure import StageError
from modelservice.families.pretrained import read_pretrained
from modelservice.modalities import objects as objects_module
from modelservice.modalities.errors import InputError

SAMPLE = SAMPLES / "encoder.yaml"
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
