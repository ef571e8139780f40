"""Bringing images to where pods start: the local cluster's nodes, a kind cluster, a registry, or one tar."""

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.cluster import base_image, engine, node
from tests.cluster.network import REGISTRY, NodeAddress
from tests.cluster.paths import CACHE, LOGS, ROOT
from tests.cluster.shell import ClusterError, follow, run, step
from tests.cluster.toolchain import binary


def _ctr(where: NodeAddress, *arguments: str) -> list[str]:
    return [binary("ctr"), f"--address={node.socket(where)}", "--namespace=k8s.io", *arguments]


def present(where: NodeAddress, reference: str) -> bool:
    """Tell whether a node has an image."""
    return reference in run(*_ctr(where, "images", "list", "--quiet", f"name=={reference}")).stdout.split()


def into_nodes(references: Iterable[str], nodes: list[NodeAddress]) -> None:
    """Bring images to the nodes that lack them: only layers that a node has not travel."""
    for reference in references:
        lacking = [where for where in nodes if not present(where, reference)]
        if not lacking:
            continue
        if engine.name() == "docker" and not engine.exists(reference, "buildah"):
            _import_archive(reference, lacking)  # docker pushes to a plain-HTTP registry only if its daemon is told so
            continue
        engine.push(reference, reference.replace("localhost", REGISTRY, 1), insecure=True)
        for where in lacking:
            pull = _ctr(where, "images", "pull", "--hosts-dir", str(node.hosts_folder()), reference)
            follow(pull, title=f"{where.name} pulls {reference.rpartition('/')[2]}", log=LOGS / "pull.log")


def prune_nodes(references: Iterable[str], nodes: list[NodeAddress]) -> None:
    """Remove from the nodes what the engine has let go of; a pod that needs it again fetches it from the registry."""
    for repository in {reference.rpartition(":")[0] for reference in references}:
        kept = engine.stored(repository)
        for where in nodes:
            # containerd lists an image by its names and by its id; REF and DIGEST are the first and third column.
            rows = [line.split() for line in run(*_ctr(where, "images", "list")).stdout.splitlines()[1:]]
            gone = {row[2] for row in rows if row[0].startswith(f"{repository}:") and row[0] not in kept}
            gone -= {row[2] for row in rows if row[0] in kept}
            if gone:
                run(*_ctr(where, "images", "remove", *(row[0] for row in rows if row[2] in gone)))


def _import_archive(reference: str, nodes: list[NodeAddress]) -> None:
    with tempfile.TemporaryDirectory(prefix="image-", dir=CACHE) as folder:
        archive = Path(folder) / "image.tar"
        engine.save(reference, archive)
        for where in nodes:
            follow(
                _ctr(where, "images", "import", str(archive)), title=f"{where.name} imports", log=LOGS / "import.log"
            )


def ensure_small_images(nodes: list[NodeAddress]) -> None:
    """Give each node what it cannot start a pod without: the pause image; and one with a shell, for pods of tests."""
    for reference, ensure in (
        (base_image.pause_reference(), base_image.ensure_pause),
        (base_image.base_reference(), base_image.ensure_base),
    ):
        if not all(present(where, reference) for where in nodes):
            ensure()
            into_nodes([reference], nodes)


def into_kind(references: Iterable[str], cluster: str) -> None:
    """Load images into a kind cluster by its name."""
    if shutil.which("kind") is None:
        raise ClusterError("kind is not on PATH; `make push REGISTRY=...` works with any cluster")
    with tempfile.TemporaryDirectory(prefix="image-", dir=CACHE) as folder:
        for reference in references:
            archive = Path(folder) / "image.tar"
            engine.save(reference, archive)
            command = ["kind", "load", "image-archive", str(archive), f"--name={cluster}"]
            follow(command, title=f"kind loads {reference}", log=LOGS / "kind.log")


def into_registry(references: dict[str, str], registry: str) -> dict[str, str]:
    """Push images to a registry; return their names there."""
    destinations = {
        name: reference.replace("localhost", registry.rstrip("/"), 1) for name, reference in references.items()
    }
    for name, destination in destinations.items():
        engine.push(references[name], destination)
    return destinations


def into_bundle(references: dict[str, str], file: Path) -> None:
    """Write images, chart, install.yaml and their sha256 to one tar, for clusters without internet."""
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=CACHE) as name:
        folder = Path(name)
        for image, reference in references.items():
            engine.save(reference, folder / f"{image}-image.tar")
        (folder / "images.txt").write_text("".join(f"{reference}\n" for reference in references.values()))
        helm = shutil.which("helm", path=str(ROOT / ".venv" / "bin"))
        run(helm or "helm", "package", ROOT / "charts" / "modelservice-operator", f"--destination={folder}")
        shutil.copy(ROOT / "manifests" / "install.yaml", folder)
        with step("digests"):
            digests = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
        (folder / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))
        file.parent.mkdir(parents=True, exist_ok=True)
        with step(f"write {file.name}"), tarfile.open(file, "w") as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, arcname=f"modelservice/{path.name}")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
