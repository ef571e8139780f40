"""A pod's work in a process of its own, forked where torch is imported already: a tenth of the CPU time."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from modelservice.stages.run import Places, Pod, run_stage

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["modelservice.stages.train", "modelservice.stages.compress", "onnx", "torch", __name__])

Clock = Callable[[], float]


class KillingClock:
    """A second passes with each look; once a file is there, the process that looks is killed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looks = 0

    def __call__(self) -> float:
        if self._file.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        self._looks += 1
        return float(self._looks)


def run_pod(root: Path, environment: Mapping[str, str], *, clock: Clock = time.perf_counter) -> int:
    """Do what ``order.json`` in a folder says, with these variables and no other; answers with the exit code.

    Args:
        root: the folder; the process's log is its file ``log``, what it reports ``report``.
        environment: of the process.
        clock: to be sent to the process.
    """
    process = _FORKS.Process(target=_do, args=(root, dict(environment), clock))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _do(root: Path, environment: dict[str, str], clock: Clock) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with (root / "log").open("wb") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    where = Places(
        order=root / "order.json", data=root, report=root / "report", progress_host="127.0.0.1", progress_port=0
    )
    sys.exit(run_stage(where=where, pod=Pod(), clock=clock, now=time.time, out=sys.stdout))
