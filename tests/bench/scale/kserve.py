"""KServe's controller beside ours: the same steps in the same run, and what ours takes by what that takes."""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.bench.kwok.controlplane import ControlPlane, control_plane
from tests.bench.kwok.kserve import (
    CONTAINER,
    LABEL,
    apply_inference_services,
    change_inference_service,
    kserve_on,
    prepare_kserve,
    ready_inference_services,
)
from tests.bench.kwok.population import make_nodes
from tests.bench.kwok.stages import foreign_stages
from tests.bench.kwok.subject import OPERATOR, Controller
from tests.bench.record import Figure, at_most, figure
from tests.bench.scale.base import (
    QUIET_SECONDS,
    object_of,
    say,
    seconds,
    show_requests,
    since,
    wait_until_ready,
    written,
)
from tests.bench.scale.changes import CHANGES, MEDIAN_LIMIT, TAIL_LIMIT, tail, times_of_changes
from tests.bench.scale.rest import before_and_after
from tests.bench.scale.rollout import WITH_ARTIFACT, WITH_TRAINING
from tests.bench.scale.takeover import RESTART_LIMIT, converged

PREFIX = "KServe: "

_CPU = "CPU for each InferenceService"
_MEDIAN, _TAIL = (f"spec change to first child write, {share}" for share in ("median", "99 %"))
_RESTART = "started anew: to the last request"

COMPARED = (
    ("CPU for each ModelService", _CPU, WITH_TRAINING.cpu, 32.5),
    ("with an artifact given: CPU for each ModelService", _CPU, WITH_ARTIFACT.cpu, 32.5),
    (_MEDIAN, _MEDIAN, MEDIAN_LIMIT, 19),
    (_TAIL, _TAIL, TAIL_LIMIT, 28),
    (_RESTART, _RESTART, RESTART_LIMIT, 15),
)
"""A figure of ours, KServe's beside it, the limit of ours, and what KServe took where that limit was set: by which the
ratio of the first two has a limit, too."""


def measure_kserve(folder: Path, services: int, window: float) -> list[Figure]:
    """From nothing to Ready, at rest, changed, and started anew."""
    with control_plane(folder, foreign_stages(LABEL, CONTAINER)) as plane:
        make_nodes(plane.api, pods=2 * (services + CHANGES))
        prepare_kserve(plane.api)
        with kserve_on(plane, folder) as bench:
            bench.wait_until_quiet(1)
            figures = [*_brought_up(bench, services), *_rested(bench, services, window), *_changed(bench, services)]
            bench.wait_until_quiet(QUIET_SECONDS, most=300)
        figures += _restarted(plane, folder, services)
    return [Figure(**{**vars(one), "figure": f"{PREFIX}{one.figure}"}) for one in figures]


def compared(figures: Sequence[Figure]) -> list[Figure]:
    """What ours takes by what KServe takes, of the figures that both have."""
    values = {one.figure: one.value for one in figures}
    return [
        at_most(f"{ours}, by KServe's", values[ours] / values[f"{PREFIX}{theirs}"], "ratio", round(limit / anchor, 2))
        for ours, theirs, limit, anchor in COMPARED
        if limit is not None and {ours, f"{PREFIX}{theirs}"} <= values.keys()
    ]


def _brought_up(bench: Controller, services: int) -> list[Figure]:
    before = bench.usage()
    say(f"KServe is process {bench.process.pid}; applying {services} InferenceServices")
    apply_inference_services(bench.plane.api, range(services))
    wait_until_ready(bench, services, ready=ready_inference_services)
    settled = bench.usage()
    requests = since(before, settled)
    writes = written(requests)
    show_requests("of KServe until nothing was written any more", requests, services)
    objects = {object_of(request) for request in writes}
    children = sum(resource not in ("events", "inferenceservices") for resource, _, _ in objects)
    milliseconds = 1000 * (settled.cpu - before.cpu)
    return [
        figure("first request to last write", seconds(requests[0].received, writes[-1].answered), "s"),
        figure("CPU for each object written", milliseconds / len(objects), "ms"),
        figure(_CPU, milliseconds / services, "ms"),
        figure("requests for each object written", len(requests) / len(objects), "requests"),
        figure("requests for each InferenceService", len(requests) / services, "requests"),
        figure("children of each InferenceService", children / services, "objects"),
        figure("memory for each InferenceService", (settled.memory - before.memory) * 1.024 / services, "kB"),
    ]


def _rested(bench: Controller, services: int, window: float) -> list[Figure]:
    settled, rested = before_and_after(bench, bench.usage, window)
    requests, passed = since(settled, rested), rested.at - settled.at
    show_requests("of KServe while converged", requests, services)
    return [
        figure(f"writes while converged, {passed:.0f} s", len(written(requests)), "writes"),
        figure("CPU while converged", 1000 * (rested.cpu - settled.cpu) / passed, "ms/s"),
    ]


def _changed(bench: Controller, services: int) -> list[Figure]:
    found = times_of_changes(bench, services, partial(change_inference_service, bench.plane.api))
    return [figure(_MEDIAN, statistics.median(found), "ms"), figure(_TAIL, tail(found), "ms")]


def _restarted(plane: ControlPlane, folder: Path, services: int) -> list[Figure]:
    say("starting KServe anew")
    began, known = datetime.now(UTC), len(plane.audit.requests(OPERATOR))
    with kserve_on(plane, folder, name="kserve-restarted") as bench:
        took, asked = converged(bench, began, known)
        show_requests("of KServe that was started anew", asked, services)
        return [
            figure(_RESTART, took, "s"),
            figure("started anew: writes", len(written(asked)), "writes"),
            figure("started anew: CPU for each InferenceService", 1000 * bench.process.cpu_seconds() / services, "ms"),
        ]
