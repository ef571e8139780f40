"""Inference requests, answered from the connection that read them: no ASGI scope, task or messages."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from modelservice.modalities.errors import InputError
from modelservice.serving.answer import Answer
from modelservice.serving.budget import Held
from modelservice.serving.callers import UNKNOWN_PEER, Peer
from modelservice.serving.calls import Call
from modelservice.serving.chain import Arrival, Headers
from modelservice.serving.core import Core, Models
from modelservice.serving.errors import RequestError
from modelservice.serving.inference import LARGE_ANSWER, LARGE_BODY, hand_over
from modelservice.serving.protocols.base import Operation
from modelservice.serving.rests import Rests
from modelservice.serving.results import Results
from modelservice.serving.transports.http.errors import to_answer
from modelservice.serving.transports.http.known import KnownHead
from modelservice.serving.transports.http.pace import MAX_CONNECTIONS, TURN_SECONDS

MAX_READ: Final = 2 * 2**20
"""Bytes of a body that is read here: what a head asks its encoder, and a picture. More is worth what FastAPI costs."""

Respond = Callable[[Answer], None]
Asked = tuple[Core, Operation]
"""A model, and what is asked of it."""


class Direct:
    """What is answered here, by path as a client writes it; shared by all connections.

    Attributes:
        asked: requests of known heads so far, by which a connection tells whether others ask beside it.
        rests: of connections whose requests are turned away.
    """

    def __init__(self, models: Models, operations: Mapping[str, Asked]) -> None:
        self.asked = 0
        self.rests = Rests(turn=TURN_SECONDS, most=MAX_CONNECTIONS * TURN_SECONDS)
        self.models = models
        self._clock = models.common.clock
        self._operations = {path.encode(): one for path, one in operations.items() if not one[1].costly}
        self._headers: list[tuple[bytes, bytes]] = []
        self._lines = b""

    def lines_of(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Headers that all answers have, as they are sent; uvicorn makes another list of them each second."""
        if headers is not self._headers:
            self._headers, self._lines = headers, header_lines(headers)
        return self._lines

    def admit(self, path: bytes, headers: Headers, respond: Respond, peer: Peer = UNKNOWN_PEER) -> "Exchange | None":
        """Take a POST whose headers were read.

        Args:
            path: as it was sent, escapes and query included.
            headers: as they were sent, names in lower case.
            respond: is given the answer, once; at once or in a later turn of the event loop.
            peer: the other end of the connection.

        Returns:
            None where it is the application's: it is none of the paths, very large, of unknown length or encoded. One
            that is refused is told so once its body is whole, of which nothing is kept.
        """
        asked = self._operations.get(path)
        if asked is None:
            return None
        core, operation = asked
        started = self._clock()
        arrival = Arrival(operation.template, headers, infers=True, path=operation.path, peer=peer)
        if arrival.encoding is not None or arrival.length is None or arrival.length > MAX_READ:
            return None
        return _admitted(core, operation, arrival, started, respond)

    def admit_known(self, head: KnownHead, data: bytes, respond: Respond) -> "Exchange | None":
        """Take a whole request whose head was parsed before; None where it is none."""
        started = self._clock()
        read = head.read(data)
        if read is None:
            return None
        arrival, body = read
        arrival.caller = None  # who sent the same head before may be nobody now
        exchange = _admitted(head.core, head.operation, arrival, started, respond)
        exchange.add(body)
        return exchange


def _admitted(core: Core, operation: Operation, arrival: Arrival, started: float, respond: Respond) -> "Exchange":
    """A request as it goes on: the queue is looked at last, and before anything is done with the body."""
    try:
        core.chain.admit(arrival)
        core.inference.check_room()
    except Exception as error:
        return Exchange(core, operation, arrival, started, respond, refused=to_answer(error))
    return Exchange(core, operation, arrival, started, respond)


def header_lines(headers: Headers) -> bytes:
    """Headers as they are sent."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


class Exchange:
    """One request and its answer, in the place of uvicorn's ``RequestResponseCycle``, of which it has what is used.

    To a batcher it is the asker. A large body counts for the budget of all; what takes long is parsed in a thread.

    Attributes:
        missing: bytes of the body that did not come yet.
    """

    more_body = True
    response_started = False
    response_complete = False
    disconnected = False
    keep_alive = True

    def __init__(
        self,
        core: Core,
        operation: Operation,
        arrival: Arrival,
        started: float,
        respond: Respond,
        *,
        refused: Answer | None = None,
    ) -> None:
        self.refused = refused
        self.core = core
        self.operation = operation
        self.arrival = arrival
        self._started = started
        self._respond = respond
        self._body: list[bytes] = []
        self.missing = arrival.length or 0
        self._held = Held(core.common.budget) if self.missing > LARGE_BODY else None
        self._parsing: asyncio.Future[Call[Answer]] | None = None

    @property
    def message_event(self) -> "Exchange":
        """What uvicorn sets for the task of a request when its client left."""
        return self

    def set(self) -> None:
        """Nobody waits: what was not parsed is not."""
        if self._parsing is not None:
            self._parsing.cancel()

    def add(self, part: bytes) -> None:
        """Take a part of the body."""
        self.missing -= len(part)
        if self.refused is not None:
            return
        try:
            if self._held is not None:
                self._held.add(len(part))
        except RequestError as error:
            self.refused = to_answer(error)
            self._body.clear()
            self._release()
        else:
            self._body.append(part)

    def ask(self, *, alone: bool = False) -> None:
        """Answer, now that the body is whole; at once, where it is alone, see ``Batcher.ask``."""
        self.more_body = False
        if self.refused is not None:
            self._finish(self.refused)
            return
        parse, body, head = self.operation.parse, b"".join(self._body), self.arrival.header_length
        self._body.clear()
        try:
            if self._held is None:
                self._submit(parse(body, head), alone=alone)
            elif self.operation.quick(body, head):
                self._submit(self.core.inference.parse_here(parse, body, head, held=self._held))
            else:
                self._parsing = self.core.inference.parse_aside(parse, body, head, held=self._held)
                self._parsing.add_done_callback(self._parsed)
        except Exception as error:
            self._fail(error)

    def _parsed(self, parsing: asyncio.Future[Call[Answer]]) -> None:
        self._parsing = None
        hand_over(parsing, go_on=self._submit, fail=self._fail)

    def _submit(self, call: Call[Answer], *, alone: bool = False) -> None:
        self._call = call
        self.core.inference.ask(call, self, alone=alone)

    def end(self, error: RequestError) -> None:
        """The request will never be whole: its connection ends, for this reason."""
        self._record(error.status)

    def take(self, outcome: Results | Exception) -> None:
        """Answer with what the batcher says."""
        if isinstance(outcome, Exception):
            said = self._call.place(outcome) if isinstance(outcome, InputError) else outcome
            self._fail(said)
        elif outcome.size > LARGE_ANSWER:
            rendering = asyncio.get_running_loop().run_in_executor(None, self._rendered, outcome)
            rendering.add_done_callback(lambda rendered: self._finish(rendered.result()))
        else:
            self._finish(self._rendered(outcome))

    def _rendered(self, results: Results) -> Answer:
        try:
            return self._call.render(results)
        except Exception as error:
            return to_answer(error)

    def _fail(self, error: Exception) -> None:
        self._finish(to_answer(error))

    def _finish(self, answer: Answer) -> None:
        self._respond(answer)
        self._record(answer.status)

    def _record(self, status: int) -> None:
        core = self.core
        self._release()
        core.chain.record(self.arrival, str(status), core.common.clock() - self._started)

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()
