"""What reads a registry against one, or one that it leads on to, that lies."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.registry_server import PASSWORD, RegistryServer, registry_server
from tests.unit.runtime.artifact.images import NAME

from modelservice.artifact import registry_client
from modelservice.artifact.errors import StorageUnavailableError
from modelservice.artifact.registry import Registry
from modelservice.artifact.registry_credentials import find_credentials
from modelservice.contract.failure import StorageError

DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RegistryServer]:
    with registry_server(monkeypatch) as running:
        running.login_file(tmp_path)
        yield running


@pytest.fixture
def registry(server: RegistryServer, tmp_path: Path) -> Registry:
    def credentials() -> Any:
        return find_credentials(f"{server.host}/{NAME}", {"DOCKER_CONFIG": str(tmp_path)}, mounted=tmp_path)

    return Registry(server.host, NAME, plain_http=True, credentials=credentials, seconds=0)


def answers(server: RegistryServer, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Each GET and POST is answered by this."""
    for method in ("do_GET", "do_POST"):
        monkeypatch.setattr(server.RequestHandlerClass, method, answer, raising=False)


def read(registry: Registry, *, size: int = 3) -> bytes:
    return b"".join(map(bytes, registry.blob(DIGEST, size)))


def test_where_blobs_lie_nobody_says_who_gets_the_password(
    server: RegistryServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry_server(monkeypatch) as thief:
        server.redirect, thief.login = f"http://{thief.host}", "Bearer"
        shown: list[str] = []

        def token(handler: Any) -> None:
            shown.append(handler.headers.get("Authorization", ""))
            handler.answer(200, b"{}")

        monkeypatch.setattr(thief.RequestHandlerClass, "_token", token)
        with pytest.raises(StorageError, match="refuses"):
            read(registry)
    assert shown == []


@pytest.mark.parametrize("token", ["said\r\nX-More: secret-token", "secret-token\n", "", " ", None, ["secret-token"]])
def test_a_token_that_is_none_is_not_told(
    server: RegistryServer, registry: Registry, monkeypatch: pytest.MonkeyPatch, token: Any
) -> None:
    server.login = "Bearer"
    monkeypatch.setattr(
        server.RequestHandlerClass,
        "_token",
        lambda handler: handler.answer(200, json.dumps({"token": token, "access_token": token}).encode()),
    )
    with pytest.raises(StorageError) as refused:
        read(registry)
    assert "secret-token" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("place", ["http://[::1", "http://host:port/x", "http://host:99999/x", "//[x]/", "http:///"])
def test_an_address_that_is_none(
    server: RegistryServer, registry: Registry, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    answers(server, monkeypatch, lambda handler: handler.answer(202, b"", {"Location": place}))
    with pytest.raises(StorageError):
        registry.upload(lambda: [b"abc"], 3)
    answers(server, monkeypatch, lambda handler: handler.answer(307, b"", {"Location": place}))
    with pytest.raises(StorageError):
        read(registry)
    challenge = {"WWW-Authenticate": f'Bearer realm="{place}"'}
    answers(server, monkeypatch, lambda handler: handler.answer(401, b"", challenge))
    with pytest.raises(StorageError):
        read(registry)


def test_what_is_deeper_than_anybody_reads(
    server: RegistryServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(server, monkeypatch, lambda handler: handler.answer(400, b"[" * 100_000))
    with pytest.raises(StorageError, match="400"):
        read(registry)


@pytest.mark.parametrize("begins", [b"", b"ab"])
def test_a_blob_that_does_not_come_is_not_damaged(
    server: RegistryServer, registry: Registry, monkeypatch: pytest.MonkeyPatch, begins: bytes
) -> None:
    """Who reads would delete what is damaged, and train again."""

    def leave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "3")
        handler.end_headers()
        handler.wfile.write(begins)
        handler.close_connection = True

    answers(server, monkeypatch, leave)
    with pytest.raises(StorageUnavailableError, match="did not come"):
        read(registry)


def test_a_manifest_that_breaks_off_is_not_somebody_elses(
    server: RegistryServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "300")
        handler.end_headers()
        handler.wfile.write(b'{"schemaVersion": 2')
        handler.close_connection = True

    answers(server, monkeypatch, leave)
    with pytest.raises(StorageUnavailableError, match="281 bytes of an answer did not come"):
        registry.manifest("abc", ["a/b"])


@pytest.mark.parametrize("chunked", [True, False])
def test_a_manifest_that_drips_is_late_as_a_whole(
    server: RegistryServer, registry: Registry, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    # Each look at the clock is ten seconds after the last one.
    clock = SimpleNamespace(monotonic=itertools.count(step=10).__next__)
    monkeypatch.setattr(registry_client, "time", clock)
    gone, never = threading.Event(), threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "1000000")))
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(b"1\r\nx\r\n" if chunked else b"x")
                never.wait(0.005)
        gone.set()
        handler.close_connection = True

    answers(server, monkeypatch, drip)
    with pytest.raises(StorageUnavailableError, match="had not come after"):
        registry.manifest("abc", ["a/b"])
    assert gone.wait(10)
