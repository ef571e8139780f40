"""One cgroup per node, made before the kubelet starts: all its pods live below it, and teardown finds them there."""

import time
from pathlib import Path

from tests.cluster.processes import stop_pids
from tests.cluster.shell import ClusterError


def hierarchies() -> list[Path]:
    """Return the cgroup trees: one for version 2, one for each controller of version 1, or both kinds."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted({Path(fields[1]) for fields in mounts if fields[2] in {"cgroup", "cgroup2"}})


def ensure(name: str) -> None:
    """Make the node's cgroup in every hierarchy; raise ClusterError where the machine does not let us."""
    for tree in hierarchies():
        try:
            _ensure_in(tree, name)
        except OSError as error:
            raise ClusterError(
                f"{error}: a node needs a cgroup of its own; "
                "a container needs --privileged --cgroupns=host for that, or a cluster elsewhere (KUBE_CONTEXT=name)"
            ) from error


def _ensure_in(tree: Path, name: str) -> None:
    group = tree / name
    group.mkdir(exist_ok=True)
    if (tree / "cgroup.subtree_control").exists():  # version 2
        controllers = (tree / "cgroup.controllers").read_text().split()
        for parent in (tree, group):
            (parent / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
    for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts them empty, and then nothing may run
        inherited = tree / setting
        if inherited.exists() and not (group / setting).read_text().strip():
            (group / setting).write_text(inherited.read_text())


def processes(name: str) -> list[int]:
    """Return every process of the node's pods."""
    return sorted(
        {
            int(pid)
            for tree in hierarchies()
            for procs in (tree / name).rglob("cgroup.procs")
            for pid in _read(procs).split()
        }
    )


def _read(procs: Path) -> str:
    try:
        return procs.read_text()
    except OSError:  # the group went away meanwhile
        return ""


def remove(name: str, timeout: float = 10) -> None:
    """End what still runs in the node's cgroup, and remove it."""
    stop_pids(processes(name), timeout=2)
    for tree in hierarchies():
        if not (tree / name).exists():
            continue
        groups = sorted((path for path in (tree / name).rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
        for group in [*groups, tree / name]:
            _remove_group(group, time.monotonic() + timeout)


def _remove_group(group: Path, deadline: float) -> None:
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:  # the kernel takes a moment to let go of ended processes
            if time.monotonic() > deadline:
                raise ClusterError(f"{group} cannot be removed: {error}") from error
            time.sleep(0.05)
        else:
            return
