"""HTTP to the apiserver: one session, explicit time limits, errors translated at this one place, every request counted.

Plain aiohttp with dictionaries: a server-side apply through the generated client costs about three times the CPU.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp

from modelservice_operator.machinery.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Transient
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Kind, Object

READ_TIMEOUT_SECONDS = 30.0
"""Reads may wait for a busy apiserver; writes have a shorter limit of their own, from the lease."""

CONNECTIONS = 16
"""More than there are workers, so that neither leader election nor a progress poll ever waits for a connection."""

_NO_LIMIT = aiohttp.ClientTimeout(total=None)
"""``Transport.request`` sets the limit."""

_NO_ANSWER = "none"
_MESSAGE_LIMIT = 2048


_ERRORS: Mapping[int, type[KubeError]] = {
    400: Invalid,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    406: Invalid,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}
"""What the caller can act on; every other answer is ``Transient``."""


class Connection(Protocol):
    """Where the apiserver is and who we are there; kopf's ``ConnectionInfo`` is one."""

    @property
    def server(self) -> str:
        """URL of the apiserver, without a path."""

    def as_ssl_context(self) -> ssl.SSLContext:
        """Trust in the apiserver, and a client certificate where there is one."""

    def as_http_headers(self) -> dict[str, str]:
        """The ``Authorization`` header, if any."""


class Transport:
    """Requests to one apiserver.

    Credentials are read again when the apiserver answers 401: the kubelet replaces the token file long before the old
    token expires, so that costs one extra request an hour at most.
    """

    def __init__(self, *, connect: Callable[[], Connection], session: aiohttp.ClientSession, metrics: Metrics) -> None:
        self._connect = connect
        self._session = session
        self._metrics = metrics
        connection = connect()
        self._server = connection.server.rstrip("/")
        self._credentials = connection.as_http_headers()

    async def request(
        self,
        verb: str,
        method: str,
        kind: Kind,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Object | None = None,
        timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> Object:
        """Send one request and give the answer's JSON.

        Args:
            verb: The word of RBAC for it, which the metrics are labelled with.
            method: The HTTP method.
            kind: The kind of the object, which the metrics are labelled with.
            path: URL path.
            params: URL query.
            headers: Headers besides the credentials.
            body: Sent as JSON.
            timeout_seconds: Limit of the whole request, a second try with fresh credentials included.

        Raises:
            NotFound: 404.
            Conflict: 409.
            Forbidden: 403.
            Invalid: 400, 413, 422 and the like.
            Transient: Anything else that is not a success, or no answer in time.
        """
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        what = f"{verb} {kind.kind} {path}"
        content = {} if body is None else {"Content-Type": "application/json"}
        options: dict[str, Any] = {"params": params, "headers": {**content, **(headers or {})}, "data": data}
        try:
            async with asyncio.timeout(timeout_seconds):
                status, payload = await self._send(verb, method, kind, path, **options)
                if status == HTTPStatus.UNAUTHORIZED:
                    self._credentials = self._connect().as_http_headers()
                    status, payload = await self._send(verb, method, kind, path, **options)
        except TimeoutError as error:
            raise Transient(f"{what}: no answer in {timeout_seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"{what}: {str(error) or type(error).__name__}") from error
        return _answer(status, payload, what)

    async def _send(
        self, verb: str, method: str, kind: Kind, path: str, *, headers: Mapping[str, str], **options: Any
    ) -> tuple[int, bytes]:
        code = _NO_ANSWER
        try:
            sent = {**self._credentials, **headers}
            async with self._session.request(method, self._server + path, headers=sent, **options) as response:
                payload = await response.read()
                code = str(response.status)
                return response.status, payload
        finally:
            self._metrics.api_requests.labels(verb, kind.kind, code).inc()


@asynccontextmanager
async def open_transport(*, connect: Callable[[], Connection], metrics: Metrics) -> AsyncIterator[Transport]:
    """A transport with a session of its own, closed at the end."""
    connector = aiohttp.TCPConnector(ssl=connect().as_ssl_context(), limit=CONNECTIONS)
    agent = {"User-Agent": "modelservice-operator", "Accept": "application/json"}
    async with aiohttp.ClientSession(connector=connector, timeout=_NO_LIMIT, headers=agent) as session:
        yield Transport(connect=connect, session=session, metrics=metrics)


def _answer(status: int, payload: bytes, what: str) -> Object:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return _json_object(payload, what)
    message = _message(payload) or f"HTTP {status}"
    if (error := _ERRORS.get(status)) is not None:
        raise error(message)
    raise Transient(f"{what}: {status} {message}")


def _json_object(payload: bytes, what: str) -> Object:
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise Transient(f"{what}: the answer is no JSON") from error
    if not isinstance(answer, dict):
        raise Transient(f"{what}: the answer is no JSON object")
    return answer


def _message(payload: bytes) -> str:
    """The ``message`` of a meta/v1 Status, or the text of whatever stood between us and the apiserver."""
    text = payload.decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return text.strip()[:_MESSAGE_LIMIT]
