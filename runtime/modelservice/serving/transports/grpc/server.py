"""The gRPC server: the services of all protocols that have one, on the running event loop."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio

from modelservice.serving.access.certificates import Certificates, Material
from modelservice.serving.access.handshakes import HANDSHAKE_SECONDS
from modelservice.serving.calls import Call
from modelservice.serving.chain import MAX_BODY
from modelservice.serving.core import Core
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.listening import EVERY
from modelservice.serving.protocols import PROTOCOLS
from modelservice.serving.protocols.base import (
    AnyMethod,
    InferenceProtocol,
    InferMethod,
    Service,
    State,
    StateMethod,
    StateStreamMethod,
    StreamMethod,
    WatchMethod,
)
from modelservice.serving.transports.grpc.health import health_service
from modelservice.serving.transports.grpc.interceptor import READ_SECONDS, ChainInterceptor
from modelservice.serving.transports.grpc.reflection import reflection_services
from modelservice.serving.transports.grpc.streams import IDLE_SECONDS, Streams
from modelservice.serving.transports.grpc.watches import Watches

Behaviour = Callable[[bytes, Any], Awaitable[bytes]]

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


async def start_grpc(
    core: Core,
    *,
    host: str,
    port: int,
    protocols: tuple[InferenceProtocol, ...] = PROTOCOLS,
    read_seconds: float = READ_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
) -> tuple[Any, int]:
    """Start to answer calls.

    Args:
        core: the model and the way in.
        host: the address.
        port: its port; 0 is a free one.
        protocols: those whose services are offered, where they have one.
        read_seconds: how long a message may take.
        idle_seconds: how long a stream may wait for its next message.

    Returns:
        The server and its port, which gRPC chose if ``port`` is 0.

    Raises:
        OSError: the address cannot be listened on.
    """
    spoken = [service for protocol in protocols for service in protocol.services(*core.spoken)]
    services = (*spoken, health_service([service.name for service in spoken]))
    services = (*services, *reflection_services(services))
    methods = {
        f"/{service.name}/{method.name}": isinstance(method, InferMethod | StreamMethod)
        for service in services
        for method in service.methods
    }
    server = grpc.aio.server(
        interceptors=[ChainInterceptor(core, methods=methods, read_seconds=read_seconds)], options=OPTIONS
    )
    handlers = _Handlers(core, read_seconds=read_seconds, idle_seconds=idle_seconds)
    for service in services:
        server.add_generic_rpc_handlers((handlers.of(service),))
    try:
        if core.gate.certificates is None:
            bound = server.add_insecure_port(_address(host, port))
        else:
            bound = server.add_secure_port(_address(host, port), _credentials(core.gate.certificates))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {host} port {port}: {error}") from None
    await server.start()
    return server, bound


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

    def __init__(self, core: Core, *, read_seconds: float, idle_seconds: float) -> None:
        self._core = core
        self._inferences = Streams(core, idle_seconds=idle_seconds)
        self._questions = Streams(core, idle_seconds=idle_seconds)
        self._watches = Watches(core, read_seconds=read_seconds)

    def of(self, service: Service) -> Any:
        """The handler of a service."""
        handlers = {method.name: self._handler(method) for method in service.methods}
        return grpc.method_handlers_generic_handler(service.name, handlers)

    def _handler(self, method: AnyMethod) -> Any:
        core = self._core
        match method:
            case StateMethod(answer=answer):
                return grpc.unary_unary_rpc_method_handler(_answering(core, answer))
            case InferMethod(parse=parse):
                return grpc.unary_unary_rpc_method_handler(_inferring(core, parse))
            case StreamMethod(parse=parse, refuse=refuse):
                behaviour = partial(self._inferences.answer, infer=_inferring(core, parse), refuse=refuse)
            case StateStreamMethod(answer=answer, refuse=refuse):
                behaviour = partial(self._questions.answer, infer=_answering(core, answer), refuse=refuse)
            case WatchMethod(answer=answer):
                behaviour = partial(self._watches.answer, answer=answer)
        return grpc.stream_stream_rpc_method_handler(behaviour)


def _answering(core: Core, answer: Callable[[bytes, State], bytes]) -> Behaviour:
    async def state(request: bytes, _context: Any) -> bytes:
        return answer(request, core.state())

    return state


def _inferring(core: Core, parse: Callable[[bytes], Call[bytes]]) -> Behaviour:
    inference = core.inference

    async def infer(request: bytes, _context: Any) -> bytes:
        return await inference.answer(parse, request, large=len(request) > LARGE_BODY, patience=PATIENCE)

    return infer
