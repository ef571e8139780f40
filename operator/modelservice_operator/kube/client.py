"""The port to Kubernetes over HTTP: server-side apply, metadata-only reads, and no write without the lease."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from modelservice_operator.constants import FIELD_MANAGER, LABEL_JOB_UID, REPLICAS_FIELD_MANAGER
from modelservice_operator.kinds import EVENT, HORIZONTAL_POD_AUTOSCALER, WORKLOAD, ref_of
from modelservice_operator.kube.events import EventRecorder
from modelservice_operator.kube.paging import METADATA, METADATA_LIST, METADATA_OBJECTS, Pager
from modelservice_operator.kube.transport import Transport
from modelservice_operator.machinery.errors import Conflict, Invalid, KubeError, NotFound, TooLarge, Transient
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Kind, Object, Ref

WRITE_TIMEOUT_SECONDS = 4.0
"""A write that is sent at the last moment ends before another replica may lead: lease 12 s, renewal deadline 7.5 s."""

_EVENTS_PAGES = (50, 5)
"""Events of the one page that is read; and of a second try, where the first was too large."""

_EVENTS_BYTES = 1024 * 1024
"""Of that page: whoever may write Events in a namespace decides what is in it."""

_WORKLOADS = 4
"""That are read of a Job, which has one."""

_NO_VERSION = "1"
"""No object ever has this resourceVersion (etcd counts from it, and the first write makes 2). An apply that carries it
is refused with 409 where an object of that name exists, and makes it where there is none."""

_APPLY = {"Content-Type": "application/apply-patch+yaml"}
_MERGE = {"Content-Type": "application/merge-patch+json"}
_JSON_PATCH = {"Content-Type": "application/json-patch+json"}

_ANOTHER_UID = "metadata.uid"
_ANOTHER_VERSION = "the server rejected our request due to an error in our request"
"""Words of a 422 that says nothing of what was to be written, but that it was to be written to another object: the
second is all that the apiserver answers where a ``test`` of a JSON patch fails."""


_SCALERS, _AUTOSCALERS = 8, 500
"""Autoscalers of one object that are told: a second one already has all of them stand still. And those of a namespace
that are looked at in a pass: whoever makes more of them makes no worker wait for longer."""


class Memory(Protocol):
    """What remembers the answers to writes, so that the next decision sees them before any watch does: the cache."""

    def put(self, kind: Kind, obj: Object) -> bool:
        """An object as it is stored now."""

    def drop(self, kind: Kind, namespace: str, name: str, uid: str) -> bool:
        """An object is gone."""


class KubeClient:
    """``KubePort`` on a transport.

    ``namespaces`` are the watched ones, none for all. ``may_write`` is asked before every write. ``memory`` remembers
    what was written, and ``said`` statuses.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        namespaces: Sequence[str],
        may_write: Callable[[], bool],
        memory: Memory,
        said: Memory,
        recorder: EventRecorder,
        metrics: Metrics,
    ) -> None:
        self._transport = transport
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._may_write = may_write
        self._memory = memory
        self._said = said
        self._recorder = recorder
        self._metrics = metrics

    async def get(self, ref: Ref) -> Object | None:
        """The whole object, or None."""
        return await self._get(ref, {})

    async def get_metadata(self, ref: Ref) -> Object | None:
        """``PartialObjectMetadata`` of the object, or None."""
        return await self._get(ref, METADATA)

    async def names(self, kind: Kind, namespace: str) -> frozenset[str] | None:
        """Names of all objects in a namespace; None where they do not fit into one page of metadata."""
        params = {"limit": str(METADATA_OBJECTS)}
        try:
            page = await self._transport.request(
                "list", "GET", kind, kind.path(namespace), params=params, headers=METADATA_LIST
            )
        except TooLarge:
            return None
        if (page.get("metadata") or {}).get("continue"):
            return None
        return frozenset(item["metadata"]["name"] for item in page.get("items") or ())

    async def autoscalers_of(self, ref: Ref) -> tuple[str, ...]:
        """Names of the HorizontalPodAutoscalers of its namespace that scale this object, a few of them."""
        kind, found, seen = HORIZONTAL_POD_AUTOSCALER, list[str](), 0
        async for one in self._all(kind, kind.path(ref.namespace), {}, metadata_only=False):
            if _scales(one, ref):
                found.append(one["metadata"]["name"])
            seen += 1
            if len(found) == _SCALERS or seen == _AUTOSCALERS:
                break
        return tuple(found)

    async def list_metadata(self, kind: Kind, *, label_selector: str | None = None) -> list[Object]:
        """``PartialObjectMetadata`` of all objects in the watched namespaces."""
        params = {"labelSelector": label_selector} if label_selector else {}
        return [
            item
            for namespace in self._namespaces
            async for item in self._all(kind, kind.path(namespace), params, metadata_only=True)
        ]

    async def apply(self, obj: Object, *, uid: str | None, manager: str = FIELD_MANAGER) -> Object:
        """Server-side apply with ``force`` to the object with this UID; None: the apply must make it."""
        ref = ref_of(obj)
        expected = {"resourceVersion": _NO_VERSION} if uid is None else {"uid": uid}
        obj = {**obj, "metadata": {**obj["metadata"], **expected}}
        return self._remembered(ref.kind, await self._apply(ref.kind, ref.path, obj, manager))

    async def apply_status(self, obj: Object) -> Object:
        """Server-side apply to the status subresource of exactly the version in ``metadata.resourceVersion``.

        Raises:
            ValueError: There is none.
        """
        ref = ref_of(obj)
        if not obj["metadata"].get("resourceVersion"):
            raise ValueError(f"status of {ref}: needs the metadata.resourceVersion that it was made from")
        stored = await self._apply(ref.kind, f"{ref.path}/status", obj, FIELD_MANAGER)
        self._said.put(ref.kind, stored)
        return stored

    async def adopt(self, ref: Ref, *, uid: str, metadata: Object) -> Object:
        """Write ``labels`` and ``ownerReferences`` of the object with this UID; its other metadata stay."""
        written = {name: metadata[name] for name in ("labels", "ownerReferences") if name in metadata}
        body: Object = {"metadata": {**written, "uid": uid}}
        return self._remembered(ref.kind, await self._patch(ref, _MERGE, body))

    async def strip(self, ref: Ref, *, uid: str, version: str, pointers: Sequence[str]) -> Object:
        """Remove fields that other field managers hold, which no apply can: by JSON pointer, in this order."""
        tests = {"/metadata/uid": uid, "/metadata/resourceVersion": version}
        body: list[Object] = [{"op": "test", "path": path, "value": value} for path, value in tests.items()]
        body += [{"op": "remove", "path": pointer} for pointer in pointers]
        return self._remembered(ref.kind, await self._patch(ref, _JSON_PATCH, body))

    async def scale(self, ref: Ref, *, replicas: int, version: str) -> None:
        """Set the number of replicas by the scale subresource, if the object is still of this version."""
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        params = {"fieldManager": REPLICAS_FIELD_MANAGER}
        path = f"{ref.path}/scale"
        with _conflicts():
            await self._write("patch", "PATCH", ref.kind, path, params=params, headers=_MERGE, body=body)

    async def delete(self, ref: Ref, *, uid: str, propagation: str = "Background") -> None:
        """Delete exactly the object with this UID; what is gone already is fine."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": propagation,
        }
        try:
            left = await self._write("delete", "DELETE", ref.kind, ref.path, body=options)
        except NotFound:
            left = {}
        if left.get("kind") == ref.kind.kind:  # a finalizer or a grace period keeps it for a while
            self._memory.put(ref.kind, left)
        else:
            self._memory.drop(ref.kind, ref.namespace, ref.name, uid)

    async def last_events(self, namespace: str, uid: str) -> list[Object]:
        """Events about the object with this UID, oldest first: of one page, at most 50."""
        for limit in _EVENTS_PAGES:
            params = {"fieldSelector": f"involvedObject.uid={uid}", "limit": str(limit)}
            with suppress(TooLarge):
                path = EVENT.path(namespace)
                page = await self._transport.request(
                    "list", "GET", EVENT, path, params=params, limit_bytes=_EVENTS_BYTES
                )
                return sorted(page.get("items") or [], key=_event_time)
        return []

    async def workloads(self, namespace: str, job_uid: str) -> list[Object] | None:
        """What Kueue made for the Job with this UID, at most a few; None where the cluster has no Kueue."""
        try:
            group = await self._transport.request("get", "GET", WORKLOAD, f"/apis/{WORKLOAD.group}")
        except NotFound:
            return None
        kind = WORKLOAD._replace(version=group["preferredVersion"]["version"])
        params = {"labelSelector": f"{LABEL_JOB_UID}={job_uid}", "limit": str(_WORKLOADS)}
        page = await self._transport.request(
            "list", "GET", kind, kind.path(namespace), params=params, limit_bytes=_EVENTS_BYTES
        )
        return page.get("items") or []

    async def record_event(self, regarding: Object, *, reason: str, message: str, warning: bool = False) -> None:
        """Say what happened as an Event on an object; best effort."""
        event = self._recorder.event(regarding, reason=reason, message=message, warning=warning)
        if event is None:
            return
        ref = ref_of(event)
        try:
            await self._apply(EVENT, ref.path, event, FIELD_MANAGER)
        except KubeError:
            self._recorder.failed(event)

    async def _get(self, ref: Ref, headers: dict[str, str]) -> Object | None:
        try:
            return await self._transport.request("get", "GET", ref.kind, ref.path, headers=headers)
        except NotFound:
            return None

    async def _all(
        self, kind: Kind, path: str, params: Mapping[str, str], *, metadata_only: bool
    ) -> AsyncIterator[Object]:
        pages = Pager(transport=self._transport, kind=kind, path=path, params=params, metadata_only=metadata_only)
        while (page := await pages.next()) is not None:
            for item in page.items:
                yield item

    def _remembered(self, kind: Kind, stored: Object) -> Object:
        self._memory.put(kind, stored)
        return stored

    async def _apply(self, kind: Kind, path: str, obj: Object, manager: str) -> Object:
        params = {"fieldManager": manager, "force": "true"}
        with _conflicts():
            return await self._write("patch", "PATCH", kind, path, params=params, headers=_APPLY, body=obj)

    async def _patch(self, ref: Ref, headers: Mapping[str, str], body: Any) -> Object:
        params = {"fieldManager": FIELD_MANAGER}
        with _conflicts():
            return await self._write("patch", "PATCH", ref.kind, ref.path, params=params, headers=headers, body=body)

    async def _write(self, verb: str, method: str, kind: Kind, path: str, **options: Any) -> Object:
        if not self._may_write():
            raise Transient(f"{verb} {kind.kind} {path}: this replica is not the leader")
        self._metrics.writes.labels(verb, kind.kind).inc()
        return await self._transport.request(verb, method, kind, path, timeout_seconds=WRITE_TIMEOUT_SECONDS, **options)


def _scales(autoscaler: Object, ref: Ref) -> bool:
    target = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    group = str(target.get("apiVersion", "")).partition("/")[0]
    return (group, target.get("kind"), target.get("name")) == (ref.kind.group, ref.kind.kind, ref.name)


@contextmanager
def _conflicts() -> Iterator[None]:
    """A write that names an object which is not there (any more) is a conflict, however the apiserver words it."""
    try:
        yield
    except NotFound as error:
        raise Conflict(str(error)) from error
    except Invalid as error:
        if _ANOTHER_UID in str(error) or _ANOTHER_VERSION in str(error):
            raise Conflict(str(error)) from error
        raise


def _event_time(event: Object) -> str:
    """When it was last seen; RFC 3339 in UTC sorts as text."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(time) for time in times if time), "")
