"""What a client raises where it has no answer: the server's own sentence, or one about what stood in the way."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


class ClientError(Exception):
    """There is no answer; ``status`` is the HTTP status of a refusal, None where nothing was answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """Keep the status beside the sentence."""
        super().__init__(message if status is None else f"{message} (HTTP {status})")
        self.status = status


@contextmanager
def told(url: httpx.URL, timeout: float) -> Iterator[None]:
    """Turn what goes wrong on the way to an address into sentences.

    Raises:
        ClientError: The address was not reached, was not trusted or did not trust, or took longer than ``timeout``.
    """
    try:
        yield
    except httpx.TimeoutException as error:
        message = f"{url} did not answer within {timeout:g} s; give a larger timeout, or fewer rows"
        raise ClientError(message) from error
    except httpx.RequestError as error:
        tls = _of_tls(error)
        if tls is None:
            message = f"{url} cannot be reached: {error or type(error).__name__}; check the address"
        else:
            message = f"{url} refuses TLS, or is not trusted: {tls}; check ca, certificate and key"
        raise ClientError(message) from error


def refused(response: httpx.Response) -> ClientError:
    """Take over the sentence of a server that refuses, or what a proxy before it says."""
    try:
        message = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:200] or response.reason_phrase
    return ClientError(message, response.status_code)


def _of_tls(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
