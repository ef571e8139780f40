"""Traces: a span for each request, in the trace of its caller, sent by OpenTelemetry's SDK.

Whether, where and how they are sent is said in OpenTelemetry's own environment variables, as is what is sampled. The
SDK is imported only where there is an endpoint.

Sources: OpenTelemetry's specification of environment variables and semantic conventions; W3C Trace Context.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modelservice.serving.chain import Arrival, Observer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_DISABLED: Final = "OTEL_SDK_DISABLED"
_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_CARRIED: Final = frozenset({b"traceparent", b"tracestate"})
_SERVER_ERROR: Final = 500
_FAULTS: Final = frozenset({"DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED"})
"""Codes of gRPC that are the server's fault, by the semantic conventions, of those that it gives."""


class Traces(NamedTuple):
    """What is told of requests, and how it ends; nothing where nobody asked for traces."""

    observers: tuple[Observer, ...] = ()
    close: Callable[[], object] = lambda: None


def open_traces(environ: Mapping[str, str], *, name: str, revision: int) -> Traces:
    """Begin to send traces, where the environment names an endpoint; by OTLP over HTTP, from a thread.

    Args:
        environ: variables by name.
        name: of the model: the service, unless ``OTEL_SERVICE_NAME`` says another.
        revision: of the model: the version of the service.
    """
    off = environ.get(_DISABLED, "").lower() == "true" or environ.get(_EXPORTER, "otlp") == "none"
    if off or not any(environ.get(endpoint) for endpoint in ENDPOINTS):
        return Traces()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - 0.2 s
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = {"service.name": environ.get("OTEL_SERVICE_NAME") or name, "service.version": str(revision)}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces((span_observer(provider),), provider.shutdown)


def span_observer(provider: "TracerProvider", *, now: Callable[[], int] = time.time_ns) -> Observer:
    """What makes a span of each request once it has ended.

    Args:
        provider: samples and sends them.
        now: nanoseconds since 1970.
    """
    from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    tracer, propagator = provider.get_tracer("modelservice"), TraceContextTextMapPropagator()

    def observe(arrival: Arrival, code: str, seconds: float) -> None:
        carried = {name.decode(): value.decode("latin-1") for name, value in arrival.headers if name in _CARRIED}
        end = now()
        span = tracer.start_span(
            arrival.route,
            context=propagator.extract(carried) if carried else None,
            kind=SpanKind.SERVER,
            attributes=_attributes(arrival, code),
            start_time=end - round(seconds * 1e9),
        )
        if code in _FAULTS or (code.isdigit() and int(code) >= _SERVER_ERROR):
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    return observe


def _attributes(arrival: Arrival, code: str) -> dict[str, Any]:
    if code.isdigit():
        return {"http.route": arrival.route, "http.response.status_code": int(code)}
    return {"rpc.system.name": "grpc", "rpc.method": arrival.route.lstrip("/"), "rpc.response.status_code": code}
