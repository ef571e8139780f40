"""The gRPC health protocol, which Kubernetes' probes, load balancers and clients ask: ``grpc.health.v1.Health``."""

from collections.abc import Collection
from typing import Final

from modelservice.serving.errors import UnknownModelError
from modelservice.serving.protocols.base import Service, State, StateMethod, WatchMethod
from modelservice.serving.protocols.messages import Field, Method, build_package, read_message

_PACKAGE: Final = "grpc.health.v1"
_SERVICE: Final = "Health"
_UNKNOWN: Final = 0
_SERVING: Final = 1
_NOT_SERVING: Final = 2
_SERVICE_UNKNOWN: Final = 3
_STATUS: Final = "HealthCheckResponse.ServingStatus"
_DESCRIBED: Final = build_package(
    _PACKAGE,
    {
        "HealthCheckRequest": (Field("service", 1, "string"),),
        "HealthCheckResponse": (Field("status", 1, _STATUS, enumeration=True),),
    },
    enumerations={
        _STATUS: {
            "UNKNOWN": _UNKNOWN,
            "SERVING": _SERVING,
            "NOT_SERVING": _NOT_SERVING,
            "SERVICE_UNKNOWN": _SERVICE_UNKNOWN,
        }
    },
    services={
        _SERVICE: (
            Method("Check", "HealthCheckRequest", "HealthCheckResponse"),
            Method("Watch", "HealthCheckRequest", "HealthCheckResponse", gives_stream=True),
        )
    },
)


def health_service(names: Collection[str]) -> Service:
    """Whether the server asks for requests, asked as a whole (an empty name) or of one of its services.

    Args:
        names: of the services, in full.
    """
    request, response = _DESCRIBED.messages["HealthCheckRequest"], _DESCRIBED.messages["HealthCheckResponse"]
    known = frozenset({"", *names})

    def status(state: State) -> int:
        return _SERVING if state.ready else _NOT_SERVING

    def check(data: bytes, state: State) -> bytes:
        asked = read_message(request, data).service
        if asked not in known:
            raise UnknownModelError(f"no service {asked[:64]!r} here; an empty service asks for the whole server")
        return response(status=status(state)).SerializeToString()

    def watch(data: bytes, state: State) -> bytes:
        asked = read_message(request, data).service
        return response(status=status(state) if asked in known else _SERVICE_UNKNOWN).SerializeToString()

    methods = (StateMethod("Check", check), WatchMethod("Watch", watch))
    return Service(f"{_PACKAGE}.{_SERVICE}", methods, _DESCRIBED.files)
