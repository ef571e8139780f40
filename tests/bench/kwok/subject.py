"""The controller under measurement: a process of this machine that works on a control plane of a bench."""

import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.kwok.audit import Request
from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import OPERATOR_NAMESPACE
from tests.bench.kwok.process import Process, free_port, running

OPERATOR = "operator"
"""The user that it is to the apiserver, and the name of its log."""

_WRITES = "modelservice_operator_writes_total"
_RECONCILES = "modelservice_operator_reconciles_total"
_LEADER = "modelservice_operator_leader"

_LOOK_SECONDS = 0.25
"""Between two looks at the operator, which shares its CPUs with who looks: times are those of the audit log."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a controller took until one moment: seconds of CPU, KiB of memory, and requests."""

    at: float
    cpu: float
    memory: int
    requests: Sequence[Request]


@dataclass(frozen=True, kw_only=True)
class Reading(Usage):
    """The operator at one moment, with its own counters."""

    writes: float
    reconciles: float


@dataclass(frozen=True, kw_only=True)
class Controller:
    """A controller, and the control plane that it works on; it tells on a port whether it is ready."""

    plane: ControlPlane
    process: Process
    port: int

    def usage(self) -> Usage:
        """What it took so far."""
        return Usage(
            at=time.monotonic(),
            cpu=self.process.cpu_seconds(),
            memory=self.process.resident_kibibytes(),
            requests=self.requests(),
        )

    def requests(self) -> Sequence[Request]:
        """All that it asked the apiserver for so far."""
        return self.plane.audit.requests(OPERATOR)

    def is_synced(self) -> bool:
        """Whether its cache is full: it leads, or stands by."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def wait_until_quiet(self, seconds: float, *, most: float = 60) -> None:
        """Wait until it has not asked the apiserver for anything to do with its work for a while, and ``most`` long."""
        seen = (-1, time.monotonic())

        def quiet() -> bool:
            nonlocal seen
            count = sum(not request.is_election for request in self.requests())
            if count != seen[0]:
                seen = (count, time.monotonic())
            return time.monotonic() - seen[1] >= seconds

        self.process.wait_until(quiet, what=f"a quiet {self.process.name}", seconds=most, every=_LOOK_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Subject(Controller):
    """The operator, which has counters of its own."""

    def read(self) -> Reading:
        """Where its counters stand."""
        text = self._metrics()
        return Reading(**vars(self.usage()), writes=total(text, _WRITES), reconciles=total(text, _RECONCILES))

    def is_leading(self) -> bool:
        """Whether it has begun to work."""
        try:
            return total(self._metrics(), _LEADER) == 1
        except OSError:
            return False

    def wait_until_leading(self, *, most: float) -> None:
        """Wait until it has begun to work, and ``most`` long."""
        self.process.wait_until(self.is_leading, what="the operator leads", seconds=most, every=_LOOK_SECONDS)

    def _metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
        return text


@contextmanager
def operator_on(plane: ControlPlane, folder: Path, *, seconds: float = 30) -> Iterator[Subject]:
    """An operator with all namespaces of a control plane; given when it leads, which it must within ``seconds``."""
    with starting_operator(plane, folder) as subject:
        subject.wait_until_leading(most=seconds)
        yield subject


@contextmanager
def starting_operator(plane: ControlPlane, folder: Path, *, name: str = OPERATOR) -> Iterator[Subject]:
    """An operator as ``operator_on``, given as soon as its process runs; ``name`` is that of its log."""
    port = free_port()
    settings = {
        "KUBECONFIG": str(plane.kubeconfigs[OPERATOR]),
        "POD_NAMESPACE": OPERATOR_NAMESPACE,
        "MODELSERVICE_TRAINER_IMAGE": "registry.example/modelservice/trainer:bench",
        "MODELSERVICE_SERVER_IMAGE": "registry.example/modelservice/server:bench",
        "MODELSERVICE_HTTP_PORT": str(port),
    }
    with running(name, [sys.executable, "-m", "modelservice_operator"], folder=folder, env=settings) as process:
        yield Subject(plane=plane, process=process, port=port)


def total(text: str, metric: str) -> float:
    """Sum of a metric over its labels, from the text that Prometheus reads."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines())
    return sum(float(value) for name, value in lines if name.partition("{")[0] == metric)
