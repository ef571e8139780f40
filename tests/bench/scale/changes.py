"""How soon what people change is looked at while there are many ModelServices."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.kwok.audit import Request
from tests.bench.kwok.population import apply_table, change_service, service_name
from tests.bench.kwok.subject import Controller, Subject
from tests.bench.record import Figure, at_most, figure
from tests.bench.scale.base import say, seconds, written

CHANGES, TABLES = 100, 5
MEDIAN_LIMIT, TAIL_LIMIT = 20.0, 60.0
"""Milliseconds. KServe's controller reaches its Deployment in 19 and 28."""

TRAINING = {"training": {"epochs": 7}}
"""The change: it begins another training."""

DATA_LIMIT = 5.0
_PAUSE_SECONDS = 0.1
"""Between two changes, each of which begins a training."""

_BLIND_SECONDS = 0.2
"""After a change, before anybody looks what came of it: reading the audit log takes CPU that the change waits for."""


def change_specs(bench: Subject, services: int) -> list[Figure]:
    """Ask for other trainings, one after the other; of fewer ModelServices fewer changes."""
    found = times_of_changes(bench, services, lambda number: change_service(bench.plane.api, number, TRAINING))
    return [
        at_most("spec change to first child write, median", statistics.median(found), "ms", MEDIAN_LIMIT),
        at_most("spec change to first child write, 99 %", tail(found), "ms", TAIL_LIMIT),
        figure("spec change to first child write, slowest", found[-1], "ms"),
    ]


def times_of_changes(bench: Controller, services: int, change: Callable[[int], object]) -> list[float]:
    """Change up to ``CHANGES`` services, one after the other; milliseconds to the first child write of each, sorted."""
    count = min(CHANGES, services)
    say(f"changing {count} specs, one after the other")
    found = []
    for number in range(count):
        found.append(1000 * first_write(bench, number, partial(change, number)))
        time.sleep(_PAUSE_SECONDS)
    return sorted(found)


def tail(times: Sequence[float]) -> float:
    """The 99 % of sorted times; of fewer than a hundred the slowest."""
    return times[math.ceil(0.99 * len(times)) - 1]


def change_data(bench: Subject, services: int) -> list[Figure]:
    """Add another row to tables of ModelServices that were not changed yet, where there are some."""
    count = min(TABLES, services)
    say(f"changing {count} tables, one after the other")
    slowest = max(
        first_write(
            bench,
            number,
            partial(apply_table, bench.plane.api, service_name(number), last_row="5.1,3.1,1.4,0.2,setosa"),
        )
        for number in range(services - count, services)
    )
    return [at_most("data changed to first child write, slowest", slowest, "s", DATA_LIMIT)]


def first_write(bench: Controller, number: int, change: Callable[[], object], *, most: float = 60) -> float:
    """Change something of a ModelService; seconds from the stored change to its first new child, as audited."""
    prefix, audit = f"{service_name(number)}-", bench.plane.audit
    known = len(bench.requests())
    change()
    time.sleep(_BLIND_SECONDS)
    changed = audit.requests("bench")[-1]

    def children() -> list[Request]:
        new = written(bench.requests()[known:])
        return [request for request in new if request.name.startswith(prefix) and request.resource != "events"]

    bench.process.wait_until(lambda: bool(children()), what=f"a child of {service_name(number)}", seconds=most)
    return seconds(changed.answered, children()[0].received)
