"""The sample with an encoder, with a small one in the store that it names: trained, stored and loaded."""

import os
from pathlib import Path

import pytest
from tests.support.object_server import object_server
from tests.support.samples import SAMPLES, objects, sample_rows
from tests.unit.runtime.families.berts import write_bert

import modelservice
from modelservice.contract.failure import StageError
from modelservice.families.pretrained import read_pretrained
from modelservice.modalities import objects as objects_module

SAMPLE = SAMPLES / "encoder.yaml"


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
        for path in (tmp_path / "bert").rglob("*"):
            if path.is_file():
                key = path.relative_to(tmp_path / "bert").as_posix()
                server.objects[f"models/all-MiniLM-L6-v2/{key}"] = path.read_bytes()
        model = modelservice.train(SAMPLE, output=tmp_path / "model")
    rows = sample_rows(SAMPLE)
    answers = model.predict([{"message": row["message"]} for row in rows])
    right = sum(answer == row["team"] for answer, row in zip(answers, rows, strict=True))
    assert right / len(rows) > 0.6
    assert {one["metadata"]["name"] for one in objects(SAMPLE)} == {"tickets-encoder"}
