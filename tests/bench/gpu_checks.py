"""What must hold of trainings on a GPU: weights that are those of others, and sentences where something is missing.

None of it is a time, so all of it runs at once.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from safetensors.numpy import load_file
from tests.bench.gpu_kept import Kept
from tests.bench.gpu_processes import WITHOUT_GPU, environment, measure
from tests.bench.gpu_subjects import Subject, images, table, texts
from tests.bench.record import ROOT, Figure, at_most, figure

from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.manifest import WEIGHTS_FILE
from modelservice.contract.places import GPUS_ENV

DIFFERENCE: Final = 1e-4
_ONE_THREAD: Final = MappingProxyType({"OMP_NUM_THREADS": "1"})
_WIDE: Final = 512
_WIDE_BYTES: Final = _WIDE * 64 * 64 * 4
"""Of what one image becomes after a convolution of so many channels."""
_LARGEST: Final = 65_536
"""Rows of a batch that a ModelService may have."""


def checks(scratch: Path, *, device: Mapping[str, Any], kept: Kept) -> list[Figure]:
    """All of them.

    Args:
        scratch: for rows and artifacts.
        device: what the role ``device`` says.
        kept: what was done before.
    """
    small, rows = table(2048, 64, batch=256), min(_LARGEST, device["bytes"] // _WIDE_BYTES + 1)
    large = images(rows * 3 // 2, (_WIDE,), batch=rows, pooling="None", hiddenLayers=[])
    repeated = _repeatable()
    for subject in (small, large, *repeated) if kept.measures else ():
        subject.rows(scratch)
    works: dict[str, Callable[[], list[Figure]]] = {
        "too large": partial(_too_large, large, scratch, rows),
        "unseen": partial(_unseen, small, scratch),
        "too many": partial(_too_many, small, scratch, device["count"]),
        **{f"ranks, {one}": partial(_ranks, small, scratch, one, device["count"]) for one in _TOGETHER if one},
        **{f"resumed, {one}": partial(_resumed, small, scratch, one) for one in _TOGETHER},
        **{f"repeated, {one.name}": partial(_repeated, one, scratch) for one in repeated},
    }

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [one for figures in pool.map(lambda name: kept.figures(name, works[name]), works) for one in figures]


_TOGETHER: Final = (None, "Data", "Sharded")
"""Alone, and one process that joins a group."""


def _repeatable() -> tuple[Subject, ...]:
    read, seen = texts(512, 64, batch=64), images(512, (16, 32), batch=64, normalization="Batch")
    ensemble = table(2048, 64)
    return (
        table(2048, 64, batch=256),
        replace(ensemble, name="mlp, an ensemble", spec={"data": ensemble.spec["data"], "model": {"mlp": {}}}),
        replace(seen, name="cnn, pooled and normalised"),
        replace(read, name="transformer"),
        *(_with_model(read, f"rnn, {cell}", {"rnn": {"cell": cell}}) for cell in ("LSTM", "GRU")),
    )


def _with_model(subject: Subject, name: str, model: dict[str, Any]) -> Subject:
    return replace(subject, name=name, spec={**subject.spec, "model": model})


def _too_large(subject: Subject, scratch: Path, rows: int) -> list[Figure]:
    found = measure("stage", subject.resource(scratch / "large.yaml"), subject.rows(scratch), more=_ONE_THREAD)
    sys.stderr.write(f"{found}\n")
    holds = (found["code"], found.get("reason"), found.get("field")) == (
        ExitCode.ORDER_INVALID,
        "OutOfMemory",
        "spec.training.batchSize",
    )
    name = f"a batch of {rows:,} images that become {_WIDE} channels of 64 x 64, more than the device holds"
    return [_ended(name, found["code"], "OutOfMemory of spec.training.batchSize", holds=holds)]


def _unseen(subject: Subject, scratch: Path) -> list[Figure]:
    done = _train(subject.resource(scratch / "unseen.yaml"), subject, scratch, more={**WITHOUT_GPU, GPUS_ENV: "1"})
    return [_refused("a GPU that is granted and hidden", done, "runtimeClassName")]


def _too_many(subject: Subject, scratch: Path, count: int) -> list[Figure]:
    done = _train(subject.resource(scratch / "many.yaml"), subject, scratch, "--workers", str(count + 1))
    return [_refused(f"{count + 1} workers, more than GPUs", done, "torch sees")]


def _ranks(subject: Subject, scratch: Path, parallelism: str, count: int) -> list[Figure]:
    """As many workers as GPUs, and one, beside a process that trains alone."""
    alone = scratch / f"beside-{parallelism}"
    measure("train", subject.resource(alone.with_suffix(".yaml")), subject.rows(scratch), alone, more=_ONE_THREAD)
    figures = []
    for workers in sorted({1, count}):
        there = scratch / f"{parallelism}-{workers}"
        resource = subject.resource(there.with_suffix(".yaml"), parallelism=parallelism)
        measure("together", resource, subject.rows(scratch), there, workers, more=_ONE_THREAD)
        words = f"{workers} {'worker' if workers == 1 else 'workers'} ({parallelism}, NCCL)"
        name = f"largest difference of a weight, {words} and a process alone, with dropout"
        figures.append(at_most(name, _difference(alone, there), "", DIFFERENCE))
    return figures


def _resumed(subject: Subject, scratch: Path, parallelism: str | None) -> list[Figure]:
    """Interrupted as by Ctrl-C, and begun again, beside a training that was not."""
    name = parallelism or "lone"
    settings = {"epochs": 60, "parallelism": parallelism or "Data"}
    resource, rows = subject.resource(scratch / f"{name}.yaml", **settings), subject.rows(scratch)
    whole, stopped = scratch / f"{name}-whole", scratch / f"{name}-stopped"
    for there, interrupted, begins in ((whole, False, ""), (stopped, True, ""), (stopped, False, "went on from")):
        command = _command(resource, rows, there, together=parallelism is not None)
        _to_the_end(command, interrupted=interrupted, words=begins)
    words = f"one process ({parallelism}, NCCL)" if parallelism else "alone"
    name = f"largest difference of a weight, interrupted and gone on, {words}, and in one go"
    return [at_most(name, _difference(whole, stopped), "", 0.0)]


def _repeated(subject: Subject, scratch: Path) -> list[Figure]:
    slug = subject.name.replace(", ", "-").replace(" ", "-")
    outputs = [scratch / f"{slug}-{number}" for number in range(2)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(_learn, subject, scratch), outputs))
    return [
        figure(
            f"largest difference of a weight between two runs of one training: {subject.name}",
            _difference(*outputs),
            "",
        )
    ]


def _learn(subject: Subject, scratch: Path, output: Path) -> None:
    resource = subject.resource(output.with_suffix(".yaml"))
    measure("train", resource, subject.rows(scratch), output, more=_ONE_THREAD)


def _train(
    resource: Path, subject: Subject, scratch: Path, *arguments: str, more: Mapping[str, str] = _ONE_THREAD
) -> subprocess.CompletedProcess[str]:
    command = _command(resource, subject.rows(scratch), scratch / "refused", together=False)
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment(more), capture_output=True, text=True, check=False
    )


def _command(resource: Path, rows: Path, output: Path, *, together: bool) -> list[str]:
    if together:
        return [
            sys.executable,
            "-m",
            "tests.bench.gpu_processes",
            "together",
            str(resource),
            str(rows),
            str(output),
            "1",
        ]
    return [
        sys.executable,
        "-m",
        "modelservice",
        "train",
        "-f",
        str(resource),
        "--data",
        str(rows),
        "--output",
        str(output),
    ]


def _to_the_end(command: Sequence[str], *, interrupted: bool, words: str) -> None:
    """Run it; an interruption comes after its first progress, to all of its processes, as from a terminal.

    Raises:
        RuntimeError: it ended otherwise than it was asked to, or did not say the words.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(_ONE_THREAD),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said, asked = [], False
    for line in process.stderr:
        said.append(line)
        if interrupted and not asked and '"progress"' in line:
            os.killpg(process.pid, signal.SIGINT)
            asked = True
    if (process.wait() == 0) == interrupted or words not in "".join(said):
        raise RuntimeError(f"{command} ended with {process.returncode}: {''.join(said)[-4000:]}")


def _difference(one: Path, other: Path) -> float:
    """The largest of a weight, between two artifacts."""
    first, second = (load_file(folder / WEIGHTS_FILE) for folder in (one, other))
    return max(float(abs(first[name] - second[name]).max()) for name in first)


def _refused(name: str, done: subprocess.CompletedProcess[str], words: str) -> Figure:
    sys.stderr.write(f"{name}: {done.stderr}\n")
    holds = done.returncode == ExitCode.ORDER_INVALID and words in done.stderr and "Traceback" not in done.stderr
    return _ended(name, done.returncode, words, holds=holds)


def _ended(name: str, code: int, words: str, *, holds: bool) -> Figure:
    limit = f"{int(ExitCode.ORDER_INVALID)}, {words}"
    return Figure(figure=name, value=code, unit="exit status", limit=limit, holds=holds)
