"""Processes that live as long as a ``with`` block, and what Linux says about one."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STOP_SECONDS = 10
_TAIL_LINES = 20


class BenchError(Exception):
    """A process ended or did not do in time what was waited for; the text holds the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A running process and its log."""

    name: str
    child: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    def cpu_seconds(self) -> float:
        """CPU time, user and system, since its start; the kernel counts in steps of 10 ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kibibytes(self) -> int:
        """Resident memory."""
        return self._kibibytes("VmRSS")

    def peak_kibibytes(self) -> int:
        """The most resident memory that it has had since its start."""
        return self._kibibytes("VmHWM")

    def _kibibytes(self, field: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.split(f"{field}:")[1].split()[0])

    def wait_until(self, condition: Callable[[], bool], *, what: str, seconds: float, every: float = 0.05) -> None:
        """Wait until a condition holds that this process is to bring about; ask ``every`` that many seconds.

        Raises:
            BenchError: the process ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            self._check_alive()
            if time.monotonic() > deadline:
                raise BenchError(f"{what}: not within {seconds:.0f} s; the end of {self.name}'s log:\n{self._tail()}")
            time.sleep(every)

    def seconds_until(self, condition: Callable[[], bool], *, most: float, every: float = 0.05) -> float:
        """How long a condition takes to hold; ``most`` where it does not within that time.

        Raises:
            BenchError: the process ended.
        """
        began = time.monotonic()
        while (passed := time.monotonic() - began) < most:
            if condition():
                return passed
            self._check_alive()
            time.sleep(every)
        return most

    def stop(self) -> None:
        """End it in order, or by force where that takes too long."""
        self.child.terminate()
        try:
            self.child.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def _check_alive(self) -> None:
        if self.child.poll() is not None:
            raise BenchError(f"{self.name} ended with {self.child.returncode}:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])


@contextmanager
def running(
    name: str, argv: Sequence[str | Path], *, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a process with its log in the folder; it is gone afterwards."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(env or {})},
        )
    process = Process(name=name, child=child, log=log)
    try:
        yield process
    finally:
        process.stop()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
