"""What attacks have in common: namespaces of the attacker and of another tenant, and contents that are large."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import apply_service, is_ready, services_path
from tests.bench.kwok.process import Process
from tests.bench.record import Figure, at_most

Object = dict[str, Any]

ATTACKER = "attacker"
"""Namespace in which the attacker may edit; the other tenant is in ``population.NAMESPACE``."""

VICTIM = "other-tenant"
"""The other tenant's ModelService."""

MEMORY_LIMIT = 300.0
"""MiB that the operator may have resident, whatever tenants write: the chart gives it 512."""

LARGE_TEXT = "x" * 1_000_000
"""Nearly the 1 MiB that a ConfigMap may hold."""

HALF_OF_CONTROL = "\x01" * 480_000
"""As much as one request can bring, at most 3 MiB: JSON writes each of these characters in six bytes. Twice of it is
stored as 1 MB, and read as 6."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack on a control plane of its own.

    ``stages`` tell kwok what becomes of pods; ``measure`` starts the operator, attacks, and gives the figures. It may
    keep files in the folder.
    """

    name: str
    stages: Sequence[Object]
    measure: Callable[[ControlPlane, Path], list[Figure]]


def serve_victim(plane: ControlPlane, process: Process, *, seconds: float = 120) -> None:
    """Bring the other tenant's model from nothing to Ready, which an operator under attack must still do.

    Raises:
        BenchError: it does not.
    """
    apply_service(plane.api, VICTIM)
    process.wait_until(lambda: is_ready(victim(plane)), what=f"{VICTIM} is Ready", seconds=seconds, every=0.2)


def victim(plane: ControlPlane) -> Object:
    """The other tenant's ModelService as it is now."""
    return plane.api.get(f"{services_path()}/{VICTIM}")


def peak_memory(what: str, process: Process) -> Figure:
    """The most memory that the operator ever had."""
    return at_most(f"{what}: most memory of the operator", process.peak_kibibytes() / 1024, "MiB", MEMORY_LIMIT)
