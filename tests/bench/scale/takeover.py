"""How soon the operator is at work again: started anew, and as the one that stood by."""

import contextlib
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.bench.kwok.audit import Request
from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import change_service
from tests.bench.kwok.subject import Controller, Subject, starting_operator
from tests.bench.record import Figure, at_most, figure
from tests.bench.scale.base import QUIET_SECONDS, say, seconds, show_requests, written
from tests.bench.scale.changes import first_write

RESTART_LIMIT, TAKEOVER_LIMIT = 10.0, 15.0
ROUNDS = 3
_SECONDS = 120.0


@contextlib.contextmanager
def restarted(plane: ControlPlane, folder: Path, services: int) -> Iterator[tuple[list[Figure], Subject]]:
    """Another operator on a converged cluster, once it is quiet; the one before has ended in order."""
    say("starting the operator anew")
    began, known = datetime.now(UTC), len(plane.audit.requests("operator"))
    with starting_operator(plane, folder, name="operator-restarted") as bench:
        bench.wait_until_leading(most=_SECONDS)
        took, asked = converged(bench, began, known)
        show_requests("of an operator that was started anew", asked, services)
        figures = [
            at_most("started anew: to the last request", took, "s", RESTART_LIMIT),
            at_most("started anew: writes", len(written(asked)), "writes", 0),
            figure("started anew: CPU for each ModelService", 1000 * bench.process.cpu_seconds() / services, "ms"),
            figure("started anew: memory", bench.read().memory / 1024, "MiB"),
        ]
        yield figures, bench


def converged(bench: Controller, began: datetime, known: int) -> tuple[float, list[Request]]:
    """Wait until a controller that was started anew is quiet.

    Args:
        bench: the controller.
        began: when it was started.
        known: how many requests there were before.

    Returns:
        Seconds to the answer of its last request, and its requests.
    """
    bench.wait_until_quiet(QUIET_SECONDS, most=_SECONDS)
    asked = [request for request in bench.requests()[known:] if not request.is_election]
    return seconds(began, max(request.answered for request in asked)), asked


def lose_leaders(bench: Subject, folder: Path, services: int) -> list[Figure]:
    """Kill the one that leads, change a spec, and wait for the one that stood by to write; a few times.

    The leader is killed at another moment between two renewals each time, the first time at once after one.
    """
    took = []
    with contextlib.ExitStack() as stack:
        for number in range(ROUNDS):
            say(f"killing the leader, {number + 1} of {ROUNDS}")
            standby = stack.enter_context(starting_operator(bench.plane, folder, name=f"operator-standby-{number}"))
            standby.process.wait_until(standby.is_synced, what="one that stands by", seconds=_SECONDS)
            time.sleep(2 * QUIET_SECONDS)  # it has seen the Lease renewed
            _wait_for_renewal(bench)
            time.sleep(number * 2.0 / ROUNDS)
            bench.process.child.kill()
            killed = time.monotonic()
            waited = first_write(standby, services - 1, partial(_change, standby, services - 1, number), most=_SECONDS)
            took.append(waited)
            say(f"the next one wrote {time.monotonic() - killed:.1f} s after that")
            bench = standby
            bench.wait_until_quiet(QUIET_SECONDS, most=_SECONDS)
    return [
        at_most(f"leader killed to the next one's first write, slowest of {ROUNDS}", max(took), "s", TAKEOVER_LIMIT)
    ]


def _change(bench: Subject, number: int, turn: int) -> None:
    change_service(bench.plane.api, number, {"training": {"epochs": 20 + turn}})


def _wait_for_renewal(bench: Subject) -> None:
    """Wait until the leader has just renewed its Lease."""

    def renewals() -> int:
        return sum(request.is_election and request.is_write for request in bench.requests())

    known = renewals()
    bench.process.wait_until(lambda: renewals() > known, what="a renewal", seconds=math.ceil(_SECONDS), every=0.02)
