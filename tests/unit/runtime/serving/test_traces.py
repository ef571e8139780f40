"""Traces: a span for each request, in its caller's trace; sent where the environment says, and nowhere else."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.unit.runtime.serving.fakes import client_of, core_of, numeric_model

from modelservice.serving.chain import Arrival, Chain
from modelservice.serving.core import Models
from modelservice.serving.traces import ENDPOINTS, Traces, open_traces, span_observer
from modelservice.serving.transports.http.server import build_front

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
NOW = 1_700_000_000_000_000_000


def spans_of(*requests: tuple[Arrival, str, float]) -> tuple[ReadableSpan, ...]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    observe = span_observer(provider, now=lambda: NOW)
    for request in requests:
        observe(*request)
    return exporter.get_finished_spans()


def arrival(route: str = "/v1/models/{name}:predict", **headers: str) -> Arrival:
    return Arrival(route, [(name.encode(), value.encode()) for name, value in headers.items()], infers=True)


def test_a_request_is_a_span_in_the_trace_of_its_caller() -> None:
    (span,) = spans_of((arrival(traceparent=TRACEPARENT, tracestate="a=1"), "200", 0.25))
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    assert parent is not None
    assert (f"{context.trace_id:032x}", f"{parent.span_id:016x}") == (TRACE, PARENT)
    assert context.trace_state.get("a") == "1"
    assert (span.name, span.kind) == ("/v1/models/{name}:predict", SpanKind.SERVER)
    assert (span.start_time, span.end_time) == (NOW - 250_000_000, NOW)
    assert span.attributes == {"http.route": "/v1/models/{name}:predict", "http.response.status_code": 200}


@pytest.mark.parametrize("header", [{}, {"traceparent": "nonsense"}, {"traceparent": "\xff"}])
def test_without_a_caller_that_traces_it_begins_a_trace(header: dict[str, str]) -> None:
    (span,) = spans_of((arrival(**header), "200", 0.1))
    assert span.parent is None


def test_what_the_caller_does_not_sample_is_not_sent() -> None:
    assert not spans_of((arrival(traceparent=f"00-{TRACE}-{PARENT}-00"), "200", 0.1))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("200", StatusCode.UNSET),
        ("429", StatusCode.UNSET),
        ("500", StatusCode.ERROR),
        ("OK", StatusCode.UNSET),
        ("INVALID_ARGUMENT", StatusCode.UNSET),
        ("INTERNAL", StatusCode.ERROR),
    ],
)
def test_faults_of_the_server_are_errors(code: str, status: StatusCode) -> None:
    (span,) = spans_of((arrival("/inference.GRPCInferenceService/ModelInfer"), code, 0.1))
    assert span.status.status_code is status
    if code.isalpha():
        assert dict(span.attributes or {}) == {
            "rpc.system.name": "grpc",
            "rpc.method": "inference.GRPCInferenceService/ModelInfer",
            "rpc.response.status_code": code,
        }


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {ENDPOINTS[0]: ""},
        {ENDPOINTS[0]: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINTS[1]: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nobody_who_does_not_ask_pays(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # an import would fail
    assert open_traces(environ, name="iris", revision=1) == Traces()


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An OTLP endpoint, and the requests that it got."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


async def test_spans_of_answered_requests_are_sent_at_the_latest_when_the_server_ends(
    collector: tuple[str, list[tuple[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, got = collector
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    traces = open_traces(environ, name="iris", revision=3)
    core = core_of(numeric_model())
    core = core._replace(chain=Chain(core.chain.guards, traces.observers))
    async with client_of(build_front(Models([core]))) as client:
        headers = {"traceparent": TRACEPARENT}
        await client.post("/v1/models/iris:predict", json={"instances": [[1, 2]]}, headers=headers)
    traces.close()
    ((path, body),) = got
    assert path == "/v1/traces"
    for part in (bytes.fromhex(TRACE), b"/v1/models/{name}:predict", b"service.name", b"iris"):
        assert part in body
