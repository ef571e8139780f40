"""Watches: each event goes into the cache and its ModelService onto the queue."""

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from modelservice_operator.cache import owner_key
from modelservice_operator.context import Context
from modelservice_operator.kinds import WATCHED_KINDS, Kind, Ref

Handler = Callable[..., Awaitable[None]]


def register_watches(registry: kopf.OperatorRegistry, context: Context) -> None:
    """Watch all kinds with ``on.event``, which adds no finalizer and no annotation."""
    for kind in WATCHED_KINDS:
        decorate = kopf.on.event(
            group=kind.group, version=kind.version, plural=kind.plural, registry=registry, id=kind.plural
        )
        decorate(build_handler(kind, context))


def build_handler(kind: Kind, context: Context) -> Handler:
    """The handler of one kind."""

    async def observe(*, event: dict[str, Any], **_: Any) -> None:
        obj = event["object"]
        metadata = obj["metadata"]
        ref = Ref(kind, metadata["namespace"], metadata["name"])
        known = context.cache.get(ref)
        owners = {owner_key(kind, seen) for seen in (obj, known) if seen is not None}
        if event["type"] == "DELETED":
            version = metadata["resourceVersion"]
            changed = context.cache.drop(kind, ref.namespace, ref.name, metadata["uid"], resource_version=version)
        else:
            changed = context.cache.put(kind, obj)
        if changed or event["type"] is not None:  # a repeated list says nothing new, an echo of our own write does
            for owner in filter(None, owners):
                context.queue.add(owner)

    return observe
