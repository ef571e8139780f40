"""A connection of uvicorn that answers small inference requests itself.

Measured at one connection: an ASGI task, its scope and its two messages cost as much as the inference between them.
Parsing, keep-alive, pipelining in order, time-outs and shutting down stay uvicorn's; what is large, chunked, encoded,
waits for ``100 Continue``, or is none of the inference routes goes its ordinary way to the front.
"""

from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from modelservice.serving.answer import Answer
from modelservice.serving.transports.http.direct import Admitted, Direct


class InferenceConnection(HttpToolsProtocol):
    """uvicorn's connection for an application that has a ``direct`` way, a ``Front``."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._direct: Direct = self.app.direct
        self._reading: Admitted | None = None

    def on_message_complete(self) -> None:
        """The body of a request is whole."""
        super().on_message_complete()
        if self._reading is not None and not self.cycle.more_body:
            admitted, self._reading = self._reading, None
            self._ask(self.cycle, admitted)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """The headers of a request were read, and it is its turn on this connection."""
        admitted = self._admit(cycle)
        if admitted is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._reading = admitted
        else:  # it was read while the one before it was answered
            self._ask(cycle, admitted)

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
        keep_alive = cycle.keep_alive and not self._direct.lifecycle.draining
        content = [STATUS_LINE[answer.status]]
        for name, value in (*self.server_state.default_headers, *answer.headers):
            content += (name, b": ", value, b"\r\n")
        content += (b"\r\n" if keep_alive else b"connection: close\r\n\r\n", answer.body)
        self.transport.write(b"".join(content))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()


def _nothing() -> None:
    pass
