"""Volumes that are really small: file systems in memory, offered to the cluster as local volumes."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.cluster import kubectl
from tests.support.e2e import Object, Space


@contextmanager
def small_volumes(space: Space, sizes: Mapping[str, str]) -> Iterator[str]:
    """Offer one volume for each size that is claimed; its true size is another. Answers with their StorageClass."""
    name = f"{space.name}-small"
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelservice-e2e-")))
        root.chmod(0o755)
        space.administer(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "kubernetes.io/no-provisioner",
                "volumeBindingMode": "WaitForFirstConsumer",
            }
        )
        stack.callback(_delete, space, "storageclass", name)
        for claimed, true_size in sizes.items():
            folder = root / claimed
            folder.mkdir()
            _mount(folder, true_size)
            stack.callback(_run, "umount", "--lazy", folder)
            volume = f"{name}-{claimed.lower()}"
            space.administer(_build_volume(volume, storage_class=name, capacity=claimed, folder=folder))
            stack.callback(_delete, space, "persistentvolume", volume)
        yield name


def _build_volume(name: str, *, storage_class: str, capacity: str, folder: Path) -> Object:
    any_linux = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": capacity},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [any_linux]}]}},
        },
    }


def _mount(folder: Path, size: str) -> None:
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", folder)


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=30)


def _delete(space: Space, kind: str, name: str) -> None:
    kubectl("delete", kind, name, "--wait=false", "--ignore-not-found", kubeconfig=space.admin)
