"""Running commands, and saying what takes time."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

# Progress goes to stderr: `env` and others print what a shell reads on stdout.
console = Console(stderr=True, highlight=False, soft_wrap=True)


class ClusterError(Exception):
    """Something the user can read and act on; never a traceback."""


def run(
    *argv: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command, catch its output, and raise ClusterError with its last lines if it fails."""
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            check=False,
            text=True,
            capture_output=True,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{command[0]}: command not found; `make setup` installs what is missing") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{' '.join(command)}: no end after {timeout:.0f} s") from error
    if check and done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise ClusterError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
    return done


def follow(
    argv: Sequence[str | Path],
    *,
    title: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a long command with its output in `log`, and show how far it is: its last line, lines so far, seconds."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("w") as sink:
        child = subprocess.Popen(
            [str(part) for part in argv],
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        try:
            _show_until_end(child, title, log, started)
        except BaseException:
            child.terminate()
            child.wait(timeout=30)
            raise
    elapsed = time.monotonic() - started
    if child.returncode != 0:
        raise ClusterError(f"{title} failed after {elapsed:.0f} s:\n{tail(log)}\nAll of it: {log}")
    console.print(f"  {title}: done in {elapsed:.0f} s")


def _show_until_end(child: subprocess.Popen[bytes], title: str, log: Path, started: float) -> None:
    shown = started
    with console.status(title) as status:
        while True:
            try:
                child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                pass
            else:
                return
            lines = log.read_text(errors="replace").splitlines()
            now = time.monotonic()
            line = f"{title}: {now - started:.0f} s, {len(lines)} lines; {lines[-1][:80] if lines else ''}"
            status.update(line.replace("[", r"\["))
            if not console.is_terminal and now - shown >= 15:
                shown = now
                console.print("  " + line, markup=False)


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    started = time.monotonic()
    with console.status(title):
        yield
    console.print(f"  {title}: {time.monotonic() - started:.1f} s", markup=False)


def wait_for(condition: Callable[[], bool], *, what: str, timeout: float, poll: float = 0.1) -> None:
    """Poll until the condition holds; raise ClusterError at the deadline."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout:.0f} s")
        time.sleep(poll)


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock, so that two commands at once do not start or build the same things."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("  waiting for another command on this cluster to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def require_root() -> None:
    """Network namespaces, mounts and cgroups need root."""
    if os.geteuid() != 0:
        raise ClusterError(
            "the local cluster needs root (network namespaces, mounts, cgroups): run as root or with sudo -E"
        )
    if sys.platform != "linux":
        raise ClusterError("the local cluster needs Linux; use `make demo KUBE_CONTEXT=name` with a cluster you have")
