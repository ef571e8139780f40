"""Where everything lies: sources in the checkout, all state in the user's cache folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GO_MODULES = Path(__file__).parent / "go"

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelservice"
BINARIES = CACHE / "bin"
REGISTRY_STORAGE = CACHE / "registry"

STATE = CACHE / "cluster"
PKI = STATE / "pki"
LOGS = STATE / "logs"
PIDS = STATE / "pids"
CONFIG = STATE / "config"
TOOLS = STATE / "tools"
KUBECONFIG = STATE / "kubeconfig"
VOLUMES = STATE / "volumes"

# Sockets and mounts: a reboot should clear them, and a socket's path may have at most 107 characters.
RUN = Path("/run/modelservice")
# Names the state folder of the cluster that has this machine's bridge, addresses and sockets: there is one of each.
OWNER = RUN / "owner"

IMAGES_RECORD = ROOT / "build" / "images.json"
IMAGE_SIZES = ROOT / "build" / "image-sizes.json"


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can read."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write_if_changed(path: Path, content: str, mode: int = 0o600) -> bool:
    """Write a file in one step, and only if its content is new; return whether it was."""
    if path.exists() and path.read_text() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=mode)
    draft.write_text(content)
    draft.rename(path)
    return True
