"""Debian packages: what is missing is installed where that is possible, and named clearly where it is not.

Standard library only: the set-up runs this before there is a virtual environment.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# What is looked for on PATH (or as a file) -> the package that brings it.
CLUSTER = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "nft": "nftables",
    "conntrack": "conntrack",
    "modprobe": "kmod",
    "openssl": "openssl",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "buildah": "buildah",
    "skopeo": "skopeo",
    "debootstrap": "debootstrap",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}
BENCH = {"wrk": "wrk", "h2load": "nghttp2-client"}
BROWSER = {"chromium": "chromium"}
WATCH = {"prometheus": "prometheus", "promtool": "prometheus"}
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # a user's PATH may lack it


class PackagesMissingError(Exception):
    """Packages are missing and cannot be installed here."""


def missing(needed: dict[str, str]) -> list[str]:
    """Return the packages whose command or file is not there."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    return sorted(
        package
        for name, package in needed.items()
        if not (Path(name).exists() if name.startswith("/") else shutil.which(name, path=path))
    )


def ensure(needed: dict[str, str]) -> None:
    """Install what is missing of the needed commands and files."""
    packages = missing(needed)
    if packages:
        install(packages)


def install(packages: Sequence[str]) -> None:
    """Install packages; raise PackagesMissingError with the command to run where that is not possible."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise PackagesMissingError(f"not Debian or Ubuntu: please install what Debian calls {names}, and try again")
    if os.geteuid() != 0:
        raise PackagesMissingError(f"missing packages; run: sudo apt-get install -y {names}")
    sys.stderr.write(f"  installing Debian packages: {names}\n")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    # A third-party source that does not answer spoils `update`, but not the installation.
    subprocess.run(["apt-get", "update", "-qq"], env=environment, capture_output=True, check=False)
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise PackagesMissingError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
