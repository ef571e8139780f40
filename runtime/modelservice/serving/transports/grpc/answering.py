"""What answers calls, exchanged as a whole when another model takes over; services and their names stay the same."""

from collections.abc import Sequence

from modelservice.serving.core import Models
from modelservice.serving.protocols.base import AnyMethod, InferenceProtocol, Service


class Answering:
    """Models, and what protocols say of them.

    Attributes:
        models: each with its way in.
        services: those of all protocols that have one.
        methods: their methods by full name, such as ``/inference.GRPCInferenceService/ModelInfer``.
    """

    def __init__(self, models: Models, protocols: tuple[InferenceProtocol, ...]) -> None:
        self._protocols = protocols
        self.models = models
        spoken = [core.spoken for core in models]
        self.services: tuple[Service, ...] = tuple(
            service for protocol in protocols for service in protocol.services(spoken)
        )
        self.methods: dict[str, AnyMethod] = {}
        self.add(self.services)

    def add(self, services: Sequence[Service]) -> None:
        """Know the methods of services of gRPC's own, which no model changes."""
        self.methods |= {full_name(service, method): method for service in services for method in service.methods}

    def of(self, models: Models) -> "Answering":
        """What the same protocols say of other models."""
        return Answering(models, self._protocols)

    def turn_to(self, other: "Answering") -> None:
        """Answer calls that begin from now on, and messages of streams, by another one."""
        self.models, self.services, self.methods = other.models, other.services, self.methods | other.methods


def full_name(service: Service, method: AnyMethod) -> str:
    """As gRPC calls a method."""
    return f"/{service.name}/{method.name}"
