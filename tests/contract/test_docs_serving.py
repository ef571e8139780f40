"""The requests of docs/serving.md, sent to the model that they were written for: the answers are those shown."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.support.helm import ROOT
from tests.support.samples import SAMPLES
from tests.unit.runtime.serving.fakes import CHEAP, client_of

import modelservice
from modelservice.contract.serving import Batching
from modelservice.predictor import Predictor
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.main import build_front

TEXT = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^\$ curl -s localhost:8080(\S+) -d '(.*?)'\n(.*?)\n```", TEXT, re.MULTILINE | re.DOTALL)
GETS = re.findall(r"^\| `(/\S+)` \| `(\{.*?\})`", TEXT, re.MULTILINE)
REFUSED: dict[str, tuple[int, str, str, Any]] = {
    "a row too short": (400, "POST", "/v1/models/iris:predict", {"instances": [[5.1, 3.5, 1.4]]}),
    "text for a number": (
        400,
        "POST",
        "/v1/models/iris:predict",
        {"instances": [{"sepal_length": "x", "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8}]},
    ),
    "another model": (404, "POST", "/v1/models/wine:predict", {}),
    "wrong method": (405, "GET", "/v1/models/iris:predict", None),
    "too many rows": (413, "POST", "/v1/models/iris:predict", {"instances": [[1, 2, 3, 4]] * 10_001}),
}


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return modelservice.train(SAMPLES / "iris.yaml", output=tmp_path_factory.mktemp("docs") / "iris")


def ask(model: Predictor) -> httpx.AsyncClient:
    """A client of a server with this model; to be called on the event loop."""
    with ThreadPoolExecutor(max_workers=1) as executor:  # never used: the model is cheap enough for the loop
        front = build_front(
            model, name="iris", costs=CHEAP, batching=Batching(), executor=executor, lifecycle=Lifecycle()
        )
    return client_of(front)


def without_version(answer: Any) -> Any:
    """Numbers rounded, and the version left out, which is that of the machine's Python and torch."""
    if isinstance(answer, dict):
        left_out = {"model_version", "versions", "version"}
        return {key: without_version(value) for key, value in answer.items() if key not in left_out}
    if isinstance(answer, list):
        return [without_version(value) for value in answer]
    return round(answer, 4) if isinstance(answer, float) else answer


def test_there_are_examples() -> None:
    assert len(CALLS) >= 4
    assert len(GETS) >= 7


@pytest.mark.parametrize(("path", "body", "shown"), CALLS)
async def test_requests_are_answered_as_shown(iris: Predictor, path: str, body: str, shown: str) -> None:
    async with ask(iris) as client:
        answer = await client.post(path, content=body)
    assert without_version(answer.json()) == without_version(json.loads(shown))


@pytest.mark.parametrize(("path", "shown"), GETS)
async def test_pages_are_as_shown(iris: Predictor, path: str, shown: str) -> None:
    async with ask(iris) as client:
        answer = await client.get(path)
    start, _, _ = re.sub(r'"[0-9a-f]{12}"', '"VERSION"', shown).partition("[...]")
    found = re.sub(r'"[0-9a-f]{12}"', '"VERSION"', answer.text)
    assert found.startswith(start.partition(",...")[0])


@pytest.mark.parametrize("what", REFUSED)
async def test_refusals_are_as_shown(iris: Predictor, what: str) -> None:
    status, method, path, body = REFUSED[what]
    async with ask(iris) as client:
        answer = await client.request(method, path, content=json.dumps(body))
    assert answer.status_code == status
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {status} |")]
    assert f"`{answer.json()['error']}`" in row
