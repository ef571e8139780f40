"""A small Kubernetes in memory: the ports that the reconciler reads and writes, with dictionaries."""

import asyncio
import itertools
import json
import marshal
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from modelservice.contract.progress import Progress
from modelservice_operator.answers import Answers
from modelservice_operator.constants import FIELD_MANAGER
from modelservice_operator.crd.status import NOT_OBSERVED, ModelServiceStatus
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    MODEL_SERVICE,
    WORKLOAD,
    ref_of,
)
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.errors import Conflict, Invalid, KubeError
from modelservice_operator.objects import Kind, Ref
from modelservice_operator.watches import WATCHES

Object = dict[str, Any]
T = TypeVar("T")


class FakeClock:
    """Time that stands still until a test moves it; ``ahead`` is by how much its wall clock was set another way."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.ahead = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds + self.ahead)

    async def wait(self, event: asyncio.Event, timeout_seconds: float | None) -> bool:
        raise AssertionError("the reconciler must not wait")


def copied(value: T) -> T:
    """A copy of what JSON can say: ten times as fast as one by Python, and each pass makes many."""
    try:
        return cast("T", marshal.loads(marshal.dumps(cast("Any", value), 2)))  # noqa: S302 - its own bytes; 2: no part is shared
    except ValueError:  # members of an enumeration, which an apiserver is told by their values
        return cast("T", json.loads(json.dumps(value)))


def merged(old: Any, new: Any) -> Any:
    """What is there with what somebody adds to its maps; lists are replaced."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
    return copied(new)


def applied(live: Any, before: Any, new: Any, others: list[Any]) -> Any:
    """Server-side apply of one manager.

    What it said ``before`` and does not say now goes, unless one of the ``others`` says it; what somebody else added to
    a map, or to a list whose items have names, stays; any other list is replaced.
    """
    if isinstance(new, Mapping):
        result = dict(live) if isinstance(live, Mapping) else {}
        before = before if isinstance(before, Mapping) else {}
        others = [other for other in others if isinstance(other, Mapping)]
        for name in before:
            if name in new or name not in result or any(name in other for other in others):
                continue
            if left := _without(result.pop(name), before[name]):
                result[name] = left
        for name, value in new.items():
            said = [other[name] for other in others if name in other]
            result[name] = applied(result.get(name), before.get(name), value, said)
        return result
    if (named := _named(new)) is not None and named:
        merged_items = applied(_named(live) or {}, _named(before) or {}, named, [_named(one) or {} for one in others])
        return list(merged_items.values())
    return copied(new)


def _without(live: Any, owned: Any) -> Any:
    """What is left of a value when its manager gives it back."""
    if isinstance(live, Mapping) and isinstance(owned, Mapping):
        left = {name: _without(value, owned[name]) if name in owned else value for name, value in live.items()}
        return {name: value for name, value in left.items() if name not in owned or value}
    if (named := _named(live)) is not None and (given := _named(owned)) is not None:
        return [item for name, item in named.items() if name not in given]
    return None


def _named(value: Any) -> Object | None:
    """A list that the apiserver merges by a name of its items."""
    if isinstance(value, list) and all(isinstance(item, Mapping) and "name" in item for item in value):
        return {item.get("mountPath", item["name"]): item for item in value}
    return None


class Stop(BaseException):
    """The process of the operator ends here: nothing of it is run any more."""


def _refuse_what_the_schema_does(status: Object) -> None:
    """As the apiserver: an integer beyond 64 bits is of another type, and the words of ``stage`` are open."""
    try:
        ModelServiceStatus.model_validate({name: value for name, value in status.items() if name != "stage"})
    except ValidationError as error:
        raise Invalid(str(error)) from None
    large = [number for number in _integers(status) if abs(number) >= 2**63]
    if large:
        raise Invalid(f"must be of type integer: {large[0]}")


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _integers(part)
    elif isinstance(value, int):
        yield value


class FakeKube:
    """``KubePort`` in memory; remembers writes, and raises what ``failures`` says for (verb, kind).

    ``queues``: what Kueue made for a Job, by its UID; None: the cluster has no Kueue.
    ``before_write``: what happens once, between the operator's decision and its write of that (verb, kind).
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.memory = Cache(WATCHES)
        self.objects: dict[Ref, Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.reads: list[tuple[str, str, str]] = []
        self.applied: dict[Ref, dict[str, Object]] = {}
        self.failures: dict[tuple[str, str], KubeError] = {}
        self.warnings: dict[str, list[Object]] = {}
        self.queues: dict[str, list[Object]] | None = None
        self.recorded: list[tuple[str, str]] = []
        self.stop: tuple[int, bool] | None = None
        self.names_in_a_page = 500
        self.before_write: dict[tuple[str, str], Callable[[], object]] = {}
        self.refuse_status: Callable[[Object], str | None] = lambda _: None
        self.webhooks: dict[Kind, Callable[[Object], object]] = {}
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    def stop_at(self, number: int | None, *, written: bool) -> None:
        """End the operator's process at the write of that number, before or after it was carried out."""
        self.stop = None if number is None else (number + 1, written)

    def _stop_if(self, *, written: bool) -> None:
        if self.stop == (len(self.writes), written):
            self.stop = None
            raise Stop

    def _fail(self, verb: str, kind: Kind) -> None:
        if (happens := self.before_write.pop((verb, kind.kind), None)) is not None:
            happens()
        error = self.failures.get((verb, kind.kind))
        if error is not None:
            raise error

    def store(self, obj: Object) -> Object:
        ref = ref_of(obj)
        known = self.objects.get(ref)
        return self._save(ref, merged(known or {"metadata": {}}, obj), always=True)

    def _save(self, ref: Ref, obj: Object, *, always: bool = False) -> Object:
        """Keep an object; a version is new only if something in it is, or ``always``."""
        known = self.objects.get(ref)
        if known is None:
            made = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            base: Object = {"uid": f"uid-{next(self._uids)}", "creationTimestamp": made, "generation": 0}
        else:
            base = {name: known["metadata"][name] for name in ("uid", "creationTimestamp", "generation")}
            base["resourceVersion"] = known["metadata"]["resourceVersion"]
        stored = {**copied(obj), "metadata": {**copied(obj["metadata"]), **base}}
        if ref.kind == MODEL_SERVICE:  # the CRD's default
            stored.setdefault("status", {"observedGeneration": NOT_OBSERVED})
        if ref.kind in self.webhooks:
            self.webhooks[ref.kind](stored)
        if always or stored != known:
            if known is None or stored.get("spec") != known.get("spec"):
                stored["metadata"]["generation"] += 1
            stored["metadata"]["resourceVersion"] = str(next(self._versions))
            self.objects[ref] = stored
        return copied(stored)

    def _end(self, ref: Ref, stored: Object) -> None:
        """What is being deleted goes with its last finalizer."""
        ends = stored["metadata"].get("deletionTimestamp") and not stored["metadata"].get("finalizers")
        if ref.kind == MODEL_SERVICE and ends:
            del self.objects[ref]

    def _expect(self, ref: Ref, uid: str | None) -> Object | None:
        found = self.objects.get(ref)
        if (found["metadata"]["uid"] if found else None) != uid:
            raise Conflict(f"{ref} exists" if uid is None else f"{ref} is not the one with UID {uid}")
        return found

    async def get(self, ref: Ref) -> Object | None:
        self.reads.append(("get", ref.kind.kind, ref.name))
        self._fail("get", ref.kind)
        return copied(self.objects.get(ref))

    async def get_metadata(self, ref: Ref) -> Object | None:
        self.reads.append(("get_metadata", ref.kind.kind, ref.name))
        found = self.objects.get(ref)
        return {"metadata": copied(found["metadata"])} if found else None

    async def names(self, kind: Kind, namespace: str) -> frozenset[str] | None:
        self.reads.append(("names", kind.kind, namespace))
        found = [ref.name for ref in self.objects if (ref.kind, ref.namespace) == (kind, namespace)]
        return frozenset(found) if len(found) <= self.names_in_a_page else None

    async def autoscalers_of(self, ref: Ref) -> tuple[str, ...]:
        self.reads.append(("autoscalers", "HorizontalPodAutoscaler", ref.namespace))
        self._fail("autoscalers", HORIZONTAL_POD_AUTOSCALER)
        scalers = (obj for one, obj in self.objects.items() if one.kind == HORIZONTAL_POD_AUTOSCALER)
        return tuple(one["metadata"]["name"] for one in scalers if one["spec"]["scaleTargetRef"]["name"] == ref.name)

    async def list_metadata(self, kind: Kind, *, label_selector: str | None = None) -> list[Object]:
        return [{"metadata": obj["metadata"]} for ref, obj in self.objects.items() if ref.kind == kind]

    async def apply(self, obj: Object, *, uid: str | None, manager: str = FIELD_MANAGER) -> Object:
        ref = ref_of(obj)
        self.writes.append(("apply", ref.kind.kind, ref.name))
        self._stop_if(written=False)
        self._fail("apply", ref.kind)
        found = self._expect(ref, uid)
        if found is None:
            self.applied.pop(ref, None)
        elif ref.kind == CONTROLLER_REVISION and found.get("data") != obj["data"]:
            raise Invalid("data: field is immutable")
        said = self.applied.setdefault(ref, {})
        others = [one for name, one in said.items() if name != manager]
        result = applied(found or {}, said.get(manager, {}), obj, others)
        said[manager] = copied(obj)
        if ref.kind == DEPLOYMENT:
            result["spec"].setdefault("replicas", 1)
        stored = self._save(ref, result)
        self._end(ref, stored)
        self._stop_if(written=True)
        self.memory.put(ref.kind, stored)
        return stored

    async def apply_status(self, obj: Object) -> Object:
        ref = ref_of(obj)
        self.writes.append(("status", ref.kind.kind, ref.name))
        self._stop_if(written=False)
        self._fail("status", ref.kind)
        found = self.objects.get(ref)
        if found is None or found["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        _refuse_what_the_schema_does(obj["status"])
        if words := self.refuse_status(obj["status"]):
            raise Invalid(words)
        stored = self._save(ref, {**found, "status": obj["status"]})
        self._stop_if(written=True)
        self.memory.put(ref.kind, stored)
        return stored

    async def adopt(self, ref: Ref, *, uid: str, metadata: Object) -> Object:
        self.writes.append(("adopt", ref.kind.kind, ref.name))
        self._stop_if(written=False)
        self._fail("adopt", ref.kind)
        found = self._expect(ref, uid)
        assert found is not None
        labels = {**found["metadata"].get("labels", {}), **metadata.get("labels", {})}
        owners = metadata.get("ownerReferences", found["metadata"].get("ownerReferences", []))
        stored = self._save(
            ref, {**found, "metadata": {**found["metadata"], "labels": labels, "ownerReferences": owners}}
        )
        self._stop_if(written=True)
        self.memory.put(ref.kind, stored)
        return stored

    async def strip(self, ref: Ref, *, uid: str, version: str, pointers: Sequence[str]) -> Object:
        self.writes.append(("strip", ref.kind.kind, ref.name))
        self._stop_if(written=False)
        self._fail("strip", ref.kind)
        found = self._expect(ref, uid)
        assert found is not None
        if found["metadata"]["resourceVersion"] != version:
            raise Conflict("the object has been modified")
        stripped = copied(found)
        for pointer in pointers:
            _remove(stripped, pointer)
        stored = self._save(ref, stripped)
        self._end(ref, stored)
        self._stop_if(written=True)
        self.memory.put(ref.kind, stored)
        return stored

    async def scale(self, ref: Ref, *, replicas: int, version: str) -> None:
        self.writes.append(("scale", ref.kind.kind, ref.name))
        self._stop_if(written=False)
        self._fail("scale", ref.kind)
        known = self.objects[ref]
        if known["metadata"]["resourceVersion"] != version:
            raise Conflict("the object has been modified")
        self.store({**known, "spec": {**known["spec"], "serving": {"replicas": replicas}}})
        self._stop_if(written=True)

    async def delete(self, ref: Ref, *, uid: str, propagation: str = "Background") -> None:
        self.writes.append(("delete", ref.kind.kind, ref.name))
        self._stop_if(written=False)
        self._fail("delete", ref.kind)
        if ref in self.objects:
            found = self._expect(ref, uid)
            assert found is not None
            if propagation == "Foreground" or found["metadata"].get("finalizers"):
                self.store({**found, "metadata": {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
            else:
                del self.objects[ref]
                self.applied.pop(ref, None)
        self._stop_if(written=True)

    async def last_events(self, namespace: str, uid: str) -> list[Object]:
        self.reads.append(("events", EVENT.kind, uid))
        return self.warnings.get(uid, [])

    async def workloads(self, namespace: str, job_uid: str) -> list[Object] | None:
        self.reads.append(("workloads", WORKLOAD.kind, job_uid))
        self._fail("list", WORKLOAD)
        return None if self.queues is None else self.queues.get(job_uid, [])

    async def record_event(self, regarding: Object, *, reason: str, message: str, warning: bool = False) -> None:
        self.recorded.append((reason, message))


def _remove(document: Any, pointer: str) -> None:
    """One ``remove`` of a JSON patch."""
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in way:
        document = document[int(part)] if isinstance(document, list) else document[part]
    del document[int(last) if isinstance(document, list) else last]


class FakeProgress:
    """``ProgressPort`` that answers what the test says, after ``seconds``; counts how often it was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.answer: Progress | None = None
        self.answers: dict[tuple[str, int], Answers] = {}
        self.seconds = 0.0
        self.asked = 0
        self._clock = clock

    async def read(self, address: str) -> Progress | None:
        self.asked += 1
        self._clock.seconds += self.seconds
        return self.answer

    async def read_answers(self, address: str, port: int) -> Answers | None:
        return self.answers.get((address, port))
