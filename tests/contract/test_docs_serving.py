"""The requests of docs/serving.md, sent to the model that they were written for: the answers are those shown."""

import asyncio
import io
import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.support.document_runs import PICTURES
from tests.support.documents import typed_by
from tests.support.helm import ROOT
from tests.support.samples import SAMPLES
from tests.support.typing_in import checkout
from tests.unit.runtime.serving.fakes import CHEAP, client_of
from tests.unit.runtime.serving.talking import listening

import modelservice
from modelservice.contract.serving import Batching
from modelservice.inference.predictor import Predictor
from modelservice.serving.calls import MAX_ROWS
from modelservice.serving.chain import MAX_BODY, MAX_HEADER_BYTES, MAX_HEADERS
from modelservice.serving.core import Core, Models, build_core, share
from modelservice.serving.lifecycle import DRAIN_SECONDS, GRACE_SECONDS, Lifecycle
from modelservice.serving.transports.http.connection import InferenceConnection
from modelservice.serving.transports.http.server import build_front

TEXT = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^\$ curl -s localhost:8080(\S+) -d '(.*?)'\n(.*?)\n```", TEXT, re.MULTILINE | re.DOTALL)
CLIENT = re.compile(r"^## From Python$.*?^```python\n(.*?)^```\n\n```\n(.*?)^```", re.MULTILINE | re.DOTALL)
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


SAMPLE_OF = {
    "iris": "iris.yaml",
    "iris-tree": "decision-tree.yaml",
    "progression": "regression.yaml",
    "digits": "cnn.yaml",
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a sample's model, by its name; each is trained once."""
    there = tmp_path_factory.mktemp("docs")

    def folder(name: str) -> Path:
        output = there / name
        if not output.exists():
            modelservice.train(SAMPLES / SAMPLE_OF[name], output=output)
        return output

    return folder


@pytest.fixture(scope="module")
def trained(artifact: Callable[[str], Path]) -> Callable[[str], Predictor]:
    """The model of a sample, by its name; each is loaded once."""
    return cache(lambda name: Predictor.load(artifact(name)))


def core_of(model: Predictor, name: str = "iris") -> Core:
    """The core of a server with this model; to be called on the event loop."""
    with ThreadPoolExecutor(max_workers=1) as executor:  # never used: the model is cheap enough for the loop
        common = share(executor=executor, lifecycle=Lifecycle())
        return build_core(model, name=name, costs=CHEAP, batching=Batching(), common=common)


def ask(model: Predictor, name: str = "iris") -> httpx.AsyncClient:
    """A client of a server with this model; to be called on the event loop."""
    return client_of(build_front(Models([core_of(model, name)])))


def without_version(answer: dict[str, Any]) -> dict[str, Any]:
    """The version is that of the machine's Python and libraries."""
    return {key: value for key, value in answer.items() if key != "model_version"}


def comparable(answer: Any) -> Any:
    """Equal to answers whose numbers are within a thousandth."""
    if isinstance(answer, dict):
        return {key: comparable(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [comparable(value) for value in answer]
    return pytest.approx(answer, rel=1e-3, abs=1e-4) if isinstance(answer, float) else answer


def test_there_are_examples() -> None:
    assert len(CALLS) >= 6
    assert len(GETS) >= 7


@pytest.mark.parametrize(("path", "body", "shown"), CALLS)
async def test_requests_are_answered_as_shown(
    trained: Callable[[str], Predictor], path: str, body: str, shown: str
) -> None:
    name = re.split(r"[/:]", path)[3]
    async with ask(trained(name), name) as client:
        answer = await client.post(path, content=body)
    assert without_version(answer.json()) == comparable(without_version(json.loads(shown)))


@pytest.mark.parametrize(("path", "shown"), GETS)
async def test_pages_are_as_shown(trained: Callable[[str], Predictor], path: str, shown: str) -> None:
    async with ask(trained("iris")) as client:
        answer = await client.get(path)
    start, _, _ = re.sub(r'"[0-9a-f]{12}"', '"VERSION"', shown).partition("[...]")
    found = re.sub(r'"[0-9a-f]{12}"', '"VERSION"', answer.text)
    assert found.startswith(start.partition(",...")[0])


@pytest.mark.parametrize("what", REFUSED)
async def test_refusals_are_as_shown(trained: Callable[[str], Predictor], what: str) -> None:
    status, method, path, body = REFUSED[what]
    async with ask(trained("iris")) as client:
        answer = await client.request(method, path, content=json.dumps(body))
    assert answer.status_code == status
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {status} |")]
    assert f"`{answer.json()['error']}`" in row


async def test_our_client_prints_what_is_shown(trained: Callable[[str], Predictor]) -> None:
    found = CLIENT.search(TEXT)
    assert found is not None
    code, shown = found.groups()
    async with listening(InferenceConnection, core=core_of(trained("iris"))) as (port, _):
        with redirect_stdout(io.StringIO()) as printed:
            await asyncio.to_thread(exec, code.replace("localhost:8080", f"localhost:{port}"), {})
    assert printed.getvalue() == shown


async def test_commands_about_pictures_are_answered(
    artifact: Callable[[str], Path], trained: Callable[[str], Predictor]
) -> None:
    model = trained("digits")
    with checkout() as shell:
        shutil.copytree(artifact("digits"), shell.folder / "out" / "digits")
        picture, request = model.encoder.example(), shell.folder / "request.json"
        request.write_text(json.dumps({"instances": [picture], "label": model.labels[0]}))
        for name in ("picture.png", "another.jpg"):
            Image.fromarray(np.asarray(picture, np.uint8)).save(shell.folder / name)
        async with listening(InferenceConnection, core=core_of(model, "digits")) as (port, _):
            answers = await asyncio.to_thread(
                shell.type, typed_by(PICTURES, "docs/serving.md"), instead={"curl -s ...": f"curl -s localhost:{port}"}
            )
    kinds = [next(iter(json.loads(answer))) for answer in answers.values()]
    assert kinds == ["predictions", "predictions", "explanations", "explanations"]


def test_the_limits_are_those_of_the_server() -> None:
    said = " ".join(TEXT.split())
    assert f"{MAX_BODY // 2**20} MiB (as sent" in said
    assert f"{MAX_ROWS:,} rows, and {MAX_HEADERS} headers of {MAX_HEADER_BYTES // 1024} KiB" in said
    assert f"for {DRAIN_SECONDS:.0f} s: its Service" in said
    assert f"what it has within {GRACE_SECONDS} s" in said
