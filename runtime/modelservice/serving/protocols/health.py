"""The gRPC health protocol, which Kubernetes' probes and load balancers ask: ``grpc.health.v1.Health/Check``.

The published enumeration of states travels as a number, so an int32 field reads and writes it.
"""

from typing import Final

from modelservice.serving.errors import UnknownModelError
from modelservice.serving.model import ServedModel
from modelservice.serving.protocols.base import Service, State, StateMethod

_SERVING: Final = 1
_NOT_SERVING: Final = 2
_PACKAGE: Final = "grpc.health.v1"


class Health:
    """Whether the server asks for requests, as a whole."""

    name = "health"

    def rest(self, model: ServedModel, name: str, version: str) -> None:  # noqa: ARG002 - the seam's signature
        """None: over HTTP the inference protocols say it."""
        return

    def service(self, model: ServedModel, name: str, version: str) -> Service:  # noqa: ARG002 - the seam's signature
        """``grpc.health.v1.Health``."""
        from modelservice.serving.protocols.messages import Field, build_messages, read_message  # noqa: PLC0415

        messages = build_messages(
            _PACKAGE,
            {
                "HealthCheckRequest": (Field("service", 1, "string"),),
                "HealthCheckResponse": (Field("status", 1, "int32"),),
            },
        )
        request, response = messages["HealthCheckRequest"], messages["HealthCheckResponse"]

        def check(data: bytes, state: State) -> bytes:
            asked = read_message(request, data).service
            if asked:
                raise UnknownModelError(f"no health of {asked[:64]!r}; ask for the whole server, with an empty service")
            return response(status=_SERVING if state.ready else _NOT_SERVING).SerializeToString()

        return Service(f"{_PACKAGE}.Health", (StateMethod("Check", check),))
