"""Small inference requests, answered from where they were read: no ASGI scope, task or messages."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from modelservice.serving.answer import Answer
from modelservice.serving.batcher import Asker
from modelservice.serving.chain import Arrival, Headers
from modelservice.serving.core import Core
from modelservice.serving.errors import ClientLeftError
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.protocols.base import Operation
from modelservice.serving.transports.http.errors import to_answer

Respond = Callable[[Answer], None]

_MAX_DIGITS: Final = len(str(LARGE_BODY))


class Admitted(NamedTuple):
    """A request that may be answered here once its body is whole."""

    operation: Operation
    arrival: Arrival
    started: float


class Direct:
    """Answers what connections read in one turn of the event loop; shared by all of them.

    A turn's requests are answered in the next one, so that those that arrived together share a batch.
    """

    def __init__(self, core: Core, operations: tuple[Operation, ...]) -> None:
        self.lifecycle = core.lifecycle
        self._operations = {operation.path: operation for operation in operations}
        self._core = core
        self._asked: list[tuple[Admitted, bytes, Asker, Respond]] = []

    def admit(self, path: str, headers: Headers) -> Admitted | None:
        """Take a POST whose headers were read; None: it is another's, or large, encoded or refused."""
        operation = self._operations.get(path)
        if operation is None:
            return None
        started = self._core.clock()
        arrival = Arrival(operation.template, headers, infers=True)
        length = arrival.length
        if arrival.encoding is not None or length is None or not _is_small(length):
            return None
        try:
            self._core.chain.admit(arrival)
        except Exception:
            return None  # the front asks again, and says no
        return Admitted(operation, arrival, started)

    def ask(self, admitted: Admitted, body: bytes, asker: Asker, respond: Respond) -> None:
        """Answer a request whose body is whole; ``respond`` is called once, in a later turn."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._answer_all)
        self._asked.append((admitted, body, asker, respond))

    def abandon(self, admitted: Admitted) -> None:
        """The client left before its request was whole."""
        self._core.chain.record(admitted.arrival, str(ClientLeftError.status), self._core.clock() - admitted.started)

    def _answer_all(self) -> None:
        asked, self._asked = self._asked, []
        alone = len(asked) == 1
        for admitted, body, asker, respond in asked:
            self._core.inference.ask(
                admitted.operation.parse,
                body,
                admitted.arrival.header_length,
                asker=asker,
                alone=alone,
                done=partial(self._finish, admitted, respond),
            )

    def _finish(self, admitted: Admitted, respond: Respond, answer: Answer | BaseException) -> None:
        if isinstance(answer, BaseException):
            answer = to_answer(answer)
        respond(answer)
        self._core.chain.record(admitted.arrival, str(answer.status), self._core.clock() - admitted.started)


def _is_small(length: bytes) -> bool:
    return length.isdigit() and len(length) <= _MAX_DIGITS and int(length) <= LARGE_BODY
