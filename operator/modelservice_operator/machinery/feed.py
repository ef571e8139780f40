"""The one way into the cache: whatever changes it asks for a reconcile of whom it concerns."""

from collections.abc import Callable, Mapping
from typing import Any

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.keep import without
from modelservice_operator.machinery.watch import own_key
from modelservice_operator.objects import Key, Kind, Object, Ref


class Feed:
    """Takes what watches report and what our own writes are answered with.

    A write that made something is thus followed by one more pass, and the watch's echo of it by none.

    Args:
        cache: What is kept.
        on_change: Is told whom a change concerns, and of which kind it is of.
        others: Whether an object that is put concerns others only, as one in which we say what we know.
    """

    def __init__(self, *, cache: Cache, on_change: Callable[[Kind, Key], None], others: bool = False) -> None:
        self._cache = cache
        self._on_change = on_change
        self._others = others

    def put(self, kind: Kind, obj: Mapping[str, Any]) -> bool:
        """An object as it is stored; False if that was known already.

        Nobody is asked to look at a newer version of which all that is kept is as before: a pass would come to the
        same. Of the events of a training that is one in five.
        """
        metadata = obj["metadata"]
        ref = Ref(kind, metadata["namespace"], metadata["name"])
        before = self._cache.get(ref)
        if not self._cache.put(kind, obj):
            return False
        kept = self._cache.get(ref)
        if before is None or kept is None or not _says_the_same(before, kept):
            self._announce(kind, before, obj)
        return True

    def drop(self, kind: Kind, namespace: str, name: str, uid: str, *, resource_version: str = "0") -> bool:
        """An object is gone, up to this version; False if that was known already."""
        before = self._cache.get(Ref(kind, namespace, name))
        changed = self._cache.drop(kind, namespace, name, uid, resource_version=resource_version)
        if changed:
            self._announce(kind, before)
        return changed

    def _announce(self, kind: Kind, *seen: Mapping[str, Any] | None) -> None:
        objects = [obj for obj in seen if obj is not None]
        own = {own_key(obj) for obj in objects} if self._others else set()
        for key in {key for obj in objects for key in self._cache.requests(kind, obj)} - own:
            self._on_change(kind, key)


def _says_the_same(before: Object, after: Object) -> bool:
    """Whether two versions of an object differ in their version alone."""
    said, says = ({**one, "metadata": without(one["metadata"], "resourceVersion")} for one in (before, after))
    return said == says
