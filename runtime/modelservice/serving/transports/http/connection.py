"""A connection of uvicorn that answers small inference requests itself.

Measured at one connection: an ASGI task, its scope and its two messages cost as much as the inference between them.
Parsing, keep-alive, pipelining in order, time-outs and shutting down stay uvicorn's; what is large, chunked, encoded,
waits for ``100 Continue``, or is none of the inference routes goes its ordinary way to the front.

What uvicorn leaves open is closed here. A head, or the trailers after a body, that never end: its parser keeps them,
and 40 MB of short headers took 700 MB. An offer to upgrade, as Java's client makes with its first request: its parser
takes what follows the head for another protocol's, so the body of a POST was lost.
"""

import sys
from functools import partial
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from modelservice.serving.answer import Answer
from modelservice.serving.chain import MAX_HEADER_BYTES
from modelservice.serving.errors import HeadersTooLargeError
from modelservice.serving.transports.http.direct import Admitted, Direct
from modelservice.serving.transports.http.errors import to_answer

MAX_HEAD: Final = 2 * MAX_HEADER_BYTES
"""Bytes on end that are no part of a body: more than any head that is let in, with its path and separators."""


class InferenceConnection(HttpToolsProtocol):
    """uvicorn's connection for an application that has a ``direct`` way, a ``Front``."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._direct: Direct = self.app.direct
        self._reading: Admitted | None = None
        self._head = 0
        self._data = b""

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, but keep no head that never ends."""
        self._head += len(data)
        self._data = data
        super().data_received(data)
        if self._head > MAX_HEAD:
            self._refuse_head()

    def on_body(self, body: bytes) -> None:
        """A part of a body arrived."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body of a request is whole."""
        self._head = 0
        super().on_message_complete()
        if self._reading is not None and not self.cycle.more_body:
            admitted, self._reading = self._reading, None
            self._ask(self.cycle, admitted)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """The headers of a request were read, and it is its turn on this connection."""
        self._head = 0
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
        self.data_received(b"\r\n".join((*lines, b"\r\n")) + rest)

    def _admit(self, cycle: RequestResponseCycle) -> Admitted | None:
        scope = cycle.scope
        if scope["method"] != "POST" or cycle.waiting_for_100_continue or self.flow.write_paused:
            return None
        return self._direct.admit(scope["path"], scope["headers"])

    def _ask(self, cycle: RequestResponseCycle, admitted: Admitted) -> None:
        self._direct.ask(admitted, bytes(cycle.body), partial(self._respond, cycle))

    def _respond(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        """Write an answer in one piece, and go on as uvicorn does after one."""
        cycle.on_response = _nothing  # it would hold the connection, and the connection holds it
        if cycle.disconnected or self.transport.is_closing():
            return
        cycle.response_started = cycle.response_complete = True
        self._write(answer, keep_alive=cycle.keep_alive and not self._direct.lifecycle.draining)
        self.on_response_complete()

    def _refuse_head(self) -> None:
        """Say so where a request would be answered now; in trailers, or before an earlier answer, only close."""
        before: RequestResponseCycle | None = self.cycle
        if not self.transport.is_closing() and (
            before is None or (before.response_complete and before.scope is not self.scope)
        ):
            error = HeadersTooLargeError(f"the path and the headers are larger than {MAX_HEAD} bytes")
            self._write(to_answer(error), keep_alive=False)
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
