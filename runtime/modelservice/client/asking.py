"""What is asked, in which requests, and when again: steps that a client of either kind carries out."""

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from modelservice.client.errors import ClientError, refused
from modelservice.client.rows import MAX_ROWS, batches, encoded, index_of, rows_of

Steps = Generator[httpx.Request | float, Any, Any]
"""Yields requests, each of which is answered by its response, and seconds to wait; returns what a caller gets."""

_AGAIN = frozenset({429, 503})
_EVALUATIONS = 1024
_OK = 200
_FIRST_WAIT = 0.1


@dataclass
class Asking:
    """Asks one model; its name is asked for once where ``model`` is None.

    ``clock`` counts seconds since 1970, and ``jitter`` is what is added to a wait, as a share of it.
    """

    http: httpx.Client | httpx.AsyncClient
    model: str | None = None
    retries: int = 4
    max_wait: float = 30.0
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random

    def metadata(self) -> Steps:
        """As ``Client.metadata``."""
        return _object((yield from self._sent("GET", f"/v2/models/{(yield from self._name())}")))

    def predict(self, data: Any, options: dict[str, Any]) -> Steps:
        """As ``Client.predict``."""
        answers = yield from self._asked("predict", "predictions", data, MAX_ROWS, options)
        values = [answer["label"] if _has_probabilities(answer) else answer for answer in answers]
        index = index_of(data)
        return values if index is None else _pandas().Series(values, index=index, name="prediction")

    def predict_proba(self, data: Any, options: dict[str, Any]) -> Steps:
        """As ``Client.predict_proba``."""
        answers = yield from self._asked("predict", "predictions", data, MAX_ROWS, options)
        if not all(map(_has_probabilities, answers)):
            message = "the model does not answer with probabilities; call predict"
            raise ValueError(message)
        values = [answer["probabilities"] for answer in answers]
        index = index_of(data)
        return values if index is None else _pandas().DataFrame(values, index=index)

    def explain(self, data: Any, options: dict[str, Any]) -> Steps:
        """As ``Client.explain``."""
        said = options.get("evaluations", _EVALUATIONS)
        each = said if isinstance(said, int) and said > 0 else _EVALUATIONS  # what else it may be, the server refuses
        most = max(1, MAX_ROWS // (each + 2))
        return (yield from self._asked("explain", "explanations", data, most, options))

    def _asked(self, verb: str, key: str, data: Any, most: int, options: dict[str, Any]) -> Steps:
        path = f"/v1/models/{(yield from self._name())}:{verb}"
        end = b"," + encoded(options)[1:] if options else b"}"
        answers: list[Any] = []
        for batch in batches(rows_of(data), most):
            body = b'{"instances":[%b]%b' % (b",".join(batch), end)
            answers += _object((yield from self._sent("POST", path, body)), key)
        return answers

    def _name(self) -> Steps:
        if self.model is None:
            self.model = _object((yield from self._sent("GET", "/")), "model")
        return quote(str(self.model), safe="")

    def _sent(self, method: str, path: str, body: bytes | None = None) -> Steps:
        waited, attempt = 0.0, 0
        while True:
            response: httpx.Response = yield self.http.build_request(method, path, content=body)
            if response.status_code == _OK:
                return response
            wait = self._wait(response, attempt)
            if response.status_code not in _AGAIN or attempt >= self.retries or waited + wait > self.max_wait:
                raise refused(response)
            waited, attempt = waited + wait, attempt + 1
            yield wait

    def _wait(self, response: httpx.Response, attempt: int) -> float:
        """Seconds until the next attempt: Retry-After (RFC 9110, section 10.2.3), or twice as long each time."""
        said = response.headers.get("retry-after", "")
        try:
            wait = float(said) if said.isdecimal() else parsedate_to_datetime(said).timestamp() - self.clock()
        except (ValueError, OverflowError):
            wait = _FIRST_WAIT * 2.0**attempt
        return max(0.0, wait) * (1 + self.jitter())


def _object(response: httpx.Response, key: str | None = None) -> Any:
    """Read an answer, or its member."""
    try:
        answer = response.json()
        return dict(answer) if key is None else answer[key]
    except (ValueError, KeyError, TypeError) as error:
        message = f"{response.url} answers, but not as a server of a model does; check the address"
        raise ClientError(message, response.status_code) from error


def _has_probabilities(answer: Any) -> bool:
    """Whether it is that of a classification, and not a number, or outputs of other names."""
    return isinstance(answer, dict) and {"label", "probabilities"} <= answer.keys()


def _pandas() -> Any:
    import pandas  # noqa: PLC0415 - a DataFrame was given, so it is loaded already

    return pandas
