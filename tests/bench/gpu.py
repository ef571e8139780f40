"""``make bench-gpu``: trainings and servers on a GPU, beside the CPUs of the same machine.

Trainings are those that a Job runs, servers are processes of ``modelservice serve``. Ratios are what counts. It goes on
where it was stopped, from build/bench/gpu; of what that folder holds it makes the table on any machine. Where it holds
nothing and there is no GPU, it says so and ends with exit code 69.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.bench.gpu_checks import DIFFERENCE, checks
from tests.bench.gpu_encoder import encoder
from tests.bench.gpu_kept import Kept, NotMeasuredError
from tests.bench.gpu_processes import WITHOUT_GPU, measure
from tests.bench.gpu_serving import serving
from tests.bench.gpu_subjects import Subject, images, table, texts
from tests.bench.record import FOLDER, Figure, at_least, at_most, figure, record

KEPT: Final = FOLDER / "gpu"
NO_GPU: Final = 69
"""Exit code where there is none to measure (EX_UNAVAILABLE)."""
CPU_EPOCHS: Final = 3
PRECISIONS: Final = ("Float32", "BFloat16")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.gpu", description=__doc__)
    parser.add_argument("--rows", type=int, default=32_768, help="of the table; of images and texts there are a 16th")
    parser.add_argument("--width", type=int, default=4096, help="of its network; others are smaller in proportion")
    parser.add_argument("--rounds", type=int, default=3, help="of the load on servers (default 3)")
    parser.add_argument("--seconds", type=int, default=2, help="of each (default 2)")
    parser.add_argument("--only", choices=[*PARTS], action="append", help="parts to run (default: all)")
    parser.add_argument("--anew", action="store_true", help="forget what was measured before it was stopped")
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md")
    asked = parser.parse_args(arguments)
    if asked.anew:
        shutil.rmtree(KEPT, ignore_errors=True)
    seen = measure("device")
    kept = Kept(KEPT, measures=seen is not None)
    try:
        device = kept("device", lambda: seen)
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(asked, Path(scratch), kept, device)
            figures = [one for name in asked.only or PARTS for one in PARTS[name](bench)]
    except NotMeasuredError:
        sys.stderr.write(f"torch sees no GPU here, and {KEPT} holds nothing: run it on a machine that has one\n")
        return NO_GPU
    caption = (
        f"{device['name']} beside {device['cpus']} CPUs, torch {device['torch']}, Python {device['python']},"
        f" {device['date']}; an epoch is the median of those after the first, with its validation rows"
    )
    return record("gpu", figures, caption=caption, readme=asked.readme)


class Bench(NamedTuple):
    """What parts work with: the arguments, a folder for what is not kept, what is, and what the device is."""

    asked: argparse.Namespace
    scratch: Path
    kept: Kept
    device: Mapping[str, Any]


def _subjects(asked: argparse.Namespace) -> tuple[Subject, ...]:
    width, few = asked.width, asked.rows // 16
    return (
        table(asked.rows, width),
        images(few, (width // 64, width // 32, width // 16)),
        texts(few, width // 8),
    )


def _learning(bench: Bench) -> list[Figure]:
    """Each subject in both precisions, the first one on the CPUs too; and whether a server on CPUs answers the same."""
    figures: list[Figure] = []
    for number, subject in enumerate(_subjects(bench.asked)):
        figures += bench.kept.made(subject.name, partial(_learned, bench, subject, beside_cpus=number == 0))
        figures += bench.kept.figures(
            f"{subject.name}, {bench.asked.rows}, agreement", partial(_agreement, bench, subject)
        )
    return figures


def _learned(bench: Bench, subject: Subject, *, beside_cpus: bool) -> list[Figure]:
    found = {one: _trained(bench, subject, one, precision=one) for one in PRECISIONS}
    if not beside_cpus:
        return _of_precisions(subject, found)
    cpus = _trained(bench, subject, "CPUs", more=WITHOUT_GPU, epochs=CPU_EPOCHS)
    return [*_of_precisions(subject, found), *_of_cpus(subject, found, cpus)]


def _trained(
    bench: Bench, subject: Subject, name: str, *, more: Mapping[str, str] | None = None, **training: Any
) -> Any:
    folder = bench.scratch / f"{subject.file}-{name}"

    def work() -> Any:
        resource = subject.resource(folder.with_suffix(".yaml"), **training)
        return measure("train", resource, subject.rows(bench.scratch), folder, more=more or {})

    return bench.kept(f"{subject.name}, {bench.asked.rows}, {name}", work)


def _agreement(bench: Bench, subject: Subject) -> list[Figure]:
    largest = measure("agree", _model(bench, subject), subject.rows(bench.scratch))
    name = f"{subject.name}: largest difference of a probability, Torch on the GPU and onnxruntime"
    return [at_most(name, largest, "", DIFFERENCE)]


def _model(bench: Bench, subject: Subject) -> Path:
    """The folder of one that was trained on the GPU; by two epochs, where its training was measured before."""
    folders = [bench.scratch / f"{subject.file}-{one}" for one in (*PRECISIONS, "short")]
    if (found := next((folder for folder in folders if folder.exists()), None)) is not None:
        return found
    resource = subject.resource(folders[-1].with_suffix(".yaml"), epochs=2)
    measure("train", resource, subject.rows(bench.scratch), folders[-1])
    return folders[-1]


def _of_precisions(subject: Subject, found: Mapping[str, Any]) -> list[Figure]:
    plain, mixed = (found[one] for one in PRECISIONS)
    metric = plain["metric"]
    return [
        *(figure(f"{subject.name}: an epoch in {one}", found[one]["epoch"], "s") for one in PRECISIONS),
        figure(f"{subject.name}: times as fast in BFloat16", plain["epoch"] / mixed["epoch"], "ratio"),
        *(
            figure(f"{subject.name}: most memory of the GPU, {one}", found[one]["mebibytes"], "MiB")
            for one in PRECISIONS
        ),
        figure(f"{subject.name}: {metric}, Float32", plain["value"], ""),
        at_least(f"{subject.name}: {metric}, BFloat16, within Float32's interval", mixed["value"], "", plain["low"]),
    ]


def _of_cpus(subject: Subject, found: Mapping[str, Any], cpus: Any) -> list[Figure]:
    return [
        figure(f"{subject.name}: an epoch on all CPUs", cpus["epoch"], "s"),
        *(
            figure(f"{subject.name}: times as fast as on all CPUs, {one}", cpus["epoch"] / found[one]["epoch"], "ratio")
            for one in PRECISIONS
        ),
    ]


def _serving(bench: Bench) -> list[Figure]:
    """The models of the table and of the images."""
    figures: list[Figure] = []
    for subject in _subjects(bench.asked)[:2]:
        work = partial(_served, bench, subject)
        figures += bench.kept.figures(f"{subject.name}, {bench.asked.rows}, serving", work)
    return figures


def _served(bench: Bench, subject: Subject) -> list[Figure]:
    folder, asked = _model(bench, subject), bench.asked
    return serving(subject.name, folder, bench.scratch, rounds=asked.rounds, seconds=asked.seconds)


def _checks(bench: Bench) -> list[Figure]:
    return checks(bench.scratch, device=bench.device, kept=bench.kept)


def _encoder(bench: Bench) -> list[Figure]:
    rows, width = bench.asked.rows // 64, bench.asked.width // 16
    return bench.kept.made("encoder", partial(encoder, bench.scratch, rows=rows, width=width, kept=bench.kept))


PARTS: Final[Mapping[str, Callable[[Bench], list[Figure]]]] = {
    "learning": _learning,
    "serving": _serving,
    "checks": _checks,
    "encoder": _encoder,
}


if __name__ == "__main__":
    begun = time.monotonic()
    code = main()
    sys.stderr.write(f"took {time.monotonic() - begun:.0f} s\n")
    sys.exit(code)
