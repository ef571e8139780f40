"""Files of packages of the distribution, unpacked beside what a bench keeps, and installed nowhere."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def unpack_packages(packages: Iterable[str], folder: Path) -> None:
    """Fetch packages by apt, and unpack them.

    Raises:
        CalledProcessError: this machine has no apt, or the packages are not to be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted(set(packages)):
        sys.stderr.write(f"fetching {package}\n")
        subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
        for archive in folder.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg", "-x", archive, folder], check=True)
            archive.unlink()
