"""Watches: each event goes into the cache, and whom it concerns onto the queue."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import kopf

from modelservice_operator.machinery.feed import Feed
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Kind

Handler = Callable[..., Awaitable[None]]


def register_watches(registry: kopf.OperatorRegistry, watches: Sequence[Watch], feed: Feed) -> None:
    """Watch these kinds with ``on.event``, which adds no finalizer and no annotation."""
    for kind in (watch.kind for watch in watches):
        decorate = kopf.on.event(
            group=kind.group, version=kind.version, plural=kind.plural, registry=registry, id=kind.plural
        )
        decorate(build_handler(kind, feed))


def build_handler(kind: Kind, feed: Feed) -> Handler:
    """The handler of one kind."""

    async def observe(*, event: dict[str, Any], **_: Any) -> None:
        obj = event["object"]
        if event["type"] == "DELETED":
            metadata = obj["metadata"]
            feed.drop(
                kind,
                metadata["namespace"],
                metadata["name"],
                metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )
        else:
            feed.put(kind, obj)

    return observe
