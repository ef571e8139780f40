"""The operator's picture of the cluster, filled by events and by the answers to its own writes."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.kinds import CONFIG_MAP, MODEL_SERVICE, POD, WATCHED_KINDS, Key, Kind, Ref

Object = dict[str, Any]

_DROPPED_REMEMBERED = 10_000
"""Deleted objects that are remembered, so that a late answer to a write cannot bring one back."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_POD_SPEC = ("nodeName",)


class Cache:
    """Projections of ModelServices and of their children, by name, each true for one UID.

    Versions are ordered by ``resourceVersion``: Kubernetes promises integers that can be compared between all objects
    of one kind (KEP-5504), and so between an object and its successor of the same name. Objects are shared, not
    copied: who gets one must not change it.
    """

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in WATCHED_KINDS}
        self._children: dict[Key, dict[Kind, dict[str, Object]]] = {}
        self._dropped: dict[str, int] = {}

    def put(self, kind: Kind, obj: Mapping[str, Any]) -> bool:
        """Store an object; False if this version or a newer one was known, or dropped, already."""
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        if not self._is_news(kind, key, metadata):
            return False
        if (known := self._objects[kind].get(key)) is not None:
            self._forget(kind, key, known)
        projected = project(kind, obj)
        self._objects[kind][key] = projected
        if (owner := owner_key(kind, obj)) is not None and kind is not MODEL_SERVICE:
            self._children.setdefault(owner, {}).setdefault(kind, {})[key.name] = projected
        return True

    def drop(self, kind: Kind, namespace: str, name: str, uid: str, *, resource_version: str = "0") -> bool:
        """Forget the object with this UID up to this version; False if it was not known.

        Another object of the same name stays. The same object may come back in a newer version: one that lost our
        label and got it again looks deleted to a watch in between.
        """
        key = Key(namespace, name)
        known = self._objects[kind].get(key)
        if known is None or known["metadata"]["uid"] != uid:
            self._remember_dropped(uid, int(resource_version))
            return False
        self._remember_dropped(uid, max(int(resource_version), _version(known["metadata"])))
        self._forget(kind, key, known)
        return True

    def get(self, ref: Ref) -> Object | None:
        """The object as last seen, or None."""
        return self._objects[ref.kind].get(Key(ref.namespace, ref.name))

    def children(self, namespace: str, owner_name: str) -> dict[Kind, list[Object]]:
        """What carries the label of this ModelService: by kind, ordered by name; costs only its own children."""
        children = self._children.get(Key(namespace, owner_name), {})
        return {kind: [objects[name] for name in sorted(objects)] for kind, objects in children.items()}

    def services(self) -> Iterable[Key]:
        """All ModelServices."""
        return tuple(self._objects[MODEL_SERVICE])

    def objects(self, kind: Kind) -> tuple[Object, ...]:
        """All objects of a kind."""
        return tuple(self._objects[kind].values())

    def uids(self, kind: Kind) -> frozenset[str]:
        """UIDs of all objects of a kind."""
        return frozenset(obj["metadata"]["uid"] for obj in self._objects[kind].values())

    def drop_ghosts(self, kind: Kind, known: frozenset[str], listed: Iterable[Mapping[str, Any]]) -> set[Key]:
        """Forget what vanished without a DELETED event.

        Args:
            kind: The kind that was listed.
            known: ``uids(kind)`` from before the list was requested: what came later cannot be in it.
            listed: What the apiserver listed; metadata is enough.

        Returns:
            The ModelServices that the forgotten objects belonged to.
        """
        gone = known.difference(obj["metadata"]["uid"] for obj in listed)
        ghosts = [obj for obj in self._objects[kind].values() if obj["metadata"]["uid"] in gone]
        for metadata in [obj["metadata"] for obj in ghosts]:
            self.drop(kind, metadata["namespace"], metadata["name"], metadata["uid"])
        return {owner for obj in ghosts if (owner := owner_key(kind, obj)) is not None}

    def missing(self, kind: Kind, listed: Iterable[Mapping[str, Any]]) -> list[Ref]:
        """Which of the listed objects are not known here yet, in the listed or a newer version."""
        listed_keys = ((Key(m["namespace"], m["name"]), m) for m in (obj["metadata"] for obj in listed))
        return [Ref(kind, *key) for key, metadata in listed_keys if self._is_news(kind, key, metadata)]

    def _is_news(self, kind: Kind, key: Key, metadata: Mapping[str, Any]) -> bool:
        known = self._objects[kind].get(key)
        seen = max(0 if known is None else _version(known["metadata"]), self._dropped.get(metadata["uid"], 0))
        return _version(metadata) > seen

    def _forget(self, kind: Kind, key: Key, known: Object) -> None:
        del self._objects[kind][key]
        if (owner := owner_key(kind, known)) is None or kind is MODEL_SERVICE:
            return
        siblings = self._children[owner][kind]
        del siblings[key.name]
        if not siblings:
            del self._children[owner][kind]
        if not self._children[owner]:
            del self._children[owner]

    def _remember_dropped(self, uid: str, version: int) -> None:
        self._dropped[uid] = max(version, self._dropped.pop(uid, 0))
        if len(self._dropped) > _DROPPED_REMEMBERED:
            del self._dropped[next(iter(self._dropped))]


def owner_key(kind: Kind, obj: Mapping[str, Any]) -> Key | None:
    """The ModelService that an object is or, by its label, belongs to."""
    metadata = obj["metadata"]
    name = metadata["name"] if kind is MODEL_SERVICE else (metadata.get("labels") or {}).get(LABEL_NAME)
    return Key(metadata["namespace"], name) if name else None


def project(kind: Kind, obj: Mapping[str, Any]) -> Object:
    """What is kept of an object.

    Left out are managedFields (half of most objects), kubectl's copy of the object, the data of ConfigMaps (theirs are
    immutable, and named by what they hold) and all of a Pod's spec but its node: what a pod should be, its Job knows.
    """
    kept = {name: value for name, value in obj.items() if kind is not CONFIG_MAP or name not in {"data", "binaryData"}}
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    if _LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {n: v for n, v in metadata["annotations"].items() if n != _LAST_APPLIED}
    kept["metadata"] = metadata
    if kind is POD:
        kept["spec"] = {name: value for name, value in obj.get("spec", {}).items() if name in _POD_SPEC}
    projected: Object = _interned(kept)
    return projected


def _interned(value: Any) -> Any:
    """The same value, its keys shared between all objects: each parsed document brings its own copies of them."""
    if isinstance(value, dict):
        return {sys.intern(name): _interned(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_interned(item) for item in value]
    return value


def _version(metadata: Mapping[str, Any]) -> int:
    return int(metadata["resourceVersion"])
