"""Components as plain processes: started in a session of their own, known by pid and start time, stopped by pid.

A pid alone proves nothing: after a reboot, or after enough forks, it belongs to somebody else. So the record holds
the boot's id and the process's start time as well, and only all three together name a process of ours.
"""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.paths import LOGS, PIDS, STATE
from tests.cluster.shell import ClusterError, tail, wait_for

START_TIME_FIELD = 22 - 3  # of /proc/PID/stat, counted after the command's closing parenthesis

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SPARED = {"GOGC": "400"}
"""Tests share two CPUs with what collects garbage in Go, a quarter of the apiserver's CPU time; of memory there is
more. Benches go without."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One process of the cluster."""

    name: str
    argv: Sequence[str]
    netns: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Path] = ()  # a change of these restarts the component
    ready: Callable[[], bool] | None = None
    timeout: float = 60

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return LOGS / f"{self.name}.log"

    @property
    def command(self) -> list[str]:
        """The whole command; nsenter and not `ip netns exec`, which would hide the cgroup mounts under a new /sys."""
        enter = ["nsenter", f"--net=/run/netns/{self.netns}", "--"] if self.netns else []
        return [*enter, *self.argv]

    def fingerprint(self) -> str:
        """Hash of what decides how it runs."""
        digest = hashlib.sha256(json.dumps([self.command, dict(self.env)]).encode())
        for path in self.files:
            digest.update(path.read_bytes())
        if self.netns:  # a namespace made anew is another one of the same name
            digest.update(str(Path(f"/run/netns/{self.netns}").stat().st_ino).encode())
        return digest.hexdigest()[:16]


def start_time(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None if there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[START_TIME_FIELD]


def boot_id() -> str:
    """Return what names this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def recorded_pid(name: str) -> int | None:
    """Return the pid of a component that we started and that still runs."""
    try:
        record = json.loads((PIDS / f"{name}.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    pid = int(record["pid"])
    return pid if record["boot"] == boot_id() and record["started"] == start_time(pid) else None


def recorded_names() -> list[str]:
    """Return the components that have a record, running or not."""
    return sorted(path.stem for path in PIDS.glob("*.json"))


def ensure(*components: Component) -> list[str]:
    """Start what does not run as it should, all at once, wait until all are ready; return what was started."""
    started = [component.name for component in components if _ensure_started(component)]
    for component in components:
        wait_ready(component)
    return started


def _ensure_started(component: Component) -> bool:
    pid = recorded_pid(component.name)
    wanted = component.fingerprint()
    if pid is not None:
        if json.loads((PIDS / f"{component.name}.json").read_text())["fingerprint"] == wanted:
            return False
        stop(component.name)
    _start(component, wanted)
    return True


def _start(component: Component, fingerprint: str) -> None:
    for folder in (LOGS, PIDS):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if component.log.exists():
        component.log.replace(component.log.with_suffix(".log.1"))
    with component.log.open("w") as log:
        child = subprocess.Popen(
            component.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=STATE,
            env={"PATH": _PATH, **SPARED, **component.env},
            start_new_session=True,
        )
    record = {"pid": child.pid, "started": start_time(child.pid), "boot": boot_id(), "fingerprint": fingerprint}
    (PIDS / f"{component.name}.json").write_text(json.dumps(record))


def wait_ready(component: Component) -> None:
    """Wait until a component answers; raise ClusterError with its log's tail if it ends or takes too long."""

    def answered() -> bool:
        if recorded_pid(component.name) is None:
            raise ClusterError(f"{component.name} ended; the last lines of {component.log}:\n{tail(component.log)}")
        return component.ready is None or component.ready()

    try:
        wait_for(answered, what=f"{component.name} ready", timeout=component.timeout, poll=0.05)
    except ClusterError as error:
        raise ClusterError(f"{error}\nThe last lines of {component.log}:\n{tail(component.log)}") from error


def stop(*names: str, timeout: float = 10) -> None:
    """Stop components by their pids, all at once, and forget them."""
    stop_pids([pid for name in names if (pid := recorded_pid(name)) is not None], timeout)
    for name in names:
        (PIDS / f"{name}.json").unlink(missing_ok=True)


def stop_pids(pids: Sequence[int], timeout: float = 10) -> None:
    """Ask processes to end, then end them."""
    known = {pid: start_time(pid) for pid in pids}

    def alive() -> list[int]:
        return [pid for pid, started in known.items() if started is not None and start_time(pid) == started]

    for sent in (signal.SIGTERM, signal.SIGKILL):
        for pid in alive():
            try:
                os.kill(pid, sent)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + timeout
        while alive() and time.monotonic() < deadline:
            time.sleep(0.05)
    if alive():
        raise ClusterError(f"processes {alive()} did not end")
