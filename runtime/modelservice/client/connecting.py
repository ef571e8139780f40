"""Clients that wait and that are awaited; what is asked and when again is decided once, in ``_Asking``."""

import asyncio
import json
import random
import ssl
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx

from modelservice.client.rows import MAX_ROWS, batches, index_of, rows_of

_AGAIN = frozenset({429, 503})
_EVALUATIONS = 1024
_OK = 200

_Steps = Generator[httpx.Request | float, httpx.Response | None, Any]


class ClientError(Exception):
    """The server refused; ``status`` is the HTTP status, the message is the server's own."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status beside the sentence."""
        super().__init__(f"{message} (HTTP {status})")
        self.status = status


@dataclass(frozen=True)
class _Asking:
    """Requests, and seconds to wait between them, as steps that a client of either kind carries out."""

    http: httpx.Client | httpx.AsyncClient
    retries: int
    max_wait: float
    jitter: Callable[[], float]

    def metadata(self) -> _Steps:
        name = (yield from self._answer("GET", "/"))["model"]
        return (yield from self._answer("GET", f"/v2/models/{quote(name, safe='')}"))

    def predict(self, data: Any) -> _Steps:
        answers = yield from self._asked("predict", "predictions", data, MAX_ROWS, {})
        values = [answer["label"] if isinstance(answer, dict) else answer for answer in answers]
        index = index_of(data)
        return values if index is None else _pandas().Series(values, index=index, name="prediction")

    def predict_proba(self, data: Any) -> _Steps:
        answers = yield from self._asked("predict", "predictions", data, MAX_ROWS, {})
        if any(not isinstance(answer, dict) or "probabilities" not in answer for answer in answers):
            message = "the model answers with numbers, not probabilities; call predict"
            raise ValueError(message)
        values = [answer["probabilities"] for answer in answers]
        index = index_of(data)
        return values if index is None else _pandas().DataFrame(values, index=index)

    def explain(self, data: Any, options: dict[str, Any]) -> _Steps:
        most = max(1, MAX_ROWS // (options.get("evaluations", _EVALUATIONS) + 2))
        return (yield from self._asked("explain", "explanations", data, most, options))

    def _asked(self, verb: str, key: str, data: Any, most: int, options: dict[str, Any]) -> _Steps:
        name = (yield from self._answer("GET", "/"))["model"]
        more = b"".join(b",%b:%b" % (json.dumps(k).encode(), json.dumps(v).encode()) for k, v in options.items())
        answers: list[Any] = []
        for batch in batches(rows_of(data), most):
            body = b'{"instances":[%b]%b}' % (b",".join(batch), more)
            answers += (yield from self._answer("POST", f"/v1/models/{quote(name, safe='')}:{verb}", body))[key]
        return answers

    def _answer(self, method: str, path: str, body: bytes | None = None) -> _Steps:
        waited, attempt = 0.0, 0
        while True:
            response = yield self.http.build_request(method, path, content=body)
            if response is None:
                message = "a request was answered by nothing"
                raise RuntimeError(message)
            if response.status_code == _OK:
                return response.json()
            wait = _seconds(response, attempt) * (1 + self.jitter())
            if response.status_code not in _AGAIN or attempt >= self.retries or waited + wait > self.max_wait:
                raise ClientError(response.status_code, _message(response))
            waited, attempt = waited + wait, attempt + 1
            yield wait


class Client:
    """Asks one served model and waits for its answers; a context manager."""

    def __init__(self, asking: _Asking, http: httpx.Client) -> None:
        """Take what ``connect`` made."""
        self._asking, self._http = asking, http

    @property
    def metadata(self) -> dict[str, Any]:
        """Inputs, outputs and digest of the model, as the Open Inference Protocol has them."""
        return dict(self._run(self._asking.metadata()))

    def predict(self, data: Any) -> Any:
        """Predict a label or a number for each row: a list, or a Series with the index of a given DataFrame."""
        return self._run(self._asking.predict(data))

    def predict_proba(self, data: Any) -> Any:
        """Probabilities by label for each row: dicts, or a DataFrame where one was given.

        Raises:
            ValueError: The model is a regression.
        """
        return self._run(self._asking.predict_proba(data))

    def explain(self, data: Any, **options: Any) -> list[dict[str, Any]]:
        """Explain each row; options are members of the ``:explain`` request (``label``, ``evaluations``, ...)."""
        return list(self._run(self._asking.explain(data, options)))

    def _run(self, steps: _Steps) -> Any:
        answer: httpx.Response | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as done:
                return done.value
            answer = None
            if isinstance(step, float):
                time.sleep(step)
            else:
                answer = self._http.send(step)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()


class AsyncClient:
    """Asks one served model, awaited; an asynchronous context manager."""

    def __init__(self, asking: _Asking, http: httpx.AsyncClient) -> None:
        """Take what ``connect_async`` made."""
        self._asking, self._http = asking, http

    async def metadata(self) -> dict[str, Any]:
        """As ``Client.metadata``."""
        return dict(await self._run(self._asking.metadata()))

    async def predict(self, data: Any) -> Any:
        """As ``Client.predict``."""
        return await self._run(self._asking.predict(data))

    async def predict_proba(self, data: Any) -> Any:
        """As ``Client.predict_proba``."""
        return await self._run(self._asking.predict_proba(data))

    async def explain(self, data: Any, **options: Any) -> list[dict[str, Any]]:
        """As ``Client.explain``."""
        return list(await self._run(self._asking.explain(data, options)))

    async def _run(self, steps: _Steps) -> Any:
        answer: httpx.Response | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as done:
                return done.value
            answer = None
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                answer = await self._http.send(step)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._http.aclose()


def connect(
    url: str, *, retries: int = 4, max_wait: float = 30.0, jitter: Callable[[], float] = random.random, **more: Any
) -> Client:
    """Connect to the server of one model.

    Args:
        url: Its address, as ``status.url`` says it.
        retries: How often a request is sent again after 429 or 503, the only answers after which it is.
        max_wait: Seconds that one request may wait for its turns, all together.
        jitter: What is added to a wait, as a share of it.
        more: ``token`` (an API key or a token), ``ca``, ``certificate``, ``key`` (PEM), ``timeout`` (seconds, 60).
    """
    http = httpx.Client(**_settings(url, **more))
    return Client(_Asking(http, retries, max_wait, jitter), http)


def connect_async(
    url: str, *, retries: int = 4, max_wait: float = 30.0, jitter: Callable[[], float] = random.random, **more: Any
) -> AsyncClient:
    """As ``connect``, for callers with an event loop."""
    http = httpx.AsyncClient(**_settings(url, **more))
    return AsyncClient(_Asking(http, retries, max_wait, jitter), http)


def _settings(
    url: str,
    *,
    token: str | None = None,
    ca: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
    timeout: float = 60.0,
) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    headers = {"accept": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {"base_url": url, "headers": headers, "verify": context, "timeout": timeout}


def _seconds(response: httpx.Response, attempt: int) -> float:
    said = response.headers.get("retry-after", "")
    return float(said) if said.isdecimal() else 0.1 * 2.0**attempt


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or response.reason_phrase


def _pandas() -> Any:
    import pandas  # noqa: PLC0415 - a DataFrame was given, so it is loaded already

    return pandas
