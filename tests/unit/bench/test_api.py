"""The bench's own requests to an apiserver that closes connections that were left alone."""

import io
import ssl
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
        response = HTTPResponse(_Socket())
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


def test_a_creation_is_not_sent_twice(connection: _ClosedOnce) -> None:
    with pytest.raises(ssl.SSLEOFError):
        _api().create("/all", {})
    assert connection.sent == ["POST /all"]
