"""``:explain`` of images by a model's derivatives: integrated gradients and SmoothGrad, where the engine has them."""

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.serving.fakes import (
    SIDE,
    FakeEngine,
    FakeModel,
    client_of,
    front_of,
    image_model,
    numeric_model,
)

from modelservice.inference.explaining.slopes import METHODS
from modelservice.inference.predictor import Predictor
from modelservice.modalities.base import Features
from modelservice.serving.alone import answer_alone
from modelservice.serving.calls import MAX_ROWS
from modelservice.tasks.base import Array

PATH = "/v1/models/iris:explain"
IMAGE = [[100, 100, 200, 200]] * 2 + [[100] * 4, [0, 100, 100, 101]]


class Squares(FakeEngine):
    """The sum of squared features, and its derivatives: what a pixel adds is its own square."""

    name = "Torch"

    def run(self, features: Features) -> Array:
        sums = np.square(features.reshape(len(features), -1)).sum(axis=1, dtype=np.float32)[:, None]
        return np.asarray(sums * np.arange(1, self.width + 1), dtype=np.float32)

    def gradients(self, features: Features, output: int) -> Array:
        self.batches.append(len(features))
        flat = features.reshape(len(features), -1)
        factor = output + 1
        return np.concatenate([factor * np.square(flat).sum(axis=1, keepdims=True), factor * 2 * flat], axis=1)


def squares(labels: tuple[str, ...] = ()) -> FakeModel:
    model = image_model(labels)
    model.engine = Squares(model.encoder.shape, labels)
    return model


async def post(model: FakeModel, **body: Any) -> tuple[int, Any]:
    async with client_of(front_of(model)) as client:
        answer = await client.post(PATH, json={"instances": [IMAGE], **body})
        return answer.status_code, answer.json()


def features(image: Any) -> Any:
    return (np.array(image, dtype=np.float64) - 100) / 1000


async def test_gradients_on_the_way_add_up_to_what_the_answers_differ_by() -> None:
    model = squares()
    status, answer = await post(model, method="IntegratedGradients", evaluations=10)
    assert status == 200
    assert (answer["method"], answer["exact"]) == ("IntegratedGradients", False)
    (found,) = answer["explanations"]
    assert found["contributions"] == pytest.approx(np.square(features(IMAGE)), abs=1e-7)
    assert found["value"] - found["base"] == pytest.approx(np.sum(found["contributions"]), abs=1e-6)
    assert (found["base"], found["patch"], found["output"]) == (0.0, 1, "value")
    assert model.engine.batches[-1] == 10 + 2


async def test_pixels_are_added_up_to_patches_and_drawn() -> None:
    _, answer = await post(squares(), method="IntegratedGradients", patch=3, heat_map=True)
    (found,) = answer["explanations"]
    pixels = np.square(features(IMAGE))
    expected = [[pixels[:3, :3].sum(), pixels[:3, 3].sum()], [pixels[3, :3].sum(), pixels[3, 3]]]
    np.testing.assert_allclose(found["contributions"], expected, atol=1e-7)
    assert found["heat_map"]["b64"]


async def test_one_label_is_explained_of_each_image() -> None:
    asked = {"instances": [IMAGE, [[100] * SIDE] * SIDE], "label": "virginica", "method": "IntegratedGradients"}
    status, answer = await post(squares(("setosa", "versicolor", "virginica")), **asked)
    assert status == 200
    first, plain = answer["explanations"]
    assert first["label"] == plain["label"] == "virginica"
    np.testing.assert_allclose(first["contributions"], 3 * np.square(features(IMAGE)), atol=1e-7)
    assert not np.any(plain["contributions"])


async def test_noise_is_the_same_for_the_same_seed() -> None:
    asked = {"method": "SmoothGrad", "evaluations": 500}
    found = [(await post(squares(), **asked, seed=seed))[1]["explanations"][0] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    np.testing.assert_allclose(
        found[0]["contributions"], 2 * features(IMAGE), atol=0.01
    )  # of squares, with mean noise 0


@pytest.mark.parametrize(
    ("model", "body", "status", "said"),
    [
        (squares, {"method": "Magic"}, 400, "method: the text 'Magic'; expected Occlusion or IntegratedGradients"),
        (squares, {"method": 1}, 400, "method: the number 1; expected"),
        (image_model, {"method": "SmoothGrad"}, 400, "; others need torch: spec.serving.engine: Torch"),
        (
            numeric_model,
            {"method": "SmoothGrad", "instances": [[1, 2]]},
            400,
            "expected Shapley; SmoothGrad is of images",
        ),
        (lambda: squares(("a", "b", "c")), {"method": "SmoothGrad"}, 400, "label: SmoothGrad explains one label"),
        (squares, {"method": "SmoothGrad", "evaluations": 0}, 400, "evaluations: must be a whole number from 1"),
        (squares, {"method": "SmoothGrad", "evaluations": MAX_ROWS}, 413, "1 images take 10002 evaluations"),
        (squares, {"method": "SmoothGrad", "instances": [[[1]]]}, 400, "instances[0]: has shape [1, 1]"),
    ],
)
async def test_what_cannot_be_explained_so_is_said(model: Any, body: Any, status: int, said: str) -> None:
    found, answer = await post(model(), **body)
    assert found == status
    assert said in answer["error"]


def predictor_of(model: FakeModel) -> Predictor:
    manifest: Any = SimpleNamespace(name="iris")
    return Predictor(
        digest=model.digest,
        manifest=manifest,
        signature=model.signature,
        encoder=model.encoder,
        engine=model.engine,
        task=model.task,
        reports={},
        description={},
    )


@pytest.mark.parametrize("method", ["Occlusion", *METHODS])
async def test_python_and_the_command_answer_as_the_server_does(method: str) -> None:
    labels = ("setosa", "versicolor", "virginica")
    _, answer = await post(squares(labels), method=method, label="virginica")
    images = np.array([IMAGE])
    found = predictor_of(squares(labels)).explain(images, label="virginica", method=method)
    assert json.loads(json.dumps(found)) == answer["explanations"]
    body = json.dumps({"instances": [IMAGE], "label": "virginica"}).encode()
    assert json.loads(answer_alone(squares(labels), body, explains=True, method=method)) == answer


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        (squares, {"method": "Magic"}, "method: the text 'Magic'; expected Occlusion or IntegratedGradients"),
        (image_model, {"method": "SmoothGrad", "label": "setosa"}, "; others need torch"),
        (lambda: squares(("a", "b", "c")), {"method": "SmoothGrad"}, "label: SmoothGrad explains one label"),
        (squares, {"method": "SmoothGrad", "evaluations": 0}, "evaluations: 0; SmoothGrad needs at least 1"),
        (numeric_model, {"method": "Occlusion"}, "method: the text 'Occlusion'; expected Shapley; Occlusion is of"),
    ],
)
def test_what_python_refuses(model: Any, asked: Any, said: str) -> None:
    rows = np.ones((1, 2)) if model is numeric_model else np.array([IMAGE])
    with pytest.raises(ValueError, match=re.escape(said)):
        predictor_of(model()).explain(rows, **asked)


async def test_occlusion_can_be_asked_for_by_its_name() -> None:
    assert await post(image_model(), method="Occlusion") == await post(image_model())


async def test_the_page_names_the_methods_that_there_are() -> None:
    for model, named in ((squares(), ["Occlusion", *METHODS]), (image_model(), None)):
        async with client_of(front_of(model)) as client:
            page = (await client.get("/openapi.json")).json()
        schema = page["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert schema["properties"].get("method", {}).get("enum") == named
