"""Clients that wait and that are awaited; what they ask is decided once, in ``Asking``."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx

from modelservice.client.asking import Asking, Steps
from modelservice.client.errors import ClientError, told


class Client:
    """Asks one served model and waits for its answers; a context manager."""

    def __init__(
        self, http: httpx.Client, asking: Asking, *, timeout: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Take what ``connect`` made; ``timeout`` is that of ``http``, in seconds."""
        self._http, self._asking, self._timeout, self._sleep = http, asking, timeout, sleep

    @property
    def metadata(self) -> dict[str, Any]:
        """Inputs, outputs and digest of the model, as the Open Inference Protocol has them."""
        return dict(self._run(self._asking.metadata()))

    def predict(self, data: Any, **options: Any) -> Any:
        """Predict a label or a number for each row: a list, or a Series with the index of a given DataFrame.

        Of a packed model with other outputs it is what the server answers for a row, such as an object by their names.

        Options are members of the ``:predict`` request, such as ``unknown_columns="Ignore"``.

        Raises:
            ClientError: The server refused, or was not reached; as of every method.
            ValueError: The data cannot be sent, such as an infinite number; as of every method that takes data.
        """
        return self._run(self._asking.predict(data, options))

    def predict_proba(self, data: Any, **options: Any) -> Any:
        """Probabilities by label for each row: dicts, or a DataFrame where one was given.

        Raises:
            ValueError: The model is a regression, or has other outputs.
        """
        return self._run(self._asking.predict_proba(data, options))

    def explain(self, data: Any, **options: Any) -> list[dict[str, Any]]:
        """Explain each row; options are members of the ``:explain`` request (``label``, ``evaluations``, ...)."""
        return list(self._run(self._asking.explain(data, options)))

    def _run(self, steps: Steps) -> Any:
        answer: httpx.Response | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as done:
                return done.value
            answer = None
            if isinstance(step, float):
                self._sleep(step)
            else:
                with told(step.url, self._timeout):
                    answer = self._http.send(step)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()


class AsyncClient:
    """Asks one served model, awaited; an asynchronous context manager."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        asking: Asking,
        *,
        timeout: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take what ``connect_async`` made; ``timeout`` is that of ``http``, in seconds."""
        self._http, self._asking, self._timeout, self._sleep = http, asking, timeout, sleep

    async def metadata(self) -> dict[str, Any]:
        """As ``Client.metadata``."""
        return dict(await self._run(self._asking.metadata()))

    async def predict(self, data: Any, **options: Any) -> Any:
        """As ``Client.predict``."""
        return await self._run(self._asking.predict(data, options))

    async def predict_proba(self, data: Any, **options: Any) -> Any:
        """As ``Client.predict_proba``."""
        return await self._run(self._asking.predict_proba(data, options))

    async def explain(self, data: Any, **options: Any) -> list[dict[str, Any]]:
        """As ``Client.explain``."""
        return list(await self._run(self._asking.explain(data, options)))

    async def _run(self, steps: Steps) -> Any:
        answer: httpx.Response | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as done:
                return done.value
            answer = None
            if isinstance(step, float):
                await self._sleep(step)
            else:
                with told(step.url, self._timeout):
                    answer = await self._http.send(step)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._http.aclose()


def connect(
    url: str,
    *,
    model: str | None = None,
    token: str | None = None,
    ca: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
    timeout: float = 60.0,
    retries: int = 4,
    max_wait: float = 30.0,
) -> Client:
    """Connect to the server of one model.

    Args:
        url: Its address, as ``status.url`` says it.
        model: Its name; the server is asked for it if it is left out.
        token: An API key or a token, sent as ``Authorization: Bearer``.
        ca: File of the authorities (PEM) that the server's certificate is checked against; those of the system if None.
        certificate: File of the certificate (PEM) that is shown to the server.
        key: File of the certificate's key; None where it stands in the same file.
        timeout: Seconds that connecting, and each wait for bytes, may take.
        retries: How often a request is sent again after 429 or 503, the only answers after which it is.
        max_wait: Seconds that one request may wait for its turns, all together.

    Raises:
        ClientError: The address, the token or a file cannot be used.
    """
    http = httpx.Client(**_settings(url, token, _trust(ca, certificate, key)), timeout=timeout)
    return Client(http, Asking(http, model, retries, max_wait), timeout=timeout)


def connect_forwarded(
    url: str, *, model: str, token: str | None = None, certificate: str | None = None, key: str | None = None
) -> Client:
    """As ``connect``, through a port of this machine that leads to one pod, as ``kubectl port-forward`` opens it."""
    http = httpx.Client(**_settings(url, token, forwarded_trust(certificate, key)), trust_env=False, timeout=60.0)
    return Client(http, Asking(http, model), timeout=60.0)


def forwarded_trust(certificate: str | None, key: str | None) -> ssl.SSLContext:
    """TLS to a pod that a forwarded port leads to; the apiserver says which one it is, by a TLS of its own.

    The pod's certificate is of the Service's name, which an address of this machine is not.

    Raises:
        ClientError: a file cannot be used.
    """
    context = _trust(None, certificate, key)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect_async(
    url: str,
    *,
    model: str | None = None,
    token: str | None = None,
    ca: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
    timeout: float = 60.0,
    retries: int = 4,
    max_wait: float = 30.0,
) -> AsyncClient:
    """As ``connect``, for callers with an event loop."""
    http = httpx.AsyncClient(**_settings(url, token, _trust(ca, certificate, key)), timeout=timeout)
    return AsyncClient(http, Asking(http, model, retries, max_wait), timeout=timeout)


def _settings(url: str, token: str | None, trust: ssl.SSLContext) -> dict[str, Any]:
    headers = {"accept": "application/json"}
    if token is not None:
        if not (token.isascii() and token.isprintable()):
            message = "token has a line end or another character that no header may have; strip what a file added"
            raise ClientError(message)
        headers["authorization"] = f"Bearer {token}"
    try:
        base_url = httpx.URL(url)
    except httpx.InvalidURL as error:
        message = f"url {url!r} is no address: {error}; give one such as http://localhost:8080"
        raise ClientError(message) from error
    return {"base_url": base_url, "headers": headers, "verify": trust}


def _trust(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    if key is not None and certificate is None:
        message = f"key {key!r} belongs to no certificate; give certificate as well"
        raise ClientError(message)
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError as error:
        message = f"ca {ca!r}, certificate {certificate!r} or key {key!r} cannot be used: {error}; give PEM files"
        raise ClientError(message) from error
    return context
