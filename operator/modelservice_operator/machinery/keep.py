"""What is kept of an object: bounded, whatever its writer put into it."""

from collections.abc import Container, Mapping
from typing import Any

from modelservice_operator.machinery.codec import dump_plainly
from modelservice_operator.objects import Object

NODES = 2_000
"""Values in an object that is kept: a Deployment with every field that a ModelService can ask for has half of it."""

TEXT = 600 * 1024
"""Characters of all texts in it together: annotations of 256 KiB, and 64 environment variables of 4 KiB."""

_NAMES = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "foreign",
    "scaledBy",
)
_ITEMS = 16
_ITEM_TEXT = 256


def metadata_of(
    metadata: Mapping[str, Any], *, labels: Container[str], annotations: Mapping[str, int]
) -> dict[str, Any]:
    """Metadata without what others may put into it without bounds.

    Args:
        metadata: of an object.
        labels: names of labels that are kept; an apiserver bounds each, but not how many there are.
        annotations: names of annotations that are kept, and of how many characters at most.
    """
    kept = {name: metadata[name] for name in _NAMES if name in metadata}
    if found := metadata.get("labels"):
        kept["labels"] = {name: value for name, value in found.items() if name in labels}
    if found := metadata.get("annotations"):
        kept["annotations"] = {
            name: found[name] for name, limit in annotations.items() if name in found and len(found[name]) <= limit
        }
    for name in ("ownerReferences", "finalizers"):
        if found := metadata.get(name):
            kept[name] = [item for item in found if _is_short(item)][:_ITEMS]
    return kept


def clipped(value: Any, *, nodes: int = NODES, text: int = TEXT) -> Any:
    """The value, or as much of it as the limits allow: what is nearer to the root, and earlier in a list, comes first.

    A text that does not fit becomes an empty one; an item or a field that does not fit is left out.
    """
    if _fits(value, nodes, text):
        return value
    root: list[Any] = []
    queue: list[tuple[Any, Any, Any]] = [(value, root, None)]
    for item, parent, name in queue:
        if nodes == 0:
            break
        nodes -= 1
        if isinstance(item, dict):
            kept: Any = {}
            queue.extend((below, kept, key) for key, below in item.items())
        elif isinstance(item, list):
            kept = []
            queue.extend((below, kept, None) for below in item)
        elif isinstance(item, str):
            kept = item if len(item) <= text else ""
            text -= len(kept)
        else:
            kept = item
        if isinstance(parent, list):
            parent.append(kept)
        elif len(name) <= text:
            parent[name] = kept
            text -= len(name)
    return root[0]


def _fits(value: Any, nodes: int, text: int) -> bool:
    """Whether all of it is within the limits; of most values that is seen from their JSON, in C.

    A value comes first in its list or map, or after a comma, and of both there may be more in texts.
    """
    written = dump_plainly(value)
    if written and len(written) <= text and sum(map(written.count, (b",", b"[", b"{"))) < nodes:
        return True
    waiting = [value]
    for item in waiting:
        kind = type(item)  # parsed JSON has no subclasses
        if kind is str:
            text -= len(item)
        elif kind is dict:
            waiting.extend(item.values())
            text -= sum(map(len, item))
        elif kind is list:
            waiting.extend(item)
        if text < 0 or len(waiting) > nodes:
            return False
    return True


def _is_short(item: Any) -> bool:
    values = item.values() if isinstance(item, dict) else (item,)
    return all(len(str(value)) <= _ITEM_TEXT for value in values)


def without(obj: Mapping[str, Any], *names: str) -> Object:
    """The object without these fields."""
    return {name: value for name, value in obj.items() if name not in names}
