"""Hundreds of pods that stay Pending: how often is Kubernetes asked why, for how long?"""

import time
from pathlib import Path

from tests.bench.attacks.base import ATTACKER, Attack
from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import apply_service, collection, make_namespace, prepare, service_name
from tests.bench.kwok.stages import pending_stages
from tests.bench.kwok.subject import Subject, operator_on
from tests.bench.record import Figure, at_most, figure

COUNT = 300
"""Half of the pods say themselves why they wait (no node fits), and of the other half nobody says anything."""

SETTLE_SECONDS = 60.0
WINDOW_SECONDS = 60.0
LIMIT = 2.0


def _measure(plane: ControlPlane, folder: Path) -> list[Figure]:
    prepare(plane.api, volumes=COUNT)
    make_namespace(plane.api, ATTACKER)
    nowhere = {"training": {"nodeSelector": {"example.com/disk": "none"}}}
    with operator_on(plane, folder) as subject:
        for number in range(COUNT):
            apply_service(
                plane.api, service_name(number), namespace=ATTACKER, extra=nowhere if number % 2 == 0 else None
            )
        pending = f"{collection('pods', ATTACKER)}?fieldSelector=status.phase%3DPending"
        subject.process.wait_until(
            lambda: len(plane.api.get(pending)["items"]) == COUNT, what=f"{COUNT} pending pods", seconds=180, every=2
        )
        _wait(subject, SETTLE_SECONDS)
        before, cpu = _lists(subject), subject.process.cpu_seconds()
        _wait(subject, WINDOW_SECONDS)
        lists, spent = _lists(subject) - before, subject.process.cpu_seconds() - cpu
    what = f"{COUNT} ModelServices whose pods stay Pending"
    return [
        at_most(f"{what}: LISTs of Events", lists / WINDOW_SECONDS, "requests/s", LIMIT),
        figure(f"{what}: CPU of the operator", 1000 * spent / WINDOW_SECONDS, "ms/s"),
    ]


def _wait(subject: Subject, seconds: float) -> None:
    end = time.monotonic() + seconds
    subject.process.wait_until(lambda: time.monotonic() >= end, what="the window", seconds=seconds + 5, every=0.5)


def _lists(subject: Subject) -> int:
    return sum((request.verb, request.resource) == ("list", "events") for request in subject.requests())


PENDING_PODS = Attack(name="pending-pods", stages=pending_stages(), measure=_measure)
