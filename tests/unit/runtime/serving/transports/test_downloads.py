"""The report and the artifact over HTTP: who may have them, what they are, and what is not sent twice."""

import asyncio
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from tests.unit.runtime.serving.fakes import DIGEST, VERSION, FakeModel, client_of, core_of, front_of, numeric_model
from tests.unit.runtime.serving.mounts import mount
from tests.unit.runtime.serving.talking import connected

from modelservice.contract.access import Access
from modelservice.contract.places import API_KEYS_FOLDER
from modelservice.serving.access.gate import build_gate
from modelservice.serving.archive import PIECE, Archive
from modelservice.serving.core import Models
from modelservice.serving.protocols.base import Download
from modelservice.serving.transports.http.downloads import DownloadResponse
from modelservice.serving.transports.http.server import build_front
from modelservice.serving.transports.http.status import build_status_front

REPORT = f"/v2/models/iris/versions/{VERSION}/report"
ARTIFACT = f"/v2/models/iris/versions/{VERSION}/artifact"
FILES = {
    "manifest.json": b'{"name": "iris"}',
    "empty.json": b"",
    "block.json": bytes(512),
    "model.onnx": bytes(range(256)) * 2000,
}
KEY = "shop-0123456789abcdef"


def given_away() -> FakeModel:
    model = numeric_model()
    model.files = FILES
    return model


def test_an_archive_is_a_tar_that_its_files_determine() -> None:
    content = b"".join(Archive(FILES).pieces())
    assert len(content) == Archive(FILES).size
    assert content == b"".join(Archive(dict(FILES)).pieces())
    assert all(len(piece) <= PIECE for piece in Archive(FILES).pieces())
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        entries = tar.getmembers()
        assert [entry.name for entry in entries] == list(FILES)
        assert all(entry.isreg() and entry.mtime == 0 and entry.mode == 0o444 for entry in entries)
        assert {entry.name: tar.extractfile(entry).read() for entry in entries} == FILES  # type: ignore[union-attr]


async def test_the_report_is_what_the_artifact_says_of_itself() -> None:
    model = numeric_model()
    async with client_of(front_of(model)) as client:
        answer = await client.get(REPORT)
        page = (await client.get("/openapi.json")).json()["paths"]
    assert (answer.status_code, answer.json()) == (200, model.description)
    assert REPORT in page
    assert ARTIFACT not in page


async def test_a_model_is_given_away_only_where_that_is_asked_for() -> None:
    async with client_of(front_of(numeric_model())) as client:
        answer = await client.get(ARTIFACT)
    assert answer.status_code == 403
    assert "spec.serving.artifact" in answer.json()["error"]


async def test_the_artifact_comes_whole_over_a_connection() -> None:
    async with connected(front_of(given_away())) as client:
        got, head = await client.get(ARTIFACT), await client.head(ARTIFACT)
        again = await client.get(ARTIFACT, headers={"if-none-match": f'"sha256:0", W/{got.headers["etag"]}'})
        other = await client.get(ARTIFACT, headers={"if-none-match": '"sha256:0"'})
        page = (await client.get("/openapi.json")).json()["paths"]
    assert (got.status_code, got.headers["etag"]) == (200, f'"{DIGEST}"')
    assert (got.headers["content-type"], got.headers["cache-control"]) == ("application/x-tar", "private, no-cache")
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(b"".join(Archive(FILES).pieces())).digest()
    assert (head.status_code, head.content, head.headers) == (200, b"", got.headers)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", got.headers["etag"])
    assert (other.status_code, len(other.content)) == (200, len(got.content))
    assert ARTIFACT in page


async def test_who_has_the_beginning_gets_the_rest() -> None:
    whole = b"".join(Archive(FILES).pieces())
    async with connected(front_of(given_away())) as client:
        for start in (1, 511, 512, 1500, len(whole) - 1):
            for more in ({}, {"if-range": f'"{DIGEST}"'}):
                rest = await client.get(ARTIFACT, headers={"range": f"bytes={start}-", **more})
                assert (rest.status_code, rest.content) == (206, whole[start:])
                assert rest.headers["content-range"] == f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        beyond = await client.get(ARTIFACT, headers={"range": f"bytes={len(whole)}-"})
        assert (beyond.status_code, beyond.content) == (416, b"")
        assert beyond.headers["content-range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=0-"},
        {"range": "bytes=5-9"},
        {"range": "bytes=-5"},
        {"range": "bytes=1-,5-"},
        {"range": "lines=1-"},
        {"range": "bytes=1-", "if-range": '"sha256:0"'},
    ],
)
async def test_any_other_range_and_that_of_other_content_is_answered_with_all_of_it(headers: dict[str, str]) -> None:
    async with connected(front_of(given_away())) as client:
        answer = await client.get(ARTIFACT, headers=headers)
    assert (answer.status_code, len(answer.content)) == (200, Archive(FILES).size)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("path", [REPORT, ARTIFACT])
async def test_both_ask_for_a_key_where_predictions_do(tmp_path: Path, path: str) -> None:
    mount(tmp_path / API_KEYS_FOLDER, {"shop": KEY})
    access = Access.model_validate({"auth": {"apiKeys": {"secretRef": {"name": "keys"}}}, "artifact": {}})
    core = core_of(given_away(), gate=build_gate(access, tmp_path))
    async with client_of(build_front(Models([core]))) as client:
        assert (await client.get(path)).status_code == 401
        assert (await client.head(path)).status_code == 401
        assert (await client.get(path, headers={"x-api-key": KEY})).status_code == 200
    async with client_of(build_status_front(Models([core]))) as client:
        assert (await client.get(path, headers={"x-api-key": KEY})).status_code == 404


async def test_nothing_is_read_for_who_asks_for_the_head_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Archive] = []

    def pieces(archive: Archive, _start: int) -> Iterator[bytes]:
        read.append(archive)
        yield bytes(archive.size)

    monkeypatch.setattr(Archive, "pieces", pieces)
    async with connected(front_of(given_away())) as client:
        head = await client.head(ARTIFACT)
        assert (head.status_code, int(head.headers["content-length"]), read) == (200, Archive(FILES).size, [])
        assert len((await client.get(ARTIFACT)).content) == Archive(FILES).size
    assert len(read) == 1


async def test_others_are_served_between_the_pieces_for_a_client_that_never_makes_them_wait() -> None:
    sent: list[int] = []
    seen: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(len(message.get("body", b"")))

    async def other() -> None:
        while sum(sent) < Archive(FILES).size:
            seen.append(len(sent))
            await asyncio.sleep(0)

    archive = Archive(FILES)
    download = Download("/artifact", "", "application/x-tar", DIGEST, archive.size, archive.pieces)
    scope = {"type": "http", "method": "GET", "headers": []}
    waiting = asyncio.create_task(other())
    await DownloadResponse(download, Request(scope))(scope, None, send)  # type: ignore[arg-type]
    await waiting
    assert len(seen) >= len(list(archive.pieces())) - 1  # the other one begins after the first


async def test_another_version_is_not_there() -> None:
    async with client_of(front_of(given_away())) as client:
        answer = await client.get("/v2/models/iris/versions/8/artifact")
    assert answer.status_code == 404
    assert "version" in answer.json()["error"]
