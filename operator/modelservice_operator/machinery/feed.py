"""The one way into the cache: whatever changes it asks for a reconcile of whom it concerns."""

from collections.abc import Callable, Mapping
from typing import Any

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.objects import Key, Kind, Ref


class Feed:
    """Takes what watches report and what our own writes are answered with.

    A write is thus followed by one more pass, and the watch's echo of it by none.
    """

    def __init__(self, *, cache: Cache, on_change: Callable[[Key], None]) -> None:
        self._cache = cache
        self._on_change = on_change

    def put(self, kind: Kind, obj: Mapping[str, Any]) -> bool:
        """An object as it is stored; False if that was known already."""
        metadata = obj["metadata"]
        before = self._cache.get(Ref(kind, metadata["namespace"], metadata["name"]))
        return self._announce(kind, before, obj, changed=self._cache.put(kind, obj))

    def drop(self, kind: Kind, namespace: str, name: str, uid: str, *, resource_version: str = "0") -> bool:
        """An object is gone, up to this version; False if that was known already."""
        before = self._cache.get(Ref(kind, namespace, name))
        changed = self._cache.drop(kind, namespace, name, uid, resource_version=resource_version)
        return self._announce(kind, before, changed=changed)

    def _announce(self, kind: Kind, *seen: Mapping[str, Any] | None, changed: bool) -> bool:
        if changed:
            for key in {key for obj in seen if obj is not None for key in self._cache.requests(kind, obj)}:
                self._on_change(key)
        return changed
