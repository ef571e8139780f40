"""What is watched: a kind, which of its objects, whom a change concerns, and what is kept of an object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_operator.objects import Key, Kind, Object

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def without_copies(obj: Mapping[str, Any]) -> Object:
    """An object without managedFields (half of most objects) and kubectl's copy of it."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    if _LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {n: v for n, v in metadata["annotations"].items() if n != _LAST_APPLIED}
    return {**obj, "metadata": metadata}


@dataclass(frozen=True, kw_only=True)
class Watch:
    """One kind that is watched, in the words of controller-runtime.

    Args:
        kind: The kind.
        request: Maps an object to the key that is reconciled when it changes, or None if it concerns nobody.
        transform: What is kept of an object in the cache; it keeps the names, UID, version and labels of the metadata,
            and must not change what it is given.
        label_selector: Objects without these labels never arrive; None for all.
        owned: Whether the cache lists its objects as children of what ``request`` names.
        optional: The kind belongs to an API that not every cluster serves: nothing waits for it.
    """

    kind: Kind
    request: Callable[[Mapping[str, Any]], Key | None]
    transform: Callable[[Mapping[str, Any]], Object] = without_copies
    label_selector: str | None = None
    owned: bool = True
    optional: bool = False


def own_key(obj: Mapping[str, Any]) -> Key:
    """The key of an object itself: a ``request`` for the kind that is reconciled."""
    return Key(obj["metadata"]["namespace"], obj["metadata"]["name"])
