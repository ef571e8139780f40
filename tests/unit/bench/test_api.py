"""The bench's own requests to an apiserver that closes connections that were left alone."""

import io
import ssl
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from tests.bench.kwok.api import Api


class _ClosedOnce:
    """A connection whose first request finds it closed by the other side."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed = 0

    def request(self, method: str, path: str, **_: Any) -> None:
        self.sent.append(f"{method} {path}")
        if len(self.sent) == 1:
            raise ssl.SSLEOFError("EOF occurred in violation of protocol")

    def getresponse(self) -> HTTPResponse:
        response = HTTPResponse(_Socket())  # type: ignore[arg-type]  # it reads a file of it
        response.begin()
        return response

    def close(self) -> None:
        self.closed += 1


class _Socket:
    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}')


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> _ClosedOnce:
    """What every ``Api`` of the test gets for its connection."""
    found = _ClosedOnce()
    monkeypatch.setattr("http.client.HTTPSConnection", lambda *_, **__: found)
    monkeypatch.setattr("ssl.create_default_context", lambda **_: None)
    return found


def _api() -> Api:
    return Api(port=1, token="", authority=Path("authority.pem"))


def test_what_may_be_sent_twice_is_sent_on_another_connection(connection: _ClosedOnce) -> None:
    assert _api().merge("/iris", {"spec": {}}) == {"ok": True}
    assert connection.sent == ["PATCH /iris", "PATCH /iris"]
    assert connection.closed == 1


@pytest.mark.parametrize(
    ("ask", "sent"),
    [
        (lambda api: api.create("/all", {}), "POST /all"),
        (lambda api: api.append("/iris", "/args/-", 1), "PATCH /iris"),
        (lambda api: api.delete("/iris"), "DELETE /iris"),
    ],
)
def test_what_would_be_another_thing_the_second_time_is_not(
    connection: _ClosedOnce, ask: Callable[[Api], object], sent: str
) -> None:
    with pytest.raises(ssl.SSLEOFError):
        ask(_api())
    assert connection.sent == [sent]
