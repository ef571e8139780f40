"""A connection of uvicorn that answers inference requests itself.

An ASGI task, its scope, its two messages and a timer for each answer cost more than the inference between them.
Parsing, keep-alive, pipelining in order and shutting down stay uvicorn's; what is very large, chunked, encoded, waits
for ``100 Continue`` or for an answer before its own, or is none of the inference routes goes its ordinary way, with a
scope that is made only then.

What uvicorn leaves open is closed here. A head, or the trailers after a body, that never end: its parser keeps them,
and 40 MB of short headers took 700 MB. Requests that arrive all at once: it makes a scope and a cycle of each before
the first is answered. Clients that begin and do not go on, or do not read, and any number of connections. An offer to
upgrade, as Java's client makes with its first request: its parser takes what follows the head for another protocol's,
so the body of a POST was lost.

Who is told that it asks too often and asks again at once is not read for some time: else a server at its limit does
nothing but say so. 128 connections that went on asking were answered a third of what 64 were, and 800 a tenth.
"""

import asyncio
import sys
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from modelservice.serving.answer import JSON_HEADERS, Answer
from modelservice.serving.callers import UNKNOWN_PEER, Peer, names_of, plain_address
from modelservice.serving.chain import MAX_HEADER_BYTES, UNMATCHED, Arrival
from modelservice.serving.errors import BusyError, ClientLeftError, HeadersTooLargeError, RequestError, TooSlowError
from modelservice.serving.transports.http.direct import Direct, Exchange, header_lines
from modelservice.serving.transports.http.errors import to_answer
from modelservice.serving.transports.http.front import ENDED, PEER, TURNED_AWAY, Front
from modelservice.serving.transports.http.known import KnownHead
from modelservice.serving.transports.http.pace import LIMITS, MAX_CONNECTIONS, Owed

MAX_HEAD: Final = 2 * MAX_HEADER_BYTES
"""Bytes on end that are no part of a body: more than any head that is let in, with its path and separators."""
LESSONS: Final = 8
"""Requests from which a connection learns what heads it gets; a client may write a new one each time."""
PIECE: Final = 8 * 1024
"""Bytes that are parsed at once: requests in what follows wait, unparsed, until those before them are answered."""

_JSON_LINES: Final = header_lines(JSON_HEADERS)


class InferenceConnection(HttpToolsProtocol):
    """uvicorn's connection for an application that has a ``direct`` way, a ``Front``."""

    cycle: Any
    """The request that was read last: uvicorn's, or an ``Exchange``, in whose place is None once it was answered."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._direct: Direct = self.app.direct
        self._reading: Exchange | None = None
        self._answering: RequestResponseCycle | Exchange | None = None
        self._head = 0
        self._data = self._unparsed = b""
        self._begun = self._first = 0
        self._is_between = True
        self._known: KnownHead | None = None
        self._lessons = LESSONS
        self._asked = -1
        self._owed: tuple[Owed | None, int, int] = (Owed.HEAD, 0, 0)
        self._since = self.loop.time()
        self._farewell: RequestError | None = None
        self._is_resting = False
        self._peer = UNKNOWN_PEER

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Take a connection, in place of one that only waits where there are many."""
        super().connection_made(transport)
        address = plain_address(self.client[0]) if self.client else ""
        self._peer = Peer(address, names_of(transport.get_extra_info("peercert")))
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or was cut off."""
        self._unparsed = b""
        if self._reading is not None:
            self._reading.end(ClientLeftError("the client left before its request was whole"))
            self._reading = None
        for cycle in (self._answering, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:  # uvicorn tells only the last one
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)
        self.cycle = self._answering = None  # an exchange holds the connection, and the connection holds it

    def turn_to(self, front: Front) -> None:
        """Answer requests that begin from now on by another front; heads that were learned lead to the one before."""
        self.app, self._direct = front, front.direct
        self._known, self._lessons = None, LESSONS

    def check_pace(self, now: float) -> None:
        """End a connection whose client has owed the same for too long; asked about once a second."""
        what = self._waits_for()
        unread = self.transport.get_write_buffer_size() if what is Owed.READING else 0
        owed = (what, self._begun, unread)
        if owed != self._owed:
            self._owed, self._since = owed, now
        elif what in LIMITS and now - self._since > LIMITS[what]:
            if what is Owed.READING:
                self.transport.abort()
            elif what is Owed.NEXT:
                self.transport.close()
            else:
                self._end(TooSlowError(f"the {what.value} did not come whole within {LIMITS[what]:.0f} seconds"))

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, but no more requests than are answered."""
        if self._farewell is not None:
            return
        if self._known is not None and self._takes_known(self._known, data):
            return
        if self._unparsed:
            data, self._unparsed = self._unparsed + data, b""
        is_body = self._reading is not None and self._reading.missing >= len(data)
        if is_body or (len(data) <= PIECE and self._may_parse()):
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
        """The application answered a request."""
        if isinstance(self._answering, RequestResponseCycle) and self._answering.scope.get(TURNED_AWAY):
            self._rest()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """It is the turn of the next request."""
        super().on_response_complete()
        if self.cycle is None:
            self._unset_keepalive_if_required()  # it ends with what the parser is given, which may be nothing more
        if self.pipeline:
            return
        if self._farewell is not None:
            self._end(self._farewell)
        elif self._is_resting:
            self.flow.pause_reading()
        elif self._unparsed:
            self.data_received(b"")

    def _may_parse(self) -> bool:
        return not (self.pipeline or self._is_resting or self._farewell or self.transport.is_closing())

    def _takes_known(self, head: KnownHead, data: bytes) -> bool:
        """Answer a whole request whose head was parsed before, if its turn is now: the parser would be where it is."""
        if not self._is_between or self.cycle is not None or self._unparsed or self.flow.write_paused:
            return False
        exchange = self._direct.admit_known(head, data, self._respond)
        if exchange is None:
            return False
        self._begun += 1
        self.cycle = self._answering = exchange
        direct = self._direct
        alone = direct.asked == self._asked  # no other connection since this one
        direct.asked = self._asked = direct.asked + 1
        exchange.ask(alone=alone)
        return True

    def _parse(self, data: bytes) -> None:
        """Parse, but keep no head that never ends."""
        self._head += len(data)
        self._data = data
        self._first = self._begun + 1 if self._is_between else 0
        super().data_received(data)
        if self._head > MAX_HEAD:
            self._end(HeadersTooLargeError(f"the path and the headers are larger than {MAX_HEAD} bytes"))

    def on_message_begin(self) -> None:
        """A request begins; uvicorn would make its scope now."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._begun += 1
        self._is_between = False

    def on_headers_complete(self) -> None:
        """The headers of a request were read: it is answered here, or begins as uvicorn's do."""
        self._head = 0
        exchange = self._exchange()
        if exchange is not None:
            self.cycle = self._answering = self._reading = exchange
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = list(headers)  # trailers join the other one: none of them is a header of the request
        self.scope[PEER] = self._peer  # type: ignore[literal-required] # a key of ours
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body arrived."""
        self._head = 0
        if self._reading is not None:
            self._reading.add(body)
        elif self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body of a request is whole."""
        self._head = 0
        self._is_between = True
        if self._reading is not None:
            exchange, self._reading = self._reading, None
            if self._lessons and self._begun == self._first and exchange.keep_alive and exchange.refused is None:
                self._lessons -= 1
                self._known = KnownHead.of(self._data, exchange.core, exchange.operation, exchange.arrival)
            exchange.ask()
        elif self.cycle is not None:
            super().on_message_complete()
            self.cycle.more_body = False  # uvicorn leaves it where the answer came before the end of the body

    def _exchange(self) -> Exchange | None:
        if (self.cycle is not None and not self.cycle.response_complete) or self.flow.write_paused:
            return None
        parser = self.parser
        if self.expect_100_continue or parser.should_upgrade() or parser.get_method() != b"POST":
            return None
        exchange = self._direct.admit(self.url, self.headers, self._respond, self._peer)
        if exchange is not None:
            exchange.keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        return exchange

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """It is the turn of a request on this connection."""
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

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

    def _respond(self, answer: Answer) -> None:
        """Write the answer of the exchange in one piece, and go on as uvicorn does after one."""
        exchange = self._answering
        if exchange is None or exchange.disconnected or self.transport.is_closing():
            return
        exchange.response_complete = True
        if self.cycle is exchange:
            self.cycle = self._answering = None
        self._write(answer, keep_alive=exchange.keep_alive and not self._direct.models.common.lifecycle.draining)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._rest()
        elif self.pipeline or self._unparsed or self._farewell is not None:
            self._go_on()
        else:
            self.server_state.total_requests += 1

    def _rest(self) -> None:
        """Read nothing for a while from who was turned away; what was parsed with it is answered meanwhile."""
        if self.transport.is_closing():
            self._go_on()
            return
        until = self._direct.rests.begin(self.loop.time())
        if not self._is_resting:
            self._is_resting = True
            self.flow.pause_reading()
            self.loop.call_at(until, self._rested)

    def _rested(self) -> None:
        self._is_resting = False
        if self.transport.is_closing():
            return
        if self._answering is None or self._answering.response_complete:
            self._go_on()
            return
        self.flow.resume_reading()
        if self._unparsed:
            self.data_received(b"")

    @property
    def _is_working(self) -> bool:
        """Whether a request came whole and is not answered yet."""
        answering = self._answering
        return answering is not None and not answering.response_complete and not answering.more_body

    def _waits_for(self) -> Owed | None:
        """What the client owes now; None while the server works for it."""
        cycle = self.cycle
        if self.transport.is_closing() or self.flow.write_paused:
            return Owed.READING
        if self._is_resting and not self._is_working:
            return Owed.REST
        if self.pipeline or self._unparsed:
            return None
        if cycle is not None and cycle.more_body:
            return Owed.BODY
        if cycle is not None and not cycle.response_complete:
            return None
        return Owed.NEXT if self._is_between and self._begun else Owed.HEAD

    def _make_room(self) -> None:
        """Close the connection that has waited for its client the longest, one that rests if none does.

        Where all are being answered, this one is refused.
        """
        waiting = [
            other
            for other in self.connections
            if isinstance(other, InferenceConnection) and other is not self and other._waits_for() is not None
        ]
        if waiting:
            longest = min(waiting, key=lambda other: (other._waits_for() is Owed.REST, other._since))
            if longest._waits_for() is Owed.READING:
                longest.transport.abort()  # closing waits until everything was read
            else:
                longest.transport.close()
        else:
            self._end(BusyError(f"the server answers on {MAX_CONNECTIONS} connections, which is all it may; try again"))

    def _end(self, error: RequestError) -> None:
        """Answer whole requests, say what is wrong where a request would be answered now, and close."""
        cycle = self.cycle
        if self._is_working:
            if self.pipeline and self.pipeline[0][0].more_body:
                self.pipeline.popleft()  # it will never be whole
            self._farewell = error
            return
        told = cycle is not None and cycle.more_body and cycle.response_started
        if not told and not self.transport.is_closing():
            self._record(error)
            self._write(to_answer(error), keep_alive=False)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
        self.transport.close()

    def _record(self, error: RequestError) -> None:
        """Count a refusal of the connection's own, once, by the route of the request that it ends, if it has one."""
        if self._reading is not None:
            exchange, self._reading = self._reading, None
            exchange.end(error)
        elif isinstance(self._answering, RequestResponseCycle) and not self._answering.response_complete:
            self._answering.scope[ENDED] = error  # type: ignore[literal-required] # a key of ours
        else:
            self._direct.models.chain.record(
                Arrival(UNMATCHED, (), infers=False, peer=self._peer), str(error.status), 0.0
            )

    def _write(self, answer: Answer, *, keep_alive: bool) -> None:
        status, headers, body = answer
        content = (
            STATUS_LINE[status],
            self._direct.lines_of(self.server_state.default_headers),
            _JSON_LINES if headers is JSON_HEADERS else header_lines(headers),
            b"content-length: %d\r\n" % len(body),
            b"\r\n" if keep_alive else b"connection: close\r\n\r\n",
            body,
        )
        self.transport.write(b"".join(content))
        if not keep_alive:
            self.transport.close()
