"""HTTP to the apiserver: one session, explicit time limits, errors translated at this one place, every request counted.

Plain aiohttp with dictionaries: a server-side apply through the generated client costs about three times the CPU.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import aiohttp

from modelservice_operator.machinery.codec import dump_json, parse_json
from modelservice_operator.machinery.errors import (
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    TooLarge,
    Transient,
)
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Kind, Object

READ_TIMEOUT_SECONDS = 30.0
"""Reads may wait for a busy apiserver; writes have a shorter limit of their own, from the lease."""

ANSWER_BYTES = 4 * 1024 * 1024
"""Of an answer: etcd takes objects of 1.5 MiB, and JSON may spell one of their bytes with six. Parsed, an answer takes
ten times its bytes and more."""

CONNECT_SECONDS = 10.0

CONNECTIONS = 16
"""More than there are workers, so that neither leader election nor a progress poll ever waits for a connection."""

_SECONDS = re.compile("[0-9]{1,4}")
"""What the apiserver says in ``Retry-After``, while it sheds load; HTTP would let it be a date, too."""

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
    410: Expired,
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

    async def request(self, verb: str, method: str, kind: Kind, path: str, **options: Any) -> Object:
        """Send one request and give the answer's JSON.

        Args:
            verb: The word of RBAC for it, which the metrics are labelled with.
            method: The HTTP method.
            kind: The kind of the object, which the metrics are labelled with.
            path: URL path.
            options: Those of ``read``.

        Raises:
            KubeError: As ``read`` says.
            Transient: What came is no JSON object.
            TooLarge: What came is nested too deeply.
        """
        return parsed(await self.read(verb, method, kind, path, **options), f"{verb} {kind.kind} {path}")

    async def read(
        self,
        verb: str,
        method: str,
        kind: Kind,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Object | list[Object] | None = None,
        timeout_seconds: float = READ_TIMEOUT_SECONDS,
        limit_bytes: int = ANSWER_BYTES,
    ) -> bytes:
        """Send one request and give the answer as it came.

        Args:
            verb: The word of RBAC for it, which the metrics are labelled with.
            method: The HTTP method.
            kind: The kind of the object, which the metrics are labelled with.
            path: URL path.
            params: URL query.
            headers: Headers besides the credentials.
            body: Sent as JSON.
            timeout_seconds: Limit of the whole request, a second try with fresh credentials included.
            limit_bytes: Of the answer; what is longer is not read to its end.

        Raises:
            NotFound: 404.
            Conflict: 409.
            Expired: 410.
            Forbidden: 403.
            Invalid: 400, 413, 422 and the like.
            TooLarge: The answer has more bytes than the limit.
            Transient: Anything else that is not a success, or no answer in time.
        """
        data = None if body is None else dump_json(body)
        what = f"{verb} {kind.kind} {path}"
        content = {} if body is None else {"Content-Type": "application/json"}
        sent = _Request(verb, method, kind, path, params, {**content, **(headers or {})}, data)
        try:
            async with asyncio.timeout(timeout_seconds):
                async with await self._answer(sent) as response:
                    payload = await _bounded(response, limit_bytes, what)
        except TimeoutError as error:
            raise Transient(f"{what}: no answer in {timeout_seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"{what}: {str(error) or type(error).__name__}") from error
        _raise_for(response, payload, what)
        return payload

    @asynccontextmanager
    async def stream(
        self,
        verb: str,
        kind: Kind,
        path: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        silence_seconds: float,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a GET whose answer has no end of its own, and give what comes of it as it comes.

        Args:
            verb: The word of RBAC for it, which the metrics are labelled with.
            kind: The kind of the objects, which the metrics are labelled with.
            path: URL path.
            params: URL query.
            headers: Headers besides the credentials.
            silence_seconds: Without a byte for so long, the connection is taken for dead.

        Raises:
            KubeError: As ``read`` says.
        """
        what = f"{verb} {kind.kind} {path}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds)
        sent = _Request(verb, "GET", kind, path, params, headers, None, timeout)
        try:
            async with await self._answer(sent) as response:
                if response.status != HTTPStatus.OK:
                    _raise_for(response, await _bounded(response, ANSWER_BYTES, what), what)
                yield response.content.iter_any()
        except TimeoutError as error:
            raise Transient(f"{what}: no answer in {silence_seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"{what}: {str(error) or type(error).__name__}") from error

    async def _answer(self, request: "_Request") -> aiohttp.ClientResponse:
        """The answer's head, after a second try with fresh credentials where the first ones are refused.

        Who gets it closes it.
        """
        response = await self._send(request)
        if response.status != HTTPStatus.UNAUTHORIZED:
            return response
        response.close()
        self._credentials = self._connect().as_http_headers()
        return await self._send(request)

    async def _send(self, request: "_Request") -> aiohttp.ClientResponse:
        code = _NO_ANSWER
        try:
            response = await self._session.request(
                request.method,
                self._server + request.path,
                params=request.params,
                headers={**self._credentials, **request.headers},
                data=request.data,
                timeout=request.timeout,
            )
            code = str(response.status)
            return response
        finally:
            self._metrics.api_requests.labels(request.verb, request.kind.kind, code).inc()


class _Request(NamedTuple):
    verb: str
    method: str
    kind: Kind
    path: str
    params: Mapping[str, str] | None
    headers: Mapping[str, str]
    data: bytes | None
    timeout: aiohttp.ClientTimeout = _NO_LIMIT


@asynccontextmanager
async def open_transport(
    *, connect: Callable[[], Connection], metrics: Metrics, connections: int = CONNECTIONS
) -> AsyncIterator[Transport]:
    """A transport with a session of its own, closed at the end; ``connections`` 0 is without a limit.

    Nothing is compressed: a small answer could be a large one, and in one cluster it costs more than it saves.
    """
    connector = aiohttp.TCPConnector(ssl=connect().as_ssl_context(), limit=connections)
    agent = {"User-Agent": "modelservice-operator", "Accept": "application/json", "Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(
        connector=connector, timeout=_NO_LIMIT, headers=agent, auto_decompress=False
    ) as session:
        yield Transport(connect=connect, session=session, metrics=metrics)


def parsed(payload: bytes, what: str) -> Object:
    """The JSON object of an answer to ``what``.

    Raises:
        Transient: It is none.
        TooLarge: It is nested too deeply.
    """
    try:
        answer = parse_json(payload)
    except ValueError as error:
        raise Transient(f"{what}: the answer is no JSON") from error
    except RecursionError as error:
        raise TooLarge(f"{what}: the answer is nested too deeply") from error
    if not isinstance(answer, dict):
        raise Transient(f"{what}: the answer is no JSON object")
    return answer


async def _bounded(response: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    """The body, whole or not at all."""
    length = response.content_length or 0
    payload = bytearray()
    while length <= limit and (chunk := await response.content.readany()):
        payload += chunk
        length = max(length, len(payload))
    if length > limit:
        response.close()
        raise TooLarge(f"{what}: the answer is larger than {limit} bytes")
    return bytes(payload)


def _raise_for(response: aiohttp.ClientResponse, payload: bytes, what: str) -> None:
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    message = _message(payload) or f"HTTP {status}"
    if (error := _ERRORS.get(status)) is not None:
        raise error(message)
    after = response.headers.get("Retry-After", "")
    raise Transient(f"{what}: {status} {message}", after=int(after) if _SECONDS.fullmatch(after) else 0)


def _message(payload: bytes) -> str:
    """The ``message`` of a meta/v1 Status, or the text of whatever stood between us and the apiserver."""
    text = payload.decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):
        text = str(parse_json(payload)["message"])
    return text.strip()[:_MESSAGE_LIMIT]
