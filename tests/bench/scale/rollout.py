"""What it costs to bring ModelServices from nothing to Ready."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.bench.kwok.subject import Reading, Subject
from tests.bench.record import Figure, at_most, figure
from tests.bench.scale.base import object_of, say, seconds, show_requests, since, wait_until_ready, written

CPU_FOR_EACH_OBJECT = 4.0
REQUESTS_FOR_EACH_OBJECT = 1.3


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one ModelService: milliseconds of CPU, and thousands of bytes; None where there is none."""

    cpu: float | None = None
    memory: float | None = None


WITH_TRAINING, WITH_ARTIFACT, MORE = Limits(cpu=40, memory=150), Limits(cpu=30, memory=150), Limits()
"""What is asked for: a training, an artifact that is given, or more than that.

KServe's Go controller takes 32.5 ms and 89 kB for an InferenceService of three children."""

KSERVE_SECONDS_FOR_EACH_CHILD = 101 / 3000
"""KServe brings 1,000 InferenceServices of three children to Ready in 101 s on such a machine."""


def bring_up(
    bench: Subject, services: int, *, apply: Callable[[], None], limits: Limits, prefix: str = ""
) -> list[Figure]:
    """Apply ModelServices to a cluster that has none, and wait until all are Ready and at rest.

    Args:
        bench: the operator.
        services: how many ``apply`` applies.
        apply: applies them.
        limits: those of each.
        prefix: what the names of the figures begin with.
    """
    before = bench.read()
    say(f"the operator is process {bench.process.pid}; applying {services} ModelServices")
    apply()
    say("all are applied")
    wait_until_ready(bench, services)
    settled = bench.read()
    show_requests("from the first apply until nothing was written any more", since(before, settled), services)
    return [replace(one, figure=f"{prefix}{one.figure}") for one in _figures(before, settled, services, limits)]


def _figures(before: Reading, settled: Reading, services: int, limits: Limits) -> list[Figure]:
    """An object counts once, however often it is written: children, events, and the ModelService for its status."""
    requests = since(before, settled)
    writes = written(requests)
    objects = {object_of(request) for request in writes}
    children = sum(resource not in ("events", "modelservices") for resource, _, _ in objects)
    milliseconds = 1000 * (settled.cpu - before.cpu)
    return [
        at_most(
            "first request to last write",
            seconds(requests[0].received, writes[-1].answered),
            "s",
            round(children * KSERVE_SECONDS_FOR_EACH_CHILD, 1),
        ),
        at_most("CPU for each object written", milliseconds / len(objects), "ms", CPU_FOR_EACH_OBJECT),
        _within("CPU for each ModelService", milliseconds / services, "ms", limits.cpu),
        at_most("requests for each object written", len(requests) / len(objects), "requests", REQUESTS_FOR_EACH_OBJECT),
        figure("requests for each ModelService", len(requests) / services, "requests"),
        figure("objects written for each ModelService", len(objects) / services, "objects"),
        figure("children of each ModelService", children / services, "objects"),
        figure("writes for each ModelService", len(writes) / services, "writes"),
        figure("reconciles for each ModelService", (settled.reconciles - before.reconciles) / services, "reconciles"),
        figure("memory before the first ModelService", before.memory / 1024, "MiB"),
        _within(
            "memory for each ModelService", (settled.memory - before.memory) * 1.024 / services, "kB", limits.memory
        ),
    ]


def _within(name: str, value: float, unit: str, limit: float | None) -> Figure:
    return figure(name, value, unit) if limit is None else at_most(name, value, unit, limit)
