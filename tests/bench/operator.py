"""``make bench-operator``: what the operator costs for 100 ModelServices, on a real apiserver with simulated pods.

etcd, kube-apiserver, controller-manager and scheduler are real and the bench's own; kwok plays nodes and pods: a
training ends well after a few seconds, a server becomes ready. Requests are counted on the other side, in the
apiserver's audit log, those of kopf included. The operator runs as in a cluster, with all namespaces, but as a process
of this machine.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.bench.kwok.audit import Request
from tests.bench.kwok.controlplane import control_plane
from tests.bench.kwok.population import (
    apply_services,
    change_service,
    prepare,
    ready_services,
    service_name,
)
from tests.bench.kwok.process import BenchError
from tests.bench.kwok.stages import all_stages
from tests.bench.kwok.subject import Reading, Subject, operator_on
from tests.bench.record import Figure, at_most, figure, record

CPU_LIMIT = 4.0
REQUESTS_LIMIT = 1.4
READY_SECONDS = 150.0
QUIET_SECONDS = 5.0
CHANGES = 10


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.operator", description=__doc__)
    parser.add_argument("--services", type=int, default=100, help="ModelServices (default 100)")
    parser.add_argument("--compression", action="store_true", help="with a compression of each model")
    parser.add_argument("--object-storage", action="store_true", help="with artifacts in object storage")
    parser.add_argument("--window", type=float, default=60, help="seconds to watch the converged operator (default 60)")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--keep", type=Path, help="folder for logs, which stay there")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelservice-bench-")))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            bench = stack.enter_context(operator_on_control_plane(folder, arguments.services))
            extra = extra_spec(compression=arguments.compression, object_storage=arguments.object_storage)
            figures = measure(bench, arguments.services, arguments.window, extra)
        except BenchError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    asked = f" with {' and '.join(extra)}" if extra else ""
    caption = (
        f"{arguments.services} ModelServices{asked} on a real control plane, "
        f"nodes and pods simulated by kwok, {os.cpu_count()} CPUs shared by all of it"
    )
    return record("-".join(("operator", *extra)), figures, caption=caption, readme=arguments.readme)


def extra_spec(*, compression: bool, object_storage: bool) -> dict[str, Any]:
    """What is asked for beyond the smallest ModelService."""
    return {
        **({"compression": {"steps": [{"quantize": {}}]}} if compression else {}),
        **({"artifacts": {"uri": "s3://models/bench"}} if object_storage else {}),
    }


@contextlib.contextmanager
def operator_on_control_plane(folder: Path, services: int) -> Iterator[Subject]:
    """An operator that leads, on a cluster without ModelServices."""
    with control_plane(folder, all_stages()) as plane:
        prepare(plane.api, volumes=2 * (services + CHANGES))  # a compression has a claim of its own
        with operator_on(plane, folder) as bench:
            bench.wait_until_quiet(1)
            yield bench


def measure(bench: Subject, services: int, window: float, extra: dict[str, Any]) -> list[Figure]:
    """Apply everything, wait, watch it rest, change some."""
    api = bench.plane.api
    say(f"the operator is process {bench.process.pid}; applying {services} ModelServices")
    before = bench.read()
    apply_services(api, services, extra=extra)
    bench.process.wait_until(
        lambda: ready_services(api) == services,
        what=f"{services} ModelServices Ready",
        seconds=READY_SECONDS,
        every=1,  # the answer is large, and the apiserver has other things to do
    )
    bench.wait_until_quiet(QUIET_SECONDS)
    settled = bench.read()
    say(f"all are Ready; watching them rest for {window:.0f} s")
    bench.process.wait_until(lambda: time.monotonic() - settled.at >= window, what="the window", seconds=window + 5)
    rested = bench.read()
    say(f"changing {CHANGES} of them, one after the other")
    latencies = [seconds_to_first_child_write(bench, number) for number in range(CHANGES)]
    show_requests("from the first apply until nothing was written any more", before, settled, services)
    show_requests("while converged", settled, rested, services)
    return [
        *cost_figures(before, settled, services),
        *rest_figures(settled, rested, services),
        figure("spec change to first child write, median", 1000 * statistics.median(latencies), "ms"),
        figure("spec change to first child write, slowest", 1000 * max(latencies), "ms"),
    ]


def cost_figures(before: Reading, settled: Reading, services: int) -> list[Figure]:
    """What it costs to bring ModelServices from nothing to Ready.

    An object counts once, however often it is written: children, events, and the ModelService for its status.
    """
    requests = since(before, settled)
    writes = written(requests)
    objects = len({(request.resource.partition("/")[0], request.namespace, request.name) for request in writes})
    milliseconds = 1000 * (settled.cpu - before.cpu)
    return [
        figure("first request to last write", (writes[-1].answered - requests[0].received) / timedelta(seconds=1), "s"),
        at_most("CPU for each object written", milliseconds / objects, "ms", CPU_LIMIT),
        figure("CPU for each ModelService", milliseconds / services, "ms"),
        at_most("requests for each object written", len(requests) / objects, "requests", REQUESTS_LIMIT),
        figure("requests for each ModelService", len(requests) / services, "requests"),
        figure("objects written for each ModelService", objects / services, "objects"),
        figure("writes for each ModelService", len(writes) / services, "writes"),
        figure("reconciles for each ModelService", (settled.reconciles - before.reconciles) / services, "reconciles"),
        figure("memory before the first ModelService", before.memory / 1024, "MiB"),
        figure("memory for each ModelService", (settled.memory - before.memory) / services, "KiB"),
    ]


def rest_figures(settled: Reading, rested: Reading, services: int) -> list[Figure]:
    """What it costs while there is nothing to do; the two counts of writes come from different sides."""
    requests, seconds = since(settled, rested), rested.at - settled.at
    return [
        at_most(f"writes while converged, {seconds:.0f} s, as the apiserver saw", len(written(requests)), "writes", 0),
        at_most("writes while converged, as the operator counts", rested.writes - settled.writes, "writes", 0),
        figure("reads while converged for each ModelService", 60 * len(requests) / seconds / services, "requests/min"),
        figure("CPU while converged", 1000 * (rested.cpu - settled.cpu) / seconds, "ms/s"),
    ]


def seconds_to_first_child_write(bench: Subject, number: int) -> float:
    """Ask one ModelService for another training; time from the stored change to its first new child, as audited."""
    name, audit = service_name(number), bench.plane.audit
    known = len(bench.requests())
    change_service(bench.plane.api, number, {"training": {"epochs": 7}})
    changed = audit.requests("bench")[-1]

    def children() -> list[Request]:
        new = bench.requests()[known:]
        return [
            request for request in written(new) if request.name.startswith(f"{name}-") and request.resource != "events"
        ]

    bench.process.wait_until(lambda: bool(children()), what=f"a child of {name}", seconds=30)
    return (children()[0].received - changed.answered) / timedelta(seconds=1)


def since(before: Reading, after: Reading) -> list[Request]:
    """Requests between two readings, without leader election."""
    return [request for request in after.requests[len(before.requests) :] if not request.is_election]


def written(requests: Sequence[Request]) -> list[Request]:
    """Those that write, without leader election."""
    return [request for request in requests if request.is_write and not request.is_election]


def show_requests(title: str, before: Reading, after: Reading, services: int) -> None:
    """Print which requests there were: where waste would show."""
    table = Table("verb", "resource", "code", "requests", "for each ModelService", title=f"requests {title}")
    kinds = Counter((request.verb, request.resource, request.code) for request in since(before, after))
    for (verb, resource, code), count in kinds.most_common():
        table.add_row(verb, resource, str(code), str(count), f"{count / services:.2f}")
    Console(stderr=True).print(table)


def say(text: str) -> None:
    """Progress on stderr."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
