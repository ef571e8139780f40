"""A head of images that is served: pictures are decoded here, and what came together is asked together."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path

import pytest
from tests.unit.runtime.families.image_networks import pictures, png
from tests.unit.runtime.served import SEES, Counting, served, vision
from tests.unit.runtime.serving.fakes import client_of, front_of
from tests.unit.runtime.serving.test_heads import heads_front
from tests.unit.runtime.stages.test_shared_images import HEAD, STEPS, resource, zipped
from tests.unit.runtime.stages.test_shared_rows import gone

import modelservice
from modelservice.inference.predictor import Predictor

PATH = "/v1/models/moods"
FRESH = pictures(8, seed=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Predictor]:
    """The folder of a head, and its encoder."""
    folder = tmp_path_factory.mktemp("heads")
    encoder = vision(folder / "network", steps=STEPS)
    with served(encoder, name=SEES) as address:
        modelservice.train(resource(HEAD), zipped(folder / "data"), folder / "head", encoder=address)
    return folder / "head", encoder


async def test_pictures_that_come_together_are_asked_together(
    trained: tuple[Path, Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, encoder = trained
    counting = Counting(encoder.engine)
    monkeypatch.setattr(encoder, "engine", counting)
    with served(encoder, name=SEES) as address:
        async with client_of(heads_front(folder, address)) as client:
            counting.batches.clear()  # its examples
            bodies = [{"instances": [{"b64": b64encode(png(pixels)).decode()}]} for _, pixels in FRESH]
            answers = await asyncio.gather(*(client.post(f"{PATH}:predict", json=body) for body in bodies))
            batches = [*counting.batches]
            raw = await client.post(f"{PATH}:predict", content=png(FRESH[0][1]))
            explained = await client.post(f"{PATH}:explain", json={**bodies[0], "patch": 10, "heat_map": True})
    labels = [answer.json()["predictions"][0]["label"] for answer in answers]
    assert labels == [label for label, _ in FRESH]
    assert sum(batches) == len(FRESH)
    assert len(batches) < len(FRESH)
    assert raw.json() == answers[0].json()
    (one,) = explained.json()["explanations"]
    assert (one["label"], len(one["contributions"]), one["patch"]) == (labels[0], 2, 10)
    assert one["heat_map"]["b64"]


async def test_an_encoder_that_is_away_is_said(trained: tuple[Path, Predictor]) -> None:
    folder, _ = trained
    async with client_of(heads_front(folder, gone())) as client:
        answer = await client.post(f"{PATH}:predict", content=png(FRESH[0][1]))
        wrong = await client.post(f"{PATH}:predict", content=b"\xff\xd8\xffnothing")
        page = await client.get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"].startswith(f"the encoder {SEES} at http://")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "instances[0]: is neither a PNG nor a JPEG")
    assert page.status_code == 200


async def test_a_picture_has_its_time(trained: tuple[Path, Predictor]) -> None:
    """The encoder is told how long an answer is waited for: too little, and nothing is computed."""
    folder, encoder = trained
    with served(encoder, name=SEES) as address:
        async with client_of(heads_front(folder, address)) as client:
            body = {"instances": [FRESH[0][1].tolist()], "timeout": 1}
            answer = await client.post(f"{PATH}:predict", json=body)
    assert answer.status_code in {429, 504}, answer.text


async def test_examples_of_large_images_are_pictures_that_are_answered(tmp_path: Path) -> None:
    """As numbers they would be most of what a small model takes."""
    side = 64
    steps = {"size": {"height": side, "width": side}}
    model = vision(tmp_path / "network", shape=("batch", 3, side, side), steps=steps)
    async with client_of(front_of(model, name=SEES)) as client:
        document = (await client.get("/openapi.json")).json()
        asked = {
            path: methods["post"]["requestBody"]["content"]["application/json"]["example"]
            for path, methods in document["paths"].items()
            if path.endswith((":predict", "/infer"))
        }
        assert len(asked) == 2
        for path, body in asked.items():
            assert len(json.dumps(body)) < 1000
            answer = await client.post(path, json=body)
            assert answer.status_code == 200, answer.text
