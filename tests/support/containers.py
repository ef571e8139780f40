"""Processes of pods as the node's kernel sees them; nodes are namespaces of this machine."""

from pathlib import Path
from typing import Any

from tests.cluster.cgroups import hierarchies

ESTABLISHED = "01"
"""A state in the kernel's tables of connections."""


def process_of(pod: dict[str, Any]) -> int:
    """The first process of a pod's only container, as this machine numbers it."""
    (status,) = pod["status"]["containerStatuses"]
    container = status["containerID"].rpartition("/")[2]
    found = [int(procs.parent.name) for procs in Path("/proc").glob("[0-9]*/cgroup") if container in _read(procs)]
    assert found, f"no process of container {container}"
    return min(found)


def throttled(pid: int) -> int:
    """How often a process' container had used up its CPU limit before a period of it was over."""
    groups = [line.split(":", 2) for line in _read(Path(f"/proc/{pid}/cgroup")).splitlines()]
    for tree in hierarchies():
        for _, controllers, path in groups:
            stat = tree / path.lstrip("/") / "cpu.stat"
            if controllers in {"", tree.name} or "cpu" in controllers.split(","):
                for line in _read(stat).splitlines():
                    name, _, value = line.partition(" ")
                    if name == "nr_throttled":
                        return int(value)
    raise AssertionError(f"process {pid} has no CPU limit: {groups}")


def connections(pid: int, port: int) -> int:
    """How many connections to a port of a process' network are open."""
    tables = "".join(_read(Path(f"/proc/{pid}/net/{family}")) for family in ("tcp", "tcp6"))
    lines = [line.split() for line in tables.splitlines()]
    return sum(words[1].endswith(f":{port:04X}") and words[3] == ESTABLISHED for words in lines)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it is gone meanwhile, or of another hierarchy
        return ""
