"""Small inference requests, answered from the connection that read them: no ASGI scope, task or messages."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from modelservice.modalities.errors import InputError
from modelservice.serving.answer import Answer
from modelservice.serving.calls import Call
from modelservice.serving.chain import Arrival, Headers
from modelservice.serving.core import Core
from modelservice.serving.errors import ClientLeftError
from modelservice.serving.inference import LARGE_ANSWER, LARGE_BODY
from modelservice.serving.protocols.base import Operation
from modelservice.serving.results import Results
from modelservice.serving.transports.http.errors import to_answer

Respond = Callable[[Answer], None]

_MAX_DIGITS: Final = len(str(LARGE_BODY))


class Direct:
    """What is answered here, by path as a client writes it; shared by all connections."""

    def __init__(self, core: Core, operations: tuple[Operation, ...]) -> None:
        self.core = core
        self._operations = {operation.path.encode(): operation for operation in operations}

    def admit(self, path: bytes, headers: Headers, respond: Respond) -> "Exchange | None":
        """Take a POST whose headers were read.

        Args:
            path: as it was sent, escapes and query included.
            headers: as they were sent, names in lower case.
            respond: is given the answer, once; at once or in a later turn of the event loop.

        Returns:
            None where it is the application's: it is none of the paths, large, of unknown length, encoded or refused.
        """
        operation = self._operations.get(path)
        if operation is None:
            return None
        started = self.core.clock()
        arrival = Arrival(operation.template, headers, infers=True)
        length = arrival.length
        if arrival.encoding is not None or length is None or not _is_small(length):
            return None
        try:
            self.core.chain.admit(arrival)
        except Exception:
            return None  # the application asks again, and says no
        return Exchange(self.core, operation, arrival, started, respond)


class Exchange:
    """One request and its answer, in the place of uvicorn's ``RequestResponseCycle``, of which it has what is used.

    To a batcher it is the asker.
    """

    body: bytes = b""
    more_body = True
    response_started = False
    response_complete = False
    disconnected = False
    keep_alive = True

    def __init__(self, core: Core, operation: Operation, arrival: Arrival, started: float, respond: Respond) -> None:
        self._core = core
        self._operation = operation
        self._arrival = arrival
        self._started = started
        self._respond = respond

    @property
    def message_event(self) -> "Exchange":
        """What uvicorn sets for the task of a request; there is none."""
        return self

    def set(self) -> None:
        """Wake nobody."""

    def ask(self) -> None:
        """Answer, now that the body is whole."""
        self.more_body = False
        body, self.body = self.body, b""
        try:
            self._call = call = self._operation.parse(body, self._arrival.header_length)
            self._core.inference.ask(call, self)
        except Exception as error:
            self._finish(to_answer(error))

    def abandon(self) -> None:
        """The client left before its request was whole."""
        self._record(ClientLeftError.status)

    def take(self, outcome: Results | Exception) -> None:
        """Answer with what the batcher says."""
        call = self._call
        if isinstance(outcome, Results):
            if outcome.size > LARGE_ANSWER:
                rendering = asyncio.get_running_loop().run_in_executor(None, _rendered, call, outcome)
                rendering.add_done_callback(lambda rendered: self._finish(rendered.result()))
                return
            answer = _rendered(call, outcome)
        elif isinstance(outcome, InputError):
            answer = to_answer(call.place(outcome))
        else:
            answer = to_answer(outcome)
        self._finish(answer)

    def _finish(self, answer: Answer) -> None:
        self._respond(answer)
        self._record(answer.status)

    def _record(self, status: int) -> None:
        core = self._core
        core.chain.record(self._arrival, str(status), core.clock() - self._started)


def _rendered(call: Call[Any], results: Results) -> Answer:
    try:
        answer: Answer = call.render(results)
    except Exception as error:
        return to_answer(error)
    return answer


def _is_small(length: bytes) -> bool:
    return length.isdigit() and len(length) <= _MAX_DIGITS and int(length) <= LARGE_BODY
