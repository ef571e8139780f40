"""What Python compiled of the locked packages, for the .venv of each checkout: torch and all else cost half a minute.

uv puts the same files into each, and Python looks at the time and the size of a source before it takes what was
compiled of it, so what is of another release is compiled again. Standard library only.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.cluster.paths import CACHE

STORE = CACHE / "bytecode"


def give(venv: Path, *, store: Path = STORE) -> None:
    """Link what any checkout compiled into a virtual environment, where the package is there."""
    for packages in venv.glob("lib/python*/site-packages"):
        for folder in _folders(store):
            there = packages / folder.relative_to(store)
            if there.parent.is_dir():
                _link(folder, there)


def keep(venv: Path, *, store: Path = STORE) -> None:
    """Link what was compiled in a virtual environment into the folder of all checkouts."""
    for packages in venv.glob("lib/python*/site-packages"):
        for folder in _folders(packages):
            _link(folder, store / folder.relative_to(packages))


def _folders(root: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(root):
        if folder.endswith("__pycache__"):
            yield Path(folder)


def _link(source: Path, target: Path) -> None:
    """Link all files of a folder into another; on another file system, or a full disk, they are compiled again."""
    with suppress(OSError):
        target.mkdir(parents=True, exist_ok=True)
        for file in source.glob("*.pyc"):
            place = target / file.name
            if place.exists() and place.samefile(file):
                continue
            draft = place.with_name(f".{place.name}.{os.getpid()}")
            draft.hardlink_to(file)
            draft.replace(place)
