"""`make setup`: the Debian packages and the virtual environment, from the hashed lock; `--venv`: the latter alone.

Run by whichever Python comes first, before anything is installed: standard library only. The environment is made of
Debian's own where there is one: it is the interpreter of the tests' images, and built with profile-guided optimisation,
without which (as version managers compile it) the operator takes a tenth more CPU time.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster import bytecode, packages

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / ".modelservice-setup"
LOCK = ROOT / "requirements.lock"
DEBIAN_PYTHON = Path("/usr/bin/python3")
_OLDEST = (3, 11)


def main() -> int:
    """Set up what is missing; nothing is done twice."""
    if (python := _python()) is None:
        sys.stderr.write(f"error: Python 3.11 or later is needed; python3 is {sys.version.split()[0]}\n")
        return 1
    try:
        _ensure_packages(python, cluster="--venv" not in sys.argv[1:] and not os.environ.get("KUBE_CONTEXT"))
        _ensure_environment(python)
    except packages.PackagesMissingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"error: {' '.join(map(str, error.cmd))} ended with {error.returncode}\n")
        return 1
    return 0


def _python() -> str | None:
    """What the environment is made of: Debian's Python, or that which runs this; None where both are too old.

    Debian's needs a package of its own for that, which root alone can install.
    """
    fit = DEBIAN_PYTHON.exists() and _ends_well(DEBIAN_PYTHON, f"import sys; sys.exit(sys.version_info < {_OLDEST})")
    if fit and (os.geteuid() == 0 or _ends_well(DEBIAN_PYTHON, "import ensurepip")):
        return str(DEBIAN_PYTHON)
    return sys.executable if sys.version_info >= _OLDEST else None


def _ends_well(python: str | Path, code: str) -> bool:
    return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0


def _ensure_packages(python: str, *, cluster: bool) -> None:
    """Install what the local cluster needs; without it, or with one of the user's own, only Python matters."""
    if not _ends_well(python, "import ensurepip"):
        packages.install(["python3-venv"])
    if cluster:
        packages.ensure({**packages.CLUSTER, **packages.BENCH, **packages.BROWSER, **packages.WATCH})


def _ensure_environment(python: str) -> None:
    made_of = [LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(Path(python).resolve()).encode()]
    wanted = hashlib.sha256(b"".join(made_of)).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    if Path(PYTHON).exists() and not (_is_of(python) and _ends_well(PYTHON, "import pip")):
        shutil.rmtree(VENV)  # of another Python, or an interrupted attempt
    if not Path(PYTHON).exists():
        sys.stderr.write("  making .venv\n")
        subprocess.run([python, "-m", "venv", VENV], check=True)
    uv = str(VENV / "bin" / "uv")
    if not Path(uv).exists():
        _install_uv()
    sys.stderr.write("  installing the locked packages into .venv (several GB the first time: torch)\n")
    target = ["--python", PYTHON]
    subprocess.run([uv, "pip", "install", "--quiet", *target, "--require-hashes", "-r", str(LOCK)], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", *target, "--no-deps", "--editable", str(ROOT)], check=True)
    bytecode.give(VENV)
    STAMP.write_text(wanted)


def _is_of(python: str) -> bool:
    """Whether the environment is made of this Python."""
    return Path(PYTHON).resolve() == Path(python).resolve()


def _install_uv() -> None:
    """Install uv at the lock's version and hashes, with pip."""
    found = re.search(r"^uv==.*?(?:[^\\]\n|\Z)", LOCK.read_text(), re.MULTILINE | re.DOTALL)
    if not found:
        raise packages.PackagesMissingError(f"{LOCK.name} does not name uv")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirement:
        requirement.write(found[0])
        requirement.flush()
        command = [PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirement.name]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
