"""What is watched: a kind, which of its objects, whom a change concerns, and what is kept of an object."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_operator.objects import Key, Kind, Object


def _nobody(_obj: Mapping[str, Any]) -> Iterable[Key]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Watch:
    """One kind that is watched, in the words of controller-runtime.

    Args:
        kind: The kind.
        request: Maps an object to the key that is reconciled when it changes, or None if it concerns nobody.
        transform: What is kept of an object in the cache; it keeps the names, UID, version and labels of the metadata,
            must not change what it is given, and gives the same of what it gave before.
        label_selector: Objects without these labels never arrive: ``name=value``, or None for all.
        metadata_only: Only ``PartialObjectMetadata`` is asked for.
        owned: Whether the cache lists its objects as children of what ``request`` names.
        concerns: Maps an object to the keys of others of its kind that are reconciled when it changes, too; and when
            one of these does, so is it.
        verified: Whether an object that leaves the watch is looked for before it counts as deleted, since it may only
            have lost its label.
    """

    kind: Kind
    request: Callable[[Mapping[str, Any]], Key | None]
    transform: Callable[[Mapping[str, Any]], Object] = dict
    label_selector: str | None = None
    metadata_only: bool = False
    owned: bool = True
    concerns: Callable[[Mapping[str, Any]], Iterable[Key]] = _nobody
    verified: bool = False

    def selects(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object carries the label that is selected by."""
        if self.label_selector is None:
            return True
        name, _, value = self.label_selector.partition("=")
        return (obj["metadata"].get("labels") or {}).get(name) == value


def own_key(obj: Mapping[str, Any]) -> Key:
    """The key of an object itself: a ``request`` for the kind that is reconciled."""
    return Key(obj["metadata"]["namespace"], obj["metadata"]["name"])
