"""``make bench-operator-growth``: whether one more ModelService costs the same, however many there are.

On a control plane as in ``make bench-operator``: at each size that many ModelServices are Ready and at rest, and then
some more are applied, of which the cost is measured. CPU time and requests are those of the operator.
"""

import argparse
import contextlib
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.kwok.population import apply_services
from tests.bench.kwok.process import BenchError
from tests.bench.kwok.subject import Reading, Subject
from tests.bench.operator import operator_on_control_plane
from tests.bench.record import Figure, at_most, figure, record
from tests.bench.scale.base import say, since, wait_until_ready
from tests.bench.scale.machine import machine

SIZES = (100, 1000, 3000)
MORE = 50
GROWTH_LIMIT = 1.2


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.operator_growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="sizes, growing (default 100 1000 3000)")
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--keep", type=Path, help="empty folder for logs, which stay there")
    arguments = parser.parse_args()
    sizes = sorted(arguments.sizes)
    if any(after < before + MORE for before, after in itertools.pairwise(sizes)):
        parser.error(f"--sizes must be {MORE} apart at least: so many more are measured at each")
    largest = sizes[-1]
    say(f"about {2 + largest / 200:.0f} minutes on a machine with nothing else to do")
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelservice-bench-")))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            bench = stack.enter_context(operator_on_control_plane(folder.resolve(), largest + MORE))
            figures = measure(bench, sizes)
        except BenchError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    caption = f"{MORE} more ModelServices at each size, nodes and pods simulated by kwok, {machine()}"
    return record("operator-growth", figures, caption=caption, readme=arguments.readme)


def measure(bench: Subject, sizes: Sequence[int]) -> list[Figure]:
    """Grow from size to size, the smallest first."""
    costs = {size: _more(bench, size) for size in sizes}
    least, figures = min(costs), list[Figure]()
    for name, unit in (("CPU", "ms"), ("requests", "requests"), ("reconciles", "reconciles")):
        for size, cost in costs.items():
            figures.append(figure(f"{name} of one more at {size:,}", cost[name], unit))
        for size in sizes[1:]:
            ratio = costs[size][name] / costs[least][name]
            figures.append(
                at_most(f"{name} of one more at {size:,}, by that at {least:,}", ratio, "ratio", GROWTH_LIMIT)
            )
    return figures


def _more(bench: Subject, size: int) -> dict[str, float]:
    """Grow to this size, and then by some more, of which this is the cost of each."""
    api, known = bench.plane.api, _count(bench)
    say(f"growing from {known} to {size} ModelServices")
    apply_services(api, range(known, size), extra={})
    wait_until_ready(bench, size)
    before = bench.read()
    say(f"{size} are Ready; {MORE} more")
    apply_services(api, range(size, size + MORE), extra={})
    wait_until_ready(bench, size + MORE)
    return _cost(before, bench.read())


def _count(bench: Subject) -> int:
    return len(bench.plane.api.get("/apis/modelservice.dev/v1alpha1/modelservices")["items"])


def _cost(before: Reading, after: Reading) -> dict[str, float]:
    total = {
        "CPU": 1000 * (after.cpu - before.cpu),
        "requests": len(since(before, after)),
        "reconciles": after.reconciles - before.reconciles,
    }
    return {name: value / MORE for name, value in total.items()}


if __name__ == "__main__":
    sys.exit(main())
