"""Events of 650 kB about a pod of one's own that waits: who asks Kubernetes why gets them all."""

from pathlib import Path

from tests.bench.attacks.base import (
    ATTACKER,
    HALF_OF_CONTROL,
    LARGE_TEXT,
    Attack,
    Object,
    peak_memory,
)
from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import (
    apply_service,
    build_object,
    collection,
    make_namespace,
    prepare,
    service_name,
)
from tests.bench.kwok.stages import pending_stages
from tests.bench.kwok.subject import Subject, operator_on
from tests.bench.record import Figure, figure

COUNT = 500
LOOKS = 4
"""How often the operator is to have asked for them before its memory is looked at."""

LOOKS_SECONDS = 120.0
_BYTES = 650_000


def _measure(plane: ControlPlane, folder: Path) -> list[Figure]:
    api = plane.api
    prepare(api, volumes=4)
    make_namespace(api, ATTACKER)
    with operator_on(plane, folder) as subject:
        apply_service(api, service_name(0), namespace=ATTACKER)
        subject.process.wait_until(lambda: bool(_pods(plane)), what="a pending pod", seconds=60, every=0.2)
    (pod,) = _pods(plane)
    for number in range(COUNT):
        api.create(collection("events", ATTACKER), _event(pod, number))
    # Another process looks often at first; the one before may look every five minutes only by now.
    with operator_on(plane, folder) as subject:
        before = _looks(subject)
        subject.process.wait_until(
            lambda: _looks(subject) - before >= LOOKS, what=f"{LOOKS} looks at events", seconds=LOOKS_SECONDS, every=0.5
        )
        what = f"{COUNT} Events of 650 kB about one pending pod"
        return [
            peak_memory(what, subject.process),
            figure(f"{what}: LISTs of Events answered meanwhile", _looks(subject) - before, "requests"),
        ]


def _pods(plane: ControlPlane) -> list[Object]:
    items: list[Object] = plane.api.get(collection("pods", ATTACKER))["items"]
    return items


def _event(pod: Object, number: int) -> Object:
    """A warning; every other one is written in six times the bytes."""
    event = build_object("v1", "Event", f"large-{number:03}", namespace=ATTACKER)
    about = {name: pod["metadata"][name] for name in ("name", "namespace", "uid")}
    event["involvedObject"] = {"apiVersion": "v1", "kind": "Pod", **about}
    event |= {"type": "Warning", "reason": "FailedMount", "count": 1}
    event["lastTimestamp"] = pod["metadata"]["creationTimestamp"]
    event["message"] = LARGE_TEXT[:_BYTES] if number % 2 == 0 else HALF_OF_CONTROL
    return event


def _looks(subject: Subject) -> int:
    return sum((request.verb, request.resource) == ("list", "events") for request in subject.requests())


LARGE_EVENTS = Attack(name="large-events", stages=pending_stages(), measure=_measure)
