"""The gRPC server: the services of all protocols that have one, on the running event loop."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import grpc
import grpc.aio

from modelservice.serving.access.certificates import Certificates, Material
from modelservice.serving.access.handshakes import HANDSHAKE_SECONDS
from modelservice.serving.calls import Call
from modelservice.serving.chain import MAX_BODY, Arrival
from modelservice.serving.core import Models
from modelservice.serving.errors import RequestError
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.listening import EVERY
from modelservice.serving.protocols import PROTOCOLS
from modelservice.serving.protocols.base import (
    AnyMethod,
    CommandMethod,
    InferenceProtocol,
    InferMethod,
    Service,
    StateMethod,
    StateStreamMethod,
    StreamMethod,
    WatchMethod,
)
from modelservice.serving.transports.grpc.answering import Answering, full_name
from modelservice.serving.transports.grpc.health import health_service
from modelservice.serving.transports.grpc.interceptor import READ_SECONDS, Behaviour, ChainInterceptor
from modelservice.serving.transports.grpc.reflection import reflection_services
from modelservice.serving.transports.grpc.streams import IDLE_SECONDS, Streams
from modelservice.serving.transports.grpc.watches import Watches

MAX_PENDING = 8192
"""Calls that are not begun yet; beyond 1,000, its default, gRPC drops some by chance, and says CANCELLED."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_BODY),
    ("grpc.max_send_message_length", -1),
    ("grpc.server.max_pending_requests", MAX_PENDING),
    ("grpc.server.max_pending_requests_hard_limit", 2 * MAX_PENDING),
    ("grpc.http2.bdp_probe", 0),  # windows that grow hold what nobody asked to read
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a share of its calls
    ("grpc.server_handshake_timeout_ms", round(HANDSHAKE_SECONDS * 1000)),
    ("grpc.keepalive_time_ms", 30_000),  # who went without a word is asked, and given up after 20 s
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),  # as often as it takes: a stream may be quiet
    ("grpc.http2.min_ping_recv_interval_without_data_ms", 10_000),  # clients may ask as well, this often
)

PATIENCE = 8
"""Turns of the event loop: gRPC takes calls one by one, each some turns after the last, however many have arrived.

With 64 in flight that makes batches of 3 instead of 1.2, and a call costs 50 us of CPU more than an echo, not 150.
"""


class Started(NamedTuple):
    """A server, its port, which gRPC chose if 0 was asked for, and what answers its calls."""

    server: Any
    port: int
    answering: Answering


async def start_grpc(
    models: Models,
    *,
    host: str,
    port: int,
    protocols: tuple[InferenceProtocol, ...] = PROTOCOLS,
    read_seconds: float = READ_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
) -> Started:
    """Start to answer calls.

    Args:
        models: each with its way in.
        host: the address.
        port: its port; 0 is a free one.
        protocols: those whose services are offered, where they have one.
        read_seconds: how long a message may take.
        idle_seconds: how long a stream may wait for its next message.

    Raises:
        OSError: the address cannot be listened on.
    """
    answering = Answering(models, protocols)
    services = (*answering.services, health_service([service.name for service in answering.services]))
    services = (*services, *reflection_services(services))
    answering.add(services)
    methods = {name: isinstance(method, InferMethod | StreamMethod) for name, method in answering.methods.items()}
    server = grpc.aio.server(
        interceptors=[ChainInterceptor(answering, methods=methods, read_seconds=read_seconds)], options=OPTIONS
    )
    handlers = _Handlers(answering, read_seconds=read_seconds, idle_seconds=idle_seconds)
    for service in services:
        server.add_generic_rpc_handlers((handlers.of(service),))
    try:
        if models.common.gate.certificates is None:
            bound = server.add_insecure_port(_address(host, port))
        else:
            bound = server.add_secure_port(_address(host, port), _credentials(models.common.gate.certificates))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {host} port {port}: {error}") from None
    await server.start()
    return Started(server, bound, answering)


def _credentials(certificates: Certificates) -> Any:
    """Credentials that ask at each handshake whether there are others, from a thread of gRPC's own."""
    given = certificates.material

    def configuration(material: Material) -> Any:
        return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.authority)

    def changed() -> Any:
        nonlocal given
        if certificates.material is given:
            return None
        given = certificates.material
        return configuration(given)

    return grpc.dynamic_ssl_server_credentials(configuration(given), changed, certificates.asks_clients)


def _address(host: str, port: int) -> str:
    """As gRPC writes it; its ``[::]`` is every address too, of IPv4 alone where there is no IPv6."""
    if host in EVERY:
        return f"[::]:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Handlers:
    """Behaviours of remote calls, as the interceptor takes them."""

    def __init__(self, answering: Answering, *, read_seconds: float, idle_seconds: float) -> None:
        self._answering = answering
        self._inferences = Streams(answering.models.common, idle_seconds=idle_seconds)
        self._questions = Streams(answering.models.common, idle_seconds=idle_seconds)
        self._watches = Watches(answering, read_seconds=read_seconds)

    def of(self, service: Service) -> Any:
        """The handler of a service."""
        handlers = {method.name: self._handler(method, full_name(service, method)) for method in service.methods}
        return grpc.method_handlers_generic_handler(service.name, handlers)

    def _handler(self, method: AnyMethod, name: str) -> Any:
        match method:
            case StateMethod():
                return grpc.unary_unary_rpc_method_handler(_stating(self._answering, name))
            case CommandMethod():
                return grpc.unary_unary_rpc_method_handler(_commanding(self._answering, name))
            case InferMethod():
                return grpc.unary_unary_rpc_method_handler(_inferring(self._answering, name))
            case StreamMethod(refuse=refuse):
                behaviour = partial(self._inferences.answer, infer=_inferring(self._answering, name), refuse=refuse)
            case StateStreamMethod(refuse=refuse):
                behaviour = partial(self._questions.answer, infer=_stating(self._answering, name), refuse=refuse)
            case WatchMethod(answer=answer):
                behaviour = partial(self._watches.answer, answer=answer)
        return grpc.stream_stream_rpc_method_handler(behaviour)


def _stating(answering: Answering, name: str) -> Behaviour:
    """Answers by what is said of the model of the moment: a method held here would hold the first one for good."""

    async def state(request: bytes, _arrival: Arrival) -> bytes:
        stating: Any = answering.methods[name]
        return bytes(stating.answer(request, answering.models.state()))

    return state


def _commanding(answering: Answering, name: str) -> Behaviour:
    async def command(request: bytes, _arrival: Arrival) -> bytes:
        asked: Any = answering.methods[name]
        return bytes(await asked.answer(request, answering.models.state()))

    return command


async def _parsed_aside(models: Models, parse: Callable[[bytes], Call[bytes]], request: bytes) -> Call[bytes]:
    """Parse a large message in a thread, as long as it waits for one no longer than its model lets it."""
    asked, patient = models.common.clock(), max(models, key=lambda core: core.inference.max_wait)
    call, waited = await models.common.parsing.timed(parse, request, most=patient.inference.max_wait)
    core = patient if call is None else models[call.model]
    return core.inference.admit(call, asked=asked, waited=waited)


def _inferring(answering: Answering, name: str) -> Behaviour:
    async def infer(request: bytes, arrival: Arrival) -> bytes:
        asked: Any = answering.methods[name]
        models, large = answering.models, len(request) > LARGE_BODY
        call: Call[bytes]
        try:
            call = await _parsed_aside(models, asked.parse, request) if large else asked.parse(request)
        except RequestError as error:
            arrival.model = error.model
            raise
        core = models[call.model]
        arrival.model = core.name
        return await core.inference.compute(call, large=large, patience=PATIENCE)

    return infer
