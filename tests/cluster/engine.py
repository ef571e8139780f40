"""Building and storing images: by docker where its engine runs, by buildah (no daemon, no registry) elsewhere."""

import json
import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.cluster.paths import LOGS, ROOT
from tests.cluster.shell import follow, run

# chroot isolation needs no namespace that a container or a small virtual machine might refuse.
ISOLATION = "--isolation=chroot"
# Layers that nobody reads twice: zstd at its fastest costs a tenth of gzip, and containerd reads it.
COMPRESSION = ("--compression-format=zstd", "--compression-level=1")


@cache
def name() -> str:
    """Return docker or buildah."""
    if shutil.which("docker") and run("docker", "info", check=False, timeout=20).returncode == 0:
        return "docker"
    return "buildah"


def exists(reference: str, engine: str | None = None) -> bool:
    """Tell whether an image is in the engine's store."""
    return run(engine or name(), "inspect", "--type=image", reference, check=False).returncode == 0


def size(reference: str) -> int:
    """Return the bytes of an image's layers, uncompressed."""
    if name() == "docker":
        return int(run("docker", "image", "inspect", "--format={{.Size}}", reference).stdout)
    inspected = json.loads(run("buildah", "inspect", "--type=image", reference).stdout)
    layers: list[dict[str, int]] = json.loads(inspected["Manifest"])["layers"]
    return sum(layer["size"] for layer in layers)


def build(reference: str, dockerfile: Path, *, title: str, target: str, arguments: Mapping[str, str]) -> None:
    """Build one image from the repository, with the machine's own certificates and package cache mounted."""
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    command = ["docker", "build"]
    if name() == "buildah":
        command = ["buildah", "bud", ISOLATION, "--layers=false", *_mounts()]
    command += [*options, f"--target={target}", f"--file={dockerfile}", f"--tag={reference}", str(ROOT)]
    log = LOGS / f"image-{reference.rpartition('/')[2].replace(':', '-')}.log"
    follow(command, title=title, log=log, env={"DOCKER_BUILDKIT": "1"})


def _mounts() -> list[str]:
    """Mount what the machine trusts, and what uv has downloaded before."""
    options = []
    certificates = os.environ.get("SSL_CERT_FILE")
    if certificates and Path(certificates).is_file():
        inside = "/run/build-certificates"
        options += [f"--volume={Path(certificates).resolve().parent}:{inside}:ro"]
        options += [f"--build-arg=SSL_CERT_FILE={inside}/{Path(certificates).resolve().name}"]
    uv_cache = run(uv(), "cache", "dir").stdout.strip()
    Path(uv_cache).mkdir(parents=True, exist_ok=True)
    return [*options, f"--volume={uv_cache}:/run/uv-cache", "--build-arg=UV_CACHE_DIR=/run/uv-cache"]


def uv() -> str:
    """Return the project's own uv, else the machine's."""
    own = ROOT / ".venv" / "bin" / "uv"
    return str(own) if own.exists() else "uv"


def tag(reference: str, other: str) -> None:
    """Give an image a second name."""
    run(name(), "tag", reference, other)


def stored(repository: str) -> list[str]:
    """Return the stored images of a repository, the newest first."""
    command = [
        name(),
        "images",
        "--format={{.Name}}:{{.Tag}}" if name() == "buildah" else "--format={{.Repository}}:{{.Tag}}",
    ]
    return [line for line in run(*command).stdout.split() if line.startswith(f"{repository}:")]


def prune(repository: str, keep: int) -> None:
    """Remove all but the newest images of a repository; a name that something else still needs stays."""
    for reference in stored(repository)[keep:]:
        run(name(), "rmi", reference, check=False)


def push(reference: str, destination: str, *, insecure: bool = False) -> None:
    """Copy an image to a registry; unchanged layers are recognised and do not travel."""
    title = f"push {reference.rpartition('/')[2]}"
    log = LOGS / "push.log"
    if name() == "docker" and not insecure:
        run("docker", "tag", reference, destination)
        follow(["docker", "push", destination], title=title, log=log)
        return
    verify = ["--tls-verify=false", *COMPRESSION] if insecure else []
    follow(["buildah", "push", *verify, reference, f"docker://{destination}"], title=title, log=log)


def save(reference: str, file: Path) -> None:
    """Write an image to an archive that docker, containerd and kind read."""
    file.unlink(missing_ok=True)
    command = ["buildah", "push", reference, f"docker-archive:{file}:{reference}"]
    if name() == "docker":
        command = ["docker", "save", f"--output={file}", reference]
    follow(command, title=f"write {file.name}", log=LOGS / "save.log")
