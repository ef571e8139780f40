"""``make bench-operator``: what the operator costs for many ModelServices, on a real apiserver with simulated pods.

etcd, kube-apiserver, controller-manager and scheduler are real and the bench's own; kwok plays nodes and pods: a
training ends well after a few seconds, a server becomes ready. Requests are counted on the other side, in the
apiserver's audit log, those of kopf included. The operator runs as in a cluster, with all namespaces, but as a process
of this machine. KServe's controller does what it has in common with ours on such a control plane in the same run: CPU
time is another one on every machine and every day, what one takes by the other is not.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.kwok.controlplane import control_plane
from tests.bench.kwok.population import apply_artifact_services, apply_services, prepare
from tests.bench.kwok.process import BenchError
from tests.bench.kwok.stages import all_stages
from tests.bench.kwok.subject import Subject, operator_on
from tests.bench.record import Figure, record
from tests.bench.scale.base import QUIET_SECONDS, say
from tests.bench.scale.changes import CHANGES, change_data, change_specs
from tests.bench.scale.kserve import compared, measure_kserve
from tests.bench.scale.machine import machine
from tests.bench.scale.rest import watch_rest, watch_resync
from tests.bench.scale.rollout import MORE, WITH_ARTIFACT, WITH_TRAINING, bring_up
from tests.bench.scale.takeover import lose_leaders, restarted
from tests.bench.scale.trainings import measure_trainings

PARTS = ("kserve", "training", "artifact", "trainings")


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.operator", description=__doc__)
    parser.add_argument("--services", type=int, default=100, help="ModelServices (default 100)")
    parser.add_argument("--compression", action="store_true", help="with a compression of each model")
    parser.add_argument("--object-storage", action="store_true", help="with artifacts in object storage")
    parser.add_argument("--window", type=float, default=60, help="seconds to watch the converged operator (default 60)")
    parser.add_argument("--resync", action="store_true", help="also at a full resync: up to ten minutes more")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given again (default all)")
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md (needs all parts)")
    parser.add_argument("--keep", type=Path, help="empty folder for logs, which stay there")
    arguments = parser.parse_args()
    if arguments.only and arguments.readme:
        parser.error("--readme needs all parts: leave out --only")
    extra = extra_spec(compression=arguments.compression, object_storage=arguments.object_storage)
    # What is asked for in addition concerns only what is trained.
    parts = arguments.only or (("training",) if extra else PARTS)
    say(f"about {_minutes(arguments, parts):.0f} minutes on a machine with nothing else to do")
    figures: list[Figure] = []
    with contextlib.ExitStack() as stack:
        kept = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelservice-bench-")))
        try:
            for part in parts:
                folder = kept.resolve() / part
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                figures += _measure(part, folder, arguments, extra)
        except BenchError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    figures += compared(figures)
    asked = f" with {' and '.join(extra)}" if extra else ""
    what = f"{arguments.services} ModelServices{asked}"
    caption = f"{what} on a real control plane, nodes and pods simulated by kwok, {machine()}"
    name = "-".join(("operator", *extra, *(arguments.only or ())))
    return record(name, figures, caption=caption, readme=arguments.readme)


def extra_spec(*, compression: bool, object_storage: bool) -> dict[str, Any]:
    """What is asked for beyond the smallest ModelService."""
    return {
        **({"compression": {"steps": [{"quantize": {}}]}} if compression else {}),
        **({"artifacts": {"uri": "s3://models/bench"}} if object_storage else {}),
    }


def _minutes(arguments: argparse.Namespace, parts: tuple[str, ...]) -> float:
    """What it took on the machine of docs/benchmarks.md."""
    once = 1 + arguments.services / 400
    resync = 6 if arguments.resync else 0
    rested = once + arguments.window / 60 + 3
    took = {"kserve": rested, "training": rested + resync, "artifact": once, "trainings": once + 2}
    return float(sum(took[part] for part in parts))


def _measure(part: str, folder: Path, arguments: argparse.Namespace, extra: dict[str, Any]) -> list[Figure]:
    services = arguments.services
    match part:
        case "kserve":
            return measure_kserve(folder, services, arguments.window)
        case "training":
            return measure_training(folder, services, arguments.window, extra, resync=arguments.resync)
        case "artifact":
            with operator_on_control_plane(folder, services) as bench:
                apply = lambda: apply_artifact_services(bench.plane.api, range(services))  # noqa: E731
                return bring_up(bench, services, apply=apply, limits=WITH_ARTIFACT, prefix="with an artifact given: ")
        case _:
            return measure_trainings(folder, services, arguments.window)


@contextlib.contextmanager
def operator_on_control_plane(folder: Path, services: int) -> Iterator[Subject]:
    """An operator that leads, on a cluster without ModelServices."""
    with control_plane(folder, all_stages()) as plane:
        prepare(plane.api, volumes=2 * (services + CHANGES))  # a compression, or another training, has its own claim
        with operator_on(plane, folder) as bench:
            bench.wait_until_quiet(1)
            yield bench


def measure_training(
    folder: Path, services: int, window: float, extra: dict[str, Any], *, resync: bool
) -> list[Figure]:
    """From nothing to Ready, at rest, changed, started anew, and taken over."""
    with operator_on_control_plane(folder, services) as bench:
        led_since = time.monotonic()
        api = bench.plane.api
        apply = lambda: apply_services(api, range(services), extra=extra)  # noqa: E731
        limits = MORE if extra else WITH_TRAINING
        figures = bring_up(bench, services, apply=apply, limits=limits)
        figures += watch_rest(bench, services, window)
        figures += change_specs(bench, services)
        figures += change_data(bench, services)
        bench.wait_until_quiet(QUIET_SECONDS, most=300)
        if resync:
            figures += watch_resync(bench, led_since=led_since)
        bench.process.stop()
        with restarted(bench.plane, folder, services) as (found, again):
            return [*figures, *found, *lose_leaders(again, folder, services)]


if __name__ == "__main__":
    sys.exit(main())
