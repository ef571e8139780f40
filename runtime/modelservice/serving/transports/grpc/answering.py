"""What answers calls, exchanged as a whole when another model takes over; services and their names stay the same."""

from collections.abc import Sequence

from modelservice.serving.core import Core
from modelservice.serving.protocols.base import AnyMethod, InferenceProtocol, Service


class Answering:
    """A core, and what protocols say of its model.

    Attributes:
        core: the model and the way in.
        services: those of all protocols that have one.
        methods: their methods by full name, such as ``/inference.GRPCInferenceService/ModelInfer``.
    """

    def __init__(self, core: Core, protocols: tuple[InferenceProtocol, ...]) -> None:
        self._protocols = protocols
        self.core = core
        self.services: tuple[Service, ...] = tuple(
            service for protocol in protocols for service in protocol.services(*core.spoken)
        )
        self.methods: dict[str, AnyMethod] = {}
        self.add(self.services)

    def add(self, services: Sequence[Service]) -> None:
        """Know the methods of services of gRPC's own, which no model changes."""
        self.methods |= {full_name(service, method): method for service in services for method in service.methods}

    def of(self, core: Core) -> "Answering":
        """What the same protocols say of another core."""
        return Answering(core, self._protocols)

    def turn_to(self, other: "Answering") -> None:
        """Answer calls that begin from now on, and messages of streams, by another one."""
        self.core, self.services, self.methods = other.core, other.services, self.methods | other.methods


def full_name(service: Service, method: AnyMethod) -> str:
    """As gRPC calls a method."""
    return f"/{service.name}/{method.name}"
