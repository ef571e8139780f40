"""A connection of uvicorn that answers small inference requests itself.

Measured at one connection: an ASGI task, its scope and its two messages cost as much as the inference between them.
Parsing, keep-alive, pipelining in order, time-outs and shutting down stay uvicorn's; what is large, chunked, encoded,
waits for ``100 Continue``, or is none of the inference routes goes its ordinary way to the front.

What uvicorn leaves open is closed here. A head, or the trailers after a body, that never end: its parser keeps them,
and 40 MB of short headers took 700 MB. Requests that arrive all at once: it makes a scope and a cycle of each before
the first is answered. Clients that begin and do not go on, or do not read, and any number of connections. An offer to
upgrade, as Java's client makes with its first request: its parser takes what follows the head for another protocol's,
so the body of a POST was lost.
"""

import asyncio
import sys
from functools import partial
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from modelservice.serving.answer import Answer
from modelservice.serving.chain import MAX_HEADER_BYTES
from modelservice.serving.errors import BusyError, HeadersTooLargeError, RequestError, TooSlowError
from modelservice.serving.transports.http.direct import Admitted, Direct
from modelservice.serving.transports.http.errors import to_answer
from modelservice.serving.transports.http.pace import LIMITS, MAX_CONNECTIONS, Owed

MAX_HEAD: Final = 2 * MAX_HEADER_BYTES
"""Bytes on end that are no part of a body: more than any head that is let in, with its path and separators."""
PIECE: Final = 8 * 1024
"""Bytes that are parsed at once: requests in what follows wait, unparsed, until those before them are answered."""


class InferenceConnection(HttpToolsProtocol):
    """uvicorn's connection for an application that has a ``direct`` way, a ``Front``."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._direct: Direct = self.app.direct
        self._reading: Admitted | None = None
        self._answering: RequestResponseCycle | None = None
        self._head = 0
        self._data = self._unparsed = b""
        self._owed: tuple[Owed | None, RequestResponseCycle | None] = (Owed.HEAD, None)
        self._since = self.loop.time()
        self._farewell: RequestError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Take a connection, in place of one that only waits where there are many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or was cut off."""
        self._unparsed = b""
        if self._reading is not None:
            self._direct.abandon(self._reading)
            self._reading = None
        for cycle in (self._answering, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:  # uvicorn tells only the last one
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def check_pace(self, now: float) -> None:
        """End a connection whose client has owed the same for too long; asked about once a second."""
        owed = (self._waits_for(), self.cycle)
        if owed != self._owed:
            self._owed, self._since = owed, now
        elif (what := owed[0]) in LIMITS and now - self._since > LIMITS[what]:
            if what is Owed.READING:
                self.transport.abort()
            else:
                self._end(TooSlowError(f"the {what.value} did not come whole within {LIMITS[what]:.0f} seconds"))

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, but no more requests than are answered."""
        if self._farewell is not None:
            return
        data, self._unparsed = self._unparsed + data, b""
        if len(data) <= PIECE and not self.pipeline:
            self._parse(data)
            return
        at = 0
        while at < len(data) and self._may_parse():
            self._parse(data[at : at + PIECE])
            at += PIECE
        if at < len(data) and self._farewell is None:
            self._unparsed = data[at:]
            self.flow.pause_reading()

    def on_response_complete(self) -> None:
        """A request was answered: it is the turn of the next one."""
        super().on_response_complete()
        if self.pipeline:
            return
        if self._farewell is not None:
            self._end(self._farewell)
        elif self._unparsed:
            self.data_received(b"")

    def _may_parse(self) -> bool:
        return not self.pipeline and self._farewell is None and not self.transport.is_closing()

    def _parse(self, data: bytes) -> None:
        """Parse, but keep no head that never ends."""
        self._head += len(data)
        self._data = data
        super().data_received(data)
        if self._head > MAX_HEAD:
            self._end(HeadersTooLargeError(f"the path and the headers are larger than {MAX_HEAD} bytes"))

    def on_body(self, body: bytes) -> None:
        """A part of a body arrived."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body of a request is whole."""
        self._head = 0
        super().on_message_complete()
        if self.cycle is not None:
            self.cycle.more_body = False  # uvicorn leaves it where the answer came before the end of the body
        if self._reading is not None and not self.cycle.more_body:
            admitted, self._reading = self._reading, None
            self._ask(self.cycle, admitted)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """The headers of a request were read, and it is its turn on this connection."""
        self._head = 0
        self._answering = cycle
        admitted = self._admit(cycle)
        if admitted is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._reading = admitted
        else:  # it was read while the one before it was answered
            self._ask(cycle, admitted)

    def _should_upgrade(self) -> bool:
        """Whether a request whose parser stops after its head is begun anew, see below; CONNECT is refused."""
        return bool(self.parser.get_method() != b"CONNECT")

    def handle_websocket_upgrade(self) -> None:
        """Decline an offer to upgrade, as HTTP lets a server: parse the request again, as if it had made none."""
        stopped: Any = sys.exception()  # HttpParserUpgrade, with the place where the parser stopped
        (head_end,) = stopped.args
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        rest = self._data[head_end:]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._parse(b"\r\n".join((*lines, b"\r\n")) + rest)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused as everything else is."""
        self._end(RequestError(msg))

    def _admit(self, cycle: RequestResponseCycle) -> Admitted | None:
        scope = cycle.scope
        if scope["method"] != "POST" or cycle.waiting_for_100_continue or self.flow.write_paused:
            return None
        return self._direct.admit(scope["path"], scope["headers"])

    def _ask(self, cycle: RequestResponseCycle, admitted: Admitted) -> None:
        self._direct.ask(admitted, bytes(cycle.body), cycle, partial(self._respond, cycle))

    def _respond(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        """Write an answer in one piece, and go on as uvicorn does after one."""
        cycle.on_response = _nothing  # it would hold the connection, and the connection holds it
        if cycle.disconnected or self.transport.is_closing():
            return
        cycle.response_started = cycle.response_complete = True
        self._write(answer, keep_alive=cycle.keep_alive and not self._direct.lifecycle.draining)
        self.on_response_complete()

    def _waits_for(self) -> Owed | None:
        """What the client owes now; None while the server works for it."""
        cycle: RequestResponseCycle | None = self.cycle
        if self.transport.is_closing():
            return Owed.READING
        if self.pipeline or self._unparsed:
            return None
        if cycle is None:
            return Owed.HEAD
        if cycle.more_body:
            return Owed.BODY
        if not cycle.response_complete:
            return None
        return Owed.NEXT if cycle.scope is self.scope else Owed.HEAD

    def _make_room(self) -> None:
        """Close the connection that has waited for its client the longest; none waits: refuse this one."""
        waiting = [
            other
            for other in self.connections
            if isinstance(other, InferenceConnection)
            and other is not self
            and other._waits_for() in {Owed.HEAD, Owed.BODY, Owed.NEXT}
        ]
        if waiting:
            min(waiting, key=lambda other: other._since).transport.close()
        else:
            self._end(BusyError(f"the server answers on {MAX_CONNECTIONS} connections, which is all it may; try again"))

    def _end(self, error: RequestError) -> None:
        """Answer whole requests, say what is wrong where a request would be answered now, and close."""
        cycle: RequestResponseCycle | None = self.cycle
        answering = self._answering
        if answering is not None and not answering.response_complete and not answering.more_body:
            if self.pipeline and self.pipeline[0][0].more_body:
                self.pipeline.popleft()  # it will never be whole
            self._farewell = error
            return
        told = cycle is not None and cycle.more_body and cycle.response_started
        if not told and not self.transport.is_closing():
            self._write(to_answer(error), keep_alive=False)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
        self.transport.close()

    def _write(self, answer: Answer, *, keep_alive: bool) -> None:
        content = [STATUS_LINE[answer.status]]
        for name, value in (*self.server_state.default_headers, *answer.headers):
            content += (name, b": ", value, b"\r\n")
        content += (b"\r\n" if keep_alive else b"connection: close\r\n\r\n", answer.body)
        self.transport.write(b"".join(content))
        if not keep_alive:
            self.transport.close()


def _nothing() -> None:
    pass
