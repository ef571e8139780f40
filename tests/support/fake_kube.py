"""A small Kubernetes in memory: the ports that the reconciler reads and writes, with dictionaries."""

import asyncio
import copy
import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from modelservice.contract.progress import Progress
from modelservice_operator.constants import FIELD_MANAGER
from modelservice_operator.crd.status import ModelServiceStatus
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    ref_of,
)
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.errors import Conflict, Invalid, KubeError
from modelservice_operator.objects import Kind, Ref
from modelservice_operator.watches import WATCHES

Object = dict[str, Any]


class FakeClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    async def wait(self, event: asyncio.Event, timeout_seconds: float | None) -> bool:
        raise AssertionError("the reconciler must not wait")


def merged(old: Any, new: Any) -> Any:
    """Server-side apply as far as one manager of maps can tell; lists are replaced."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
    return copy.deepcopy(new)


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
    """``KubePort`` in memory; remembers writes, and raises what ``failures`` says for (verb, kind)."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.memory = Cache(WATCHES)
        self.objects: dict[Ref, Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.reads: list[tuple[str, str, str]] = []
        self.applied: dict[Ref, dict[str, Object]] = {}
        self.failures: dict[tuple[str, str], KubeError] = {}
        self.warnings: dict[str, list[Object]] = {}
        self.recorded: list[tuple[str, str]] = []
        self.stop: tuple[int, bool] | None = None
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
        error = self.failures.get((verb, kind.kind))
        if error is not None:
            raise error

    def store(self, obj: Object) -> Object:
        ref = ref_of(obj)
        known = self.objects.get(ref)
        fresh = {
            "uid": f"uid-{next(self._uids)}",
            "creationTimestamp": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generation": 0,
        }
        base = known or {"metadata": fresh}
        stored = merged(base, obj)
        if known is None or stored.get("spec") != known.get("spec"):
            stored["metadata"]["generation"] = base["metadata"]["generation"] + 1
        stored["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[ref] = stored
        return copy.deepcopy(stored)

    async def get(self, ref: Ref) -> Object | None:
        self.reads.append(("get", ref.kind.kind, ref.name))
        self._fail("get", ref.kind)
        return copy.deepcopy(self.objects.get(ref))

    async def get_metadata(self, ref: Ref) -> Object | None:
        self.reads.append(("get_metadata", ref.kind.kind, ref.name))
        found = self.objects.get(ref)
        return {"metadata": copy.deepcopy(found["metadata"])} if found else None

    async def list_metadata(self, kind: Kind, *, label_selector: str | None = None) -> list[Object]:
        return [{"metadata": obj["metadata"]} for ref, obj in self.objects.items() if ref.kind == kind]

    async def apply(self, obj: Object, *, manager: str = FIELD_MANAGER, fresh: bool = False) -> Object:
        ref = ref_of(obj)
        self.writes.append(("apply", ref.kind.kind, ref.name))
        self._stop_if(written=False)
        self._fail("apply", ref.kind)
        if fresh and ref in self.objects:
            raise Conflict(f"{ref} exists")
        if ref.kind == CONTROLLER_REVISION and self.objects.get(ref, obj).get("data") != obj["data"]:
            raise Invalid("data: field is immutable")
        previous = self.applied.setdefault(ref, {}).get(manager)
        if previous and ref in self.objects:
            others = [o for m, o in self.applied[ref].items() if m != manager]
            for field in set(previous.get("spec", {})) - set(obj.get("spec", {})):
                if not any(field in o.get("spec", {}) for o in others):
                    self.objects[ref]["spec"].pop(field, None)
        self.applied[ref][manager] = copy.deepcopy(obj)
        stored = self.store(obj)
        if ref.kind == DEPLOYMENT and "replicas" not in stored["spec"]:
            stored = self.store({**obj, "spec": {**obj["spec"], "replicas": 1}})
        self._stop_if(written=True)
        self.memory.put(ref.kind, stored)
        return stored

    async def apply_status(self, obj: Object) -> Object:
        ref = ref_of(obj)
        self.writes.append(("status", ref.kind.kind, ref.name))
        self._stop_if(written=False)
        self._fail("status", ref.kind)
        _refuse_what_the_schema_does(obj["status"])
        self.objects[ref] = {**self.objects[ref], "status": copy.deepcopy(obj["status"])}
        self.objects[ref]["metadata"] = {**self.objects[ref]["metadata"], "resourceVersion": str(next(self._versions))}
        stored = copy.deepcopy(self.objects[ref])
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
        found = self.objects.get(ref)
        if found is not None and found["metadata"]["uid"] == uid:
            if propagation == "Foreground":
                self.store({**found, "metadata": {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
            else:
                del self.objects[ref]
                self.applied.pop(ref, None)
        self._stop_if(written=True)

    async def events(self, namespace: str, uid: str) -> list[Object]:
        self.reads.append(("events", EVENT.kind, uid))
        return self.warnings.get(uid, [])

    async def record_event(self, regarding: Object, *, reason: str, message: str, warning: bool = False) -> None:
        self.recorded.append((reason, message))


class FakeProgress:
    """``ProgressPort`` that answers what the test says, after ``seconds``; counts how often it was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.answer: Progress | None = None
        self.seconds = 0.0
        self.asked = 0
        self._clock = clock

    async def read(self, address: str) -> Progress | None:
        self.asked += 1
        self._clock.seconds += self.seconds
        return self.answer
