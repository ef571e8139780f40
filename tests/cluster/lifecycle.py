"""Bringing the cluster up, and taking it down without a trace."""

import json
import shutil
import time
from pathlib import Path

from tests.cluster import (
    addons,
    base_image,
    cgroups,
    controlplane,
    load,
    network,
    node,
    object_store,
    packages,
    pki,
    processes,
    toolchain,
)
from tests.cluster.kube import apply, get, kubectl
from tests.cluster.network import CONTROL_PLANE, NodeAddress
from tests.cluster.paths import (
    KUBECONFIG,
    LOGS,
    OWNER,
    REGISTRY_STORAGE,
    RUN,
    STATE,
    VOLUMES,
    private_folder,
    write_if_changed,
)
from tests.cluster.shell import ClusterError, console, require_root, run, step, wait_for

NODES_RECORD = STATE / "nodes.json"
MOST_NODES = 2


def recorded_nodes() -> list[NodeAddress]:
    """Return the nodes that the cluster was last brought up with."""
    count = json.loads(NODES_RECORD.read_text()) if NODES_RECORD.exists() else 0
    return [NodeAddress(index) for index in range(1, count + 1)]


def up(count: int | None = None) -> None:
    """Start what is missing; a cluster that runs as it should is left as it is.

    Without `count` the cluster keeps the nodes it has, or gets one. With fewer than it has, the last is taken away.
    """
    require_root()
    require_own_cluster()
    before = recorded_nodes()
    count = count or len(before) or 1
    if not 1 <= count <= MOST_NODES:
        raise ClusterError(f"NODES={count}: one or two nodes, not more")
    started = time.monotonic()
    packages.ensure(packages.CLUSTER)
    toolchain.ensure()
    private_folder(STATE)
    VOLUMES.mkdir(exist_ok=True, mode=0o711)
    write_if_changed(OWNER, str(STATE))
    write_if_changed(NODES_RECORD, json.dumps(count))
    nodes = recorded_nodes()
    pki.ensure_authority()
    pki.write_kubeconfig(KUBECONFIG, "admin")
    network.connect(nodes)
    changed = _start(nodes)
    for each in before[count:]:
        _take_away(each, others=nodes)
    console.print(
        f"  cluster of {count} node{'s' * (count > 1)}: {'started ' + ', '.join(changed) if changed else 'ran'}",
        markup=False,
    )
    console.print(
        f'  ready after {time.monotonic() - started:.1f} s; eval "$(make -s env)" gives kubectl and KUBECONFIG'
    )


def require_own_cluster() -> None:
    """Leave alone the cluster that somebody with another home started on this machine: a second one would meet it."""
    owner = Path(OWNER.read_text()) if OWNER.exists() else STATE
    if owner != STATE:
        cache = owner.parents[1]
        raise ClusterError(
            f"a cluster of this machine keeps its state in {owner}, not in {STATE}: "
            f"use it with XDG_CACHE_HOME={cache}, or stop it with XDG_CACHE_HOME={cache} make cluster-down"
        )


def _start(nodes: list[NodeAddress]) -> list[str]:
    for each in nodes:
        node.prepare(each)
    pause = base_image.pause_reference()
    runtimes = [node.containerd(each, pause) for each in nodes]
    with step("etcd, registry, object store, containerd"):
        changed = processes.ensure(controlplane.etcd(), controlplane.registry(), object_store.object_store(), *runtimes)
    with step("kube-apiserver"):
        changed += processes.ensure(controlplane.apiserver())
    load.ensure_small_images(nodes)
    with step("controllers, kubelets, kube-proxies"):
        changed += processes.ensure(
            controlplane.controller_manager(),
            controlplane.scheduler(),
            *(part(each) for each in nodes for part in (node.kubelet, node.kube_proxy)),
        )
    with step("DNS, metrics, volumes"):
        apply(addons.objects())
        changed += processes.ensure(addons.coredns(), addons.local_path_provisioner(), addons.metrics_server())
    with step("nodes Ready, metrics API available"):
        wait_for(lambda: all(map(_is_ready, nodes)), what="nodes Ready", timeout=90)
        wait_for(_has_default_account, what="the default namespace's ServiceAccount", timeout=60)
        addons.label_nodes(nodes)
        addons.ensure_fake_gpus(CONTROL_PLANE)
        wait_for(addons.metrics_available, what="the metrics API", timeout=60, poll=0.5)
    return changed


def _take_away(each: NodeAddress, *, others: list[NodeAddress]) -> None:
    """Stop one node while the others go on; its images stay cached."""
    with step(f"taking {each.name} away"):
        if get("node", each.name):
            kubectl("cordon", each.name)
            on_it = f"--field-selector=spec.nodeName={each.name}"
            kubectl("delete", "pods", "--all-namespaces", on_it, "--grace-period=5", "--timeout=60s", timeout=90)
        processes.stop(f"kubelet-{each.name}", timeout=2)
        processes.stop(f"kube-proxy-{each.name}", f"containerd-{each.name}", timeout=2)
        _stop_pods(each)
        for folder in (RUN / each.name, node.folder(each)):
            _unmount_below(folder)
        kubectl("delete", "node", each.name, "--ignore-not-found")
        network.take_away(each, others=others)
        shutil.rmtree(RUN / each.name, ignore_errors=True)
        shutil.rmtree(node.folder(each) / "kubelet", ignore_errors=True)


def _stop_pods(each: NodeAddress) -> None:
    processes.stop_pids(_shims(each), timeout=2)
    cgroups.remove(each.name)


def _is_ready(each: NodeAddress) -> bool:
    conditions = get("node", each.name).get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _has_default_account() -> bool:
    return bool(get("serviceaccount", "default", "-n", "default"))


def down(*, purge: bool = False) -> None:
    """Stop and delete the cluster; images stay cached for the next one, unless `purge` is asked for."""
    require_root()
    require_own_cluster()
    nodes = recorded_nodes()
    with step("stopping the cluster"):
        # The kubelets first, else they start again what is being stopped. Two seconds are enough for what is deleted.
        names = processes.recorded_names()
        kubelets = [name for name in names if name.startswith("kubelet-")]
        processes.stop(*kubelets, timeout=2)
        processes.stop(*(name for name in names if name not in kubelets), timeout=2)
        for each in nodes:
            _stop_pods(each)
        for folder in (RUN, STATE):
            _unmount_below(folder)
        network.disconnect(nodes)
    _remove_traces()
    shutil.rmtree(RUN, ignore_errors=True)
    kept = [] if purge else [folder / "containerd" for folder in (STATE / "nodes").glob("*")]
    _delete_state(keep={LOGS, *kept})
    if purge:
        shutil.rmtree(STATE, ignore_errors=True)
        shutil.rmtree(REGISTRY_STORAGE, ignore_errors=True)


def _shims(each: NodeAddress) -> list[int]:
    """Find this node's containerd shims: those that were given its socket."""
    marker = str(node.socket(each)).encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if arguments[0].endswith(b"containerd-shim-runc-v2") and any(part.startswith(marker) for part in arguments):
            found.append(int(folder.name))
    return found


def _remove_traces() -> None:
    """Remove what containerd and the kubelet leave in folders that every cluster of the machine shares."""
    for address in RUN.glob("*/containerd/io.containerd.runtime.v2.task/*/*/address"):
        Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
    for result in Path("/var/lib/cni/results").glob(f"{node.NETWORK}-*-eth0"):
        container = result.name.removeprefix(f"{node.NETWORK}-").removesuffix("-eth0")
        result.unlink()
        result.with_name(f"cni-loopback-{container}-lo").unlink(missing_ok=True)
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(STATE):
            link.unlink()


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if Path(mount).is_relative_to(folder)), key=len, reverse=True):
        run("umount", "--lazy", mount, check=False)


def _delete_state(keep: set[Path]) -> None:
    """Delete the cluster's state but for some folders; never through a mount that is still there."""
    left = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if any(Path(mount).is_relative_to(STATE) for mount in left):
        raise ClusterError(f"something is still mounted below {STATE}; nothing was deleted")

    def delete(path: Path) -> None:
        if path in keep:
            return
        if path.is_dir() and not path.is_symlink():
            if any(kept.is_relative_to(path) for kept in keep):
                for child in path.iterdir():
                    delete(child)
            else:
                shutil.rmtree(path)
        else:
            path.unlink()

    if STATE.exists():
        delete(STATE)


def status() -> list[tuple[str, str]]:
    """Return each component and its pid, or that it does not run."""
    return [(name, str(processes.recorded_pid(name) or "not running")) for name in processes.recorded_names()]


def running_nodes() -> list[NodeAddress]:
    """Return the nodes; raise ClusterError where there is no cluster."""
    nodes = recorded_nodes()
    if not nodes or any(processes.recorded_pid(f"containerd-{each.name}") is None for each in nodes):
        raise ClusterError("the local cluster does not run: make cluster-up")
    return nodes
