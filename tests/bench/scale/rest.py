"""What the operator costs while there is nothing to do, and at a full resync."""

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from tests.bench.kwok.subject import Controller, Subject, Usage
from tests.bench.record import Figure, at_most, figure
from tests.bench.scale.base import say, show_requests, since, written

from modelservice_operator.machinery.sync import COMPARE_SECONDS

CPU_LIMIT = 3.0
"""Milliseconds in a second: 0.3 % of a core."""

Read = TypeVar("Read", bound=Usage)

_WINDOW_SECONDS = 60.0
"""Around a resync."""


def watch_rest(bench: Subject, services: int, window: float) -> list[Figure]:
    """Watch the operator rest; the two counts of writes come from different sides."""
    settled, rested = before_and_after(bench, bench.read, window)
    requests, passed = since(settled, rested), rested.at - settled.at
    show_requests("while converged", requests, services)
    return [
        at_most(f"writes while converged, {passed:.0f} s, as the apiserver saw", len(written(requests)), "writes", 0),
        at_most("writes while converged, as the operator counts", rested.writes - settled.writes, "writes", 0),
        figure("reads while converged for each ModelService", 60 * len(requests) / passed / services, "requests/min"),
        at_most("CPU while converged", 1000 * (rested.cpu - settled.cpu) / passed, "ms/s", CPU_LIMIT),
    ]


def watch_resync(bench: Subject, *, led_since: float) -> list[Figure]:
    """Watch the operator compare all that it knows with the apiserver, which it does by itself now and then.

    Args:
        bench: the operator, at rest.
        led_since: when it began to lead, on the monotonic clock.
    """
    left = max(
        0.0, led_since - time.monotonic() + COMPARE_SECONDS * -(-(time.monotonic() - led_since) // COMPARE_SECONDS)
    )
    say(f"waiting {left + _WINDOW_SECONDS / 2:.0f} s for the next full resync")
    before, known, samples = bench.read(), len(bench.requests()), list[_Sample]()

    def resynced() -> bool:
        samples.append(_Sample(time.monotonic(), bench.process.cpu_seconds()))
        return any(
            (request.verb, request.resource) == ("list", "modelservices") for request in bench.requests()[known:]
        )

    bench.process.wait_until(resynced, what="a full resync", seconds=COMPARE_SECONDS + 60, every=1)
    wait_out(bench, bench.read(), _WINDOW_SECONDS / 2)
    after = bench.read()
    first = next(one for one in samples if one.at >= samples[-1].at - _WINDOW_SECONDS / 2)
    return [
        at_most("writes until a full resync and after it", len(written(since(before, after))), "writes", 0),
        at_most("CPU around a full resync", 1000 * (after.cpu - first.cpu) / (after.at - first.at), "ms/s", CPU_LIMIT),
    ]


class _Sample(NamedTuple):
    at: float
    cpu: float


def before_and_after(bench: Controller, read: Callable[[], Read], window: float) -> tuple[Read, Read]:
    """What a controller at rest says of itself before and after a window."""
    settled = read()
    say(f"all are Ready; watching them rest for {window:.0f} s")
    wait_out(bench, settled, window)
    return settled, read()


def wait_out(bench: Controller, start: Usage, window: float) -> None:
    """Wait until so many seconds have passed since a moment, while the controller lives."""
    bench.process.wait_until(lambda: time.monotonic() - start.at >= window, what="the window", seconds=window + 5)
