"""What opens a registry: files as ``docker login`` writes them, and as Secrets of images are mounted."""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelservice.contract.failure import StorageError
from modelservice.contract.places import REGISTRY_FILE, REGISTRY_PATH

_MAX_FILE_BYTES: Final = 1 << 20
_FIELD: Final = "spec.artifacts.image.pushSecretRef"
_AROUND: Final = re.compile(r"^https?://|/(v1|v2)?/?$")
"""What ``docker login`` writes around the name of some registries."""


class Credentials(NamedTuple):
    """Name and password, and the file that they are from."""

    user: str
    password: str


def find_credentials(place: str, environment: Mapping[str, str], *, mounted: Path | None = None) -> Credentials | None:
    """What opens a repository, None where no file says; the entry that names most of it counts.

    Args:
        place: host and repository, such as registry.example/models/default/iris.
        environment: says where ``docker login`` wrote (``DOCKER_CONFIG``; else the home).
        mounted: where Secrets are mounted, each in a folder of its own.

    Raises:
        StorageError: a file is none of credentials.
    """
    found = ""
    entry: Mapping[str, Any] | None = None
    for path in _files(environment, mounted or Path(REGISTRY_PATH)):
        for name, value in _entries(path).items():
            stem = _AROUND.sub("", name)
            if len(stem) > len(found) and f"{place}/".startswith(f"{stem}/") and isinstance(value, dict) and value:
                found, entry = stem, value
    return None if entry is None else _read(found, entry)


def _files(environment: Mapping[str, str], mounted: Path) -> Iterable[Path]:
    """What is mounted first: of two entries of the same length the first counts."""
    yield from sorted(mounted.glob(f"*/{REGISTRY_FILE}"))
    yield Path(environment.get("DOCKER_CONFIG") or f"{environment.get('HOME', '/')}/.docker", REGISTRY_FILE)


def _entries(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_MAX_FILE_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _unusable(f"{path} is no JSON: {error}") from None
    entries = said.get("auths", {}) if isinstance(said, dict) else None
    if not isinstance(entries, dict):
        raise _unusable(f'{path} has no object "auths"')
    return entries


def _read(name: str, entry: Mapping[str, Any]) -> Credentials:
    """``auth``, else ``username`` and ``password``."""
    if not entry.get("auth"):
        given = [value for field in ("username", "password") if isinstance(value := entry.get(field), str)]
        if len(given) == len(Credentials._fields):
            return Credentials(*given)
        raise _unusable(f"the entry {name} has neither auth nor username and password, and other kinds are not known")
    try:
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, ValueError, TypeError):
        colon = ""
    if not colon:
        raise _unusable(f"auth of the entry {name} is not USER:PASSWORD in base64")
    return Credentials(user, password)


def _unusable(said: str) -> StorageError:
    message = (
        f"the credentials of registries cannot be used: {said}: name a Secret of type kubernetes.io/dockerconfigjson in"
        f" {_FIELD} and pullSecretRef; on a laptop correct what docker login wrote"
    )
    return StorageError("StorageSettingsInvalid", message, field=_FIELD)
