"""What the OpenAPI page promises, asked by schemathesis: right and wrong bodies find no fault, and no hang."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from tests.unit.runtime.serving.fakes import FakeModel, client_of, front_of, image_model, mixed_model, regression_model
from tests.unit.runtime.serving.mounts import mount

from modelservice.contract.access import Access
from modelservice.contract.places import API_KEYS_FOLDER
from modelservice.serving.access.gate import build_gate

KEY = "shop-0123456789abcdef"
SECONDS = 10
"""For one answer: a model that is a sum of numbers needs a thousandth."""
QUICK = settings(
    max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
MODELS = (mixed_model, regression_model, image_model)


class Server:
    """An application with its own event loop, asked from outside of it."""

    def __init__(self, model: FakeModel, *, headers: dict[str, str] | None = None, **more: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._open(model, **more))
        self._client.headers.update(headers or {})
        self.schema = schemathesis.openapi.from_dict(self.ask("GET", "/openapi.json").json())

    async def _open(self, model: FakeModel, **more: Any) -> httpx.AsyncClient:
        return client_of(front_of(model, **more))

    def ask(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        async def answer() -> httpx.Response:
            async with asyncio.timeout(SECONDS):
                return await self._client.request(method, path, content=body)

        return self._runner.run(answer())

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


@pytest.fixture(scope="module", params=MODELS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    model: Callable[[], FakeModel] = request.param
    one = Server(model())
    yield one
    one.close()


def operations(server: Server) -> list[Any]:
    found: list[Any] = list(server.schema.get_all_operations())
    return [one.ok() for one in found]


def body_of(case: Any) -> bytes:
    """The generated body as JSON; one that JSON cannot say stays out."""
    if isinstance(case.body, bytes):
        return case.body
    if case.media_type is None:
        return b""
    return json.dumps(case.body).encode()


def late(body: Any) -> set[int]:
    """504, where the body says how long it may wait: a microsecond is over before a picture is decoded."""
    places = [body, body.get("parameters")] if isinstance(body, dict) else []
    return {504} if any(place.get("timeout") for place in places if isinstance(place, dict)) else set()


def test_every_page_answers(server: Server) -> None:
    paths = [one.path for one in operations(server) if one.method == "get"]
    assert len(paths) > 10
    for path in paths:
        assert server.ask("GET", path).status_code == 200, path


def test_a_page_with_security_schemes_is_read_and_every_page_answers(tmp_path: Path) -> None:
    mount(tmp_path / API_KEYS_FOLDER, {"shop": KEY})
    access = Access.model_validate({"auth": {"apiKeys": {"secretRef": {"name": "keys"}}}, "artifact": {}})
    one = Server(mixed_model(), gate=build_gate(access, tmp_path), headers={"x-api-key": KEY})
    try:
        paths = [operation.path for operation in operations(one) if operation.method == "get"]
        assert len(paths) > 10
        for path in paths:
            assert one.ask("GET", path).status_code == 200, path
    finally:
        one.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_body_finds_a_fault(server: Server, mode: GenerationMode) -> None:
    posts = [one for one in operations(server) if one.method == "post" and one.body]
    assert len(posts) >= 2
    codes: set[int] = set()

    @QUICK
    @given(case=st.one_of(*(one.as_strategy(generation_mode=mode) for one in posts)))
    def ask(case: Any) -> None:
        answer = server.ask("POST", case.operation.path, body_of(case))
        assert answer.status_code in {200, 400, 413, *late(case.body)}, (case.operation.path, case.body, answer.text)
        codes.add(answer.status_code)
        said = answer.json()
        if answer.status_code != 200:
            assert set(said) == {"error"}
            assert said["error"]
            assert "Traceback" not in said["error"]

    ask()
    if mode is GenerationMode.NEGATIVE:
        assert 400 in codes
        return
    # What the schema allows may still be too large a number, or columns of unequal lengths; not so what is shown.
    page = server.ask("GET", "/openapi.json").json()["paths"]
    for one in posts:
        shown = page[one.path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert server.ask("POST", one.path, json.dumps(shown).encode()).status_code == 200, one.path
