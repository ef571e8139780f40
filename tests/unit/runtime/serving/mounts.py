"""Folders as kubelet mounts Secrets: every file is a link through one link, which is exchanged."""

import itertools
from collections.abc import Mapping
from pathlib import Path

_COUNT = itertools.count()


def mount(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write the files, or exchange those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / f"..{next(_COUNT)}"
    version.mkdir()
    for name, content in files.items():
        (version / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    link = folder / "..next"
    link.symlink_to(version.name)
    link.replace(folder / "..data")
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in files:
            entry.unlink()
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return folder
