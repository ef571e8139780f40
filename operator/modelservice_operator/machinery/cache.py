"""The operator's picture of the cluster, filled by events and by the answers to its own writes."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from modelservice_operator.machinery.interning import Interner
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Key, Kind, Object, Ref

_DROPPED_REMEMBERED = 10_000
"""Deleted objects that are remembered, so that a late answer to a write cannot bring one back."""


class Cache:
    """What is kept of watched objects, by name, each true for one UID, and children by the key they belong to.

    Versions are ordered by ``resourceVersion``: Kubernetes promises integers that can be compared between all objects
    of one kind (KEP-5504), and so between an object and its successor of the same name. Objects are shared, not
    copied: who gets one must not change it.
    """

    def __init__(self, watches: Iterable[Watch]) -> None:
        self._watches = {watch.kind: watch for watch in watches}
        self._objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in self._watches}
        self._children: dict[Key, dict[Kind, dict[str, Object]]] = {}
        self._naming: dict[Kind, dict[Key, set[Key]]] = {kind: {} for kind in self._watches}
        self._dropped: dict[str, int] = {}
        self._interner = Interner()

    def put(self, kind: Kind, obj: Mapping[str, Any]) -> bool:
        """Store an object; False if this version or a newer one was known, or dropped, already."""
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        if not self._is_news(kind, key, metadata):
            return False
        told, known = self._watches[kind].transform(obj), self._objects[kind].get(key)
        if known is None:
            kept: Object = self._interner.intern(told)
        else:
            kept = self._interner.renew(told, known)
            self._unlink(kind, key, known)
        self._objects[kind][key] = kept
        if (owner := self._owner(kind, kept)) is not None:
            self._children.setdefault(owner, {}).setdefault(kind, {})[key.name] = kept
        for named in self._watches[kind].concerns(kept):
            self._naming[kind].setdefault(named, set()).add(key)
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
        self._unlink(kind, key, known)
        del self._objects[kind][key]
        return True

    def get(self, ref: Ref) -> Object | None:
        """The object as last seen, or None."""
        return self._objects[ref.kind].get(Key(ref.namespace, ref.name))

    def children(self, namespace: str, owner_name: str) -> dict[Kind, list[Object]]:
        """What belongs to this key: by kind, ordered by name; costs only its own children."""
        children = self._children.get(Key(namespace, owner_name), {})
        return {kind: [objects[name] for name in sorted(objects)] for kind, objects in children.items()}

    def naming(self, kind: Kind, key: Key) -> tuple[Object, ...]:
        """The objects of a kind that a change of this one concerns, since they name it; ordered by name."""
        return tuple(self._objects[kind][name] for name in sorted(self._naming[kind].get(key, ())))

    def requests(self, kind: Kind, obj: Mapping[str, Any]) -> set[Key]:
        """The keys to be reconciled when this object changes."""
        watch, metadata = self._watches[kind], obj["metadata"]
        named_by = self._naming[kind].get(Key(metadata["namespace"], metadata["name"]), ())
        owner = watch.request(obj)
        return {*watch.concerns(obj), *named_by, *(() if owner is None else (owner,))}

    def keys(self, kind: Kind) -> tuple[Key, ...]:
        """Names of all objects of a kind."""
        return tuple(self._objects[kind])

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
            The keys to be reconciled for what was forgotten.
        """
        gone = known.difference(obj["metadata"]["uid"] for obj in listed)
        ghosts = [obj for obj in self._objects[kind].values() if obj["metadata"]["uid"] in gone]
        for metadata in [obj["metadata"] for obj in ghosts]:
            self.drop(kind, metadata["namespace"], metadata["name"], metadata["uid"])
        return {key for obj in ghosts for key in self.requests(kind, obj)}

    def unlisted(self, kind: Kind, namespace: str | None, listed: Container[str], version: int) -> list[Object]:
        """What is known and is not in a list.

        Args:
            kind: The kind that was listed.
            namespace: Where, or None for everywhere.
            listed: UIDs of what is there.
            version: Of the list: what is known in a later one cannot be in it.
        """
        return [
            obj
            for key, obj in self._objects[kind].items()
            if obj["metadata"]["uid"] not in listed
            and namespace in (None, key.namespace)
            and _version(obj["metadata"]) <= version
        ]

    def missing(self, kind: Kind, listed: Iterable[Mapping[str, Any]]) -> list[Ref]:
        """Which of the listed objects are not known here yet, in the listed or a newer version."""
        listed_keys = ((Key(m["namespace"], m["name"]), m) for m in (obj["metadata"] for obj in listed))
        return [Ref(kind, *key) for key, metadata in listed_keys if self._is_news(kind, key, metadata)]

    def _is_news(self, kind: Kind, key: Key, metadata: Mapping[str, Any]) -> bool:
        known = self._objects[kind].get(key)
        seen = max(0 if known is None else _version(known["metadata"]), self._dropped.get(metadata["uid"], 0))
        return _version(metadata) > seen

    def _unlink(self, kind: Kind, key: Key, known: Object) -> None:
        """Let nothing lead to an object. It stays where it is: a thread that tells of all of them misses none."""
        for named in self._watches[kind].concerns(known):
            self._naming[kind][named].discard(key)
            if not self._naming[kind][named]:
                del self._naming[kind][named]
        if (owner := self._owner(kind, known)) is None:
            return
        siblings = self._children[owner][kind]
        del siblings[key.name]
        if not siblings:
            del self._children[owner][kind]
        if not self._children[owner]:
            del self._children[owner]

    def _owner(self, kind: Kind, obj: Mapping[str, Any]) -> Key | None:
        return self._watches[kind].request(obj) if self._watches[kind].owned else None

    def _remember_dropped(self, uid: str, version: int) -> None:
        self._dropped[uid] = max(version, self._dropped.pop(uid, 0))
        if len(self._dropped) > _DROPPED_REMEMBERED:
            del self._dropped[next(iter(self._dropped))]


def _version(metadata: Mapping[str, Any]) -> int:
    return int(metadata["resourceVersion"])
