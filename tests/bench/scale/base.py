"""What the measurements have in common: requests between two readings, and what a run says while it goes on."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table
from tests.bench.kwok.api import Api
from tests.bench.kwok.audit import Request
from tests.bench.kwok.population import ready_services
from tests.bench.kwok.subject import Controller, Usage

QUIET_SECONDS = 5.0

CONTROLLERS_SECONDS_FOR_EACH = 2.0
"""How long a shared machine may take for each ModelService before the bench gives up."""


def since(before: Usage, after: Usage) -> list[Request]:
    """Requests between two readings, without leader election."""
    return [request for request in after.requests[len(before.requests) :] if not request.is_election]


def written(requests: Sequence[Request]) -> list[Request]:
    """Those that write, without leader election."""
    return [request for request in requests if request.is_write and not request.is_election]


def object_of(request: Request) -> tuple[str, str, str]:
    """What a request is about: resource without a subresource, namespace and name."""
    return request.resource.partition("/")[0], request.namespace, request.name


def wait_until_ready(bench: Controller, services: int, *, ready: Callable[[Api], int] = ready_services) -> None:
    """Wait until that many ModelServices, or whatever ``ready`` counts, are Ready, and nothing is written any more."""
    api = bench.plane.api
    bench.process.wait_until(
        lambda: ready(api) == services,
        what=f"{services} services Ready",
        seconds=60 + CONTROLLERS_SECONDS_FOR_EACH * services,
        every=max(1.0, services / 300),  # the answer is large, and the apiserver has other things to do
    )
    bench.wait_until_quiet(QUIET_SECONDS, most=300)


def seconds(start: datetime, end: datetime) -> float:
    """From one moment to another."""
    return (end - start) / timedelta(seconds=1)


def show_requests(title: str, requests: Sequence[Request], services: int) -> None:
    """Print which requests there were: where waste would show."""
    table = Table("verb", "resource", "code", "requests", "for each ModelService", title=f"requests {title}")
    kinds = Counter((request.verb, request.resource, request.code) for request in requests)
    for (verb, resource, code), count in kinds.most_common():
        table.add_row(verb, resource, str(code), str(count), f"{count / services:.2f}")
    Console(stderr=True).print(table)


def say(text: str) -> None:
    """Progress on stderr."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
