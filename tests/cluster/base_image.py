"""Small images without a registry: a Debian base by debootstrap, and the pause image of the nodes' sandboxes."""

import hashlib
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.engine import exists
from tests.cluster.paths import CACHE, GO_MODULES, LOGS
from tests.cluster.shell import ClusterError, follow, run, step
from tests.cluster.toolchain import find_go

PACKAGES = "python3,python3-venv,ca-certificates"
PAUSE_SOURCE = GO_MODULES / "pause"
_APT = Path("/etc/apt")


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def base_reference() -> str:
    """Return the name of the base image: the machine's own Debian or Ubuntu release with Python and nothing else."""
    return f"localhost/modelservice/base:{_short_hash(*_release(), PACKAGES, platform.machine())}"


def pause_reference() -> str:
    """Return the name of the pause image."""
    sources = [path.read_text() for path in sorted(PAUSE_SOURCE.iterdir())]
    return f"localhost/modelservice/pause:{_short_hash(*sources, platform.machine())}"


def _release() -> tuple[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("ID", "").strip('"'), values.get("VERSION_CODENAME", "").strip('"')


def _mirror(distribution: str) -> list[str]:
    """Return the mirror that the machine's own apt uses; none leaves debootstrap its default."""
    # The distribution's own files first: others may be called .../linux/ubuntu and hold one program.
    own = [_APT / "sources.list", _APT / "sources.list.d" / f"{distribution}.sources"]
    others = [path for path in sorted((_APT / "sources.list.d").glob("*.[ls]*")) if path not in own]
    sources = [path for path in (*own, *others) if path.exists()]
    for source in sources:
        found = re.search(
            rf"^(?:URIs:|deb(?: \[.*\])?)\s+(http\S+/{distribution}/?)(?:\s|$)", source.read_text(), re.MULTILINE
        )
        if found:
            return [found[1]]
    return []


def ensure_base() -> str:
    """Make the base image, unless it is there."""
    reference = base_reference()
    if exists(reference, "buildah"):
        return reference
    distribution, codename = _release()
    if distribution not in {"debian", "ubuntu"}:
        raise ClusterError("a base image is made by debootstrap on Debian and Ubuntu; elsewhere set BASE_IMAGE")
    components = "main,universe" if distribution == "ubuntu" else "main"
    with tempfile.TemporaryDirectory(prefix="base-", dir=CACHE) as folder:
        root = Path(folder) / "root"
        options = ["--variant=minbase", f"--include={PACKAGES}", f"--components={components}"]
        command = ["debootstrap", *options, codename, str(root), *_mirror(distribution)]
        follow(command, title=f"base image ({distribution} {codename})", log=LOGS / "image-base.log")
        for waste in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(root / waste, ignore_errors=True)
            (root / waste).mkdir(parents=True)
        with step("base image: commit"):
            _commit(reference, root, [])
    return reference


def ensure_pause() -> str:
    """Make the pause image, unless it is there: a static program on an empty file system."""
    reference = pause_reference()
    if exists(reference, "buildah"):
        return reference
    with step("pause image"), tempfile.TemporaryDirectory(prefix="modelservice-pause-") as folder:
        output = Path(folder) / "pause"
        environment = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        build = [find_go(), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(output), "."]
        run(*build, cwd=PAUSE_SOURCE, env=environment)
        _commit(reference, Path(folder), ["--entrypoint", '["/pause"]', "--user", "65535:65535"])
    return reference


def _commit(reference: str, root: Path, configuration: list[str]) -> None:
    with _container() as container:
        run("buildah", "copy", "--quiet", container, str(root), "/", timeout=300)
        if configuration:
            run("buildah", "config", *configuration, container)
        run("buildah", "commit", "--quiet", container, reference, timeout=300)


@contextmanager
def _container() -> Iterator[str]:
    name = run("buildah", "from", "scratch").stdout.strip()
    try:
        yield name
    finally:
        run("buildah", "rm", name, check=False)
