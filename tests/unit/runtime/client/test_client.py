"""The client against the real application on loopback."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from tests.unit.runtime.serving.access.test_certificates import CLIENTS, SERVERS, SHOP, core, serving
from tests.unit.runtime.serving.access.test_gate import ACCESS, KEY
from tests.unit.runtime.serving.fakes import LABELS, NUMERIC_COLUMNS, core_of, numeric_model, regression_model
from tests.unit.runtime.serving.mounts import mount
from tests.unit.runtime.serving.talking import listening

import modelservice
from modelservice.client import ClientError, rows
from modelservice.contract.places import API_KEYS_FOLDER
from modelservice.serving.access.gate import build_gate
from modelservice.serving.calls import MAX_ROWS
from modelservice.serving.chain import MAX_BODY
from modelservice.serving.transports.http.connection import InferenceConnection

ROWS = [[1, 2], [3, 4]]
FRAME = pandas.DataFrame(ROWS, columns=list(NUMERIC_COLUMNS), index=["a", "b"])


@asynccontextmanager
async def served(**more: Any) -> AsyncIterator[str]:
    async with listening(InferenceConnection, **more) as (port, _):
        yield f"http://127.0.0.1:{port}"


async def test_every_kind_of_data_gets_the_same_answers() -> None:
    async with served() as url, modelservice.connect_async(url) as model:
        names = [column["name"] for column in (await model.metadata())["inputs"]][:2]
        assert names
        listed = await model.predict(ROWS)
        assert len(listed) == 2
        assert await model.predict(numpy.array(ROWS)) == listed
        assert await model.predict(dict(zip(NUMERIC_COLUMNS, zip(*ROWS, strict=True), strict=True))) == listed
        assert (await model.predict(FRAME)).to_dict() == dict(zip("ab", listed, strict=True))
        explained = await model.explain(ROWS, label=listed[0])
        assert [answer["label"] for answer in explained] == [listed[0]] * 2
        with pytest.raises(ClientError, match="HTTP 400") as refused:
            await model.predict([["a"]])
        assert refused.value.status == 400


async def test_a_client_that_waits_answers_as_one_that_is_awaited() -> None:
    def wait(url: str) -> list[Any]:
        with modelservice.connect(url, model="iris") as model:
            return [model.metadata, model.predict(ROWS), model.predict_proba(ROWS), model.explain(ROWS)]

    async with served() as url, modelservice.connect_async(url) as model:
        awaited = [await model.metadata(), await model.predict(ROWS), await model.predict_proba(ROWS)]
        assert await asyncio.to_thread(wait, url) == [*awaited, await model.explain(ROWS)]


async def test_probabilities_keep_the_index_of_a_frame() -> None:
    async with served() as url, modelservice.connect_async(url) as model:
        answer = await model.predict_proba(FRAME)
        assert list(answer.index) == ["a", "b"]
        assert list(answer.columns) == list(LABELS)
        assert answer.to_dict("records") == await model.predict_proba(ROWS)
        assert answer.sum(axis=1).tolist() == pytest.approx([1, 1])


async def test_a_regression_has_no_probabilities() -> None:
    async with served(model=regression_model()) as url, modelservice.connect_async(url) as model:
        with pytest.raises(ValueError, match="call predict"):
            await model.predict_proba(ROWS)


async def test_a_key_is_sent_and_without_it_the_servers_sentence_is_raised(tmp_path: Path) -> None:
    mount(tmp_path / API_KEYS_FOLDER, {"shop": KEY})
    async with served(core=core_of(numeric_model(), gate=build_gate(ACCESS, tmp_path))) as url:
        async with modelservice.connect_async(url, token=KEY) as model:
            assert len(await model.predict(ROWS)) == 2
        async with modelservice.connect_async(url, model="iris") as model:
            with pytest.raises(ClientError, match="the credential is missing") as refused:
                await model.predict(ROWS)
        assert refused.value.status == 401


async def test_servers_are_trusted_by_their_authority_and_trust_by_a_certificate(tmp_path: Path) -> None:
    ca, shown, key = (tmp_path / name for name in ("ca.pem", "shown.pem", "key.pem"))
    ca.write_bytes(SERVERS.pem)
    shown.write_bytes(SHOP["tls.crt"])
    key.write_bytes(SHOP["tls.key"])
    async with serving(core(tmp_path, {})) as port:
        url = f"https://127.0.0.1:{port}"
        given: dict[str, Any] = {"ca": str(ca), "certificate": str(shown), "key": str(key)}
        async with modelservice.connect_async(url, **given) as model:
            assert len(await model.predict(ROWS)) == 2
        ca.write_bytes(CLIENTS.pem)
        async with modelservice.connect_async(url, **given) as model:
            with pytest.raises(ClientError, match=rf"^{url}/ refuses TLS.*check ca, certificate and key$") as refused:
                await model.predict(ROWS)
        with modelservice.connect(url, **given) as waiting, pytest.raises(ClientError, match="refuses TLS"):
            await asyncio.to_thread(waiting.predict, ROWS)
    assert refused.value.status is None


@pytest.mark.parametrize(
    ("gone", "said"),
    [(False, "did not answer within 0.05 s; give a larger"), (True, "cannot be reached: .*; check the address$")],
)
async def test_a_server_that_is_silent_or_gone_is_named(gone: bool, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        if gone:
            silent.close()
        wait = 60.0 if gone else 0.05
        async with modelservice.connect_async(url, timeout=wait) as model:
            with pytest.raises(ClientError, match=f"^{url}/ {said}"):
                await model.predict(ROWS)
        with modelservice.connect(url, timeout=wait) as waiting, pytest.raises(ClientError, match=f"^{url}/ {said}"):
            waiting.predict(ROWS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "http://a:b"}, r"url 'http://a:b' is no address: .*; give one"),
        ({"token": "secret\n"}, "^token has a line end .*strip what a file added$"),
        ({"ca": "nowhere.pem"}, "ca 'nowhere.pem'.* cannot be used: .*give PEM files"),
        ({"key": "key.pem"}, "give certificate as well"),
    ],
)
def test_what_nothing_can_be_connected_with_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        modelservice.connect(**{"url": "http://a", **given})


def test_an_address_without_a_scheme_is_named() -> None:
    with modelservice.connect("localhost:8080") as model, pytest.raises(ClientError, match="check the address"):
        model.predict(ROWS)


def test_the_limits_are_those_of_the_server() -> None:
    assert rows.MAX_ROWS == MAX_ROWS
    assert 1024 <= MAX_BODY - rows.MAX_BYTES < 4096


@pytest.mark.parametrize("name", ["connect", "connect_async"])
def test_without_httpx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "modelservice.client", None)
    with pytest.raises(ModuleNotFoundError, match=rf"modelservice\.{name} needs the extra `client` \(pip install"):
        getattr(modelservice, name)
