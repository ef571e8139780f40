"""The operator's picture of the cluster, filled by events and by the answers to its own writes."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.kinds import MODEL_SERVICE, POD, Key, Kind, Ref

Object = dict[str, Any]

_NOISE = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_POD_SPEC_KEPT = ("nodeName", "nodeSelector")
_DROPPED_REMEMBERED = 4096


class Cache:
    """Projections of ModelServices and of their children, by name, each true for one UID.

    Versions of one UID are ordered by ``resourceVersion``, which Kubernetes promises to be a comparable integer
    (KEP-5504). Objects are shared, not copied: who reads one must not change it.
    """

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Object]] = defaultdict(dict)
        self._children: dict[Key, set[Ref]] = defaultdict(set)
        self._dropped: dict[str, None] = {}

    def put(self, kind: Kind, obj: Mapping[str, Any]) -> bool:
        """Store a newer version of an object, or another object of that name; False if it was known already."""
        raise NotImplementedError

    def drop(self, kind: Kind, namespace: str, name: str, uid: str) -> bool:
        """Forget the object with this UID; a newer object of the same name stays."""
        raise NotImplementedError

    def get(self, ref: Ref) -> Object | None:
        """The object as last seen, or None."""
        raise NotImplementedError

    def children(self, namespace: str, owner_name: str) -> dict[Kind, list[Object]]:
        """What carries the label of this ModelService, by kind and ordered by name; costs only its own children."""
        raise NotImplementedError

    def services(self) -> Iterable[Key]:
        """All ModelServices."""
        raise NotImplementedError
