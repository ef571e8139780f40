"""Watches the ConfigMaps that data lies in: all of them by their metadata, of which nothing is kept.

Users' ConfigMaps carry no label to select them by. To look at each one again and again would cost more, with a thousand
ModelServices, than everything else that a converged operator does.
"""

from collections.abc import Container, Mapping
from typing import Any, Final

from modelservice_operator.data_source import DataSource
from modelservice_operator.kinds import CONFIG_MAP
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Kind, Object, Ref

DATA_WATCH: Final = Watch(kind=CONFIG_MAP, request=lambda _: None, metadata_only=True, owned=False)
"""All ConfigMaps, since data may be in any."""


class DataWatch:
    """The ``Sink`` of ``DATA_WATCH``: tells the data source which of its ConfigMaps is another one than was read."""

    def __init__(self, source: DataSource) -> None:
        self._source = source

    def put(self, kind: Kind, obj: Object) -> None:
        """A ConfigMap as it is stored; it may be an old one."""
        ref, metadata = _ref(kind, obj), obj["metadata"]
        if not self._source.is_known(ref, uid=metadata["uid"], version=metadata["resourceVersion"]):
            self._source.changed(ref)

    def vanished(self, watch: Watch, obj: Mapping[str, Any]) -> None:
        """A ConfigMap is gone, or its label is."""
        self._source.changed(_ref(watch.kind, obj))

    def leave_out(self, watch: Watch, namespace: str | None, listed: Container[str], version: int) -> None:
        """All that is there was listed, by UID: what was read and is not among it is gone."""
        del watch, version
        for ref in self._source.refs():
            if namespace in (None, ref.namespace) and not self._source.is_listed(ref, listed):
                self._source.changed(ref)

    def look_into(self, watch: Watch, ref: Ref) -> None:
        """Something about a ConfigMap could not be read."""
        del watch
        self._source.changed(ref)


def _ref(kind: Kind, obj: Mapping[str, Any]) -> Ref:
    return Ref(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
