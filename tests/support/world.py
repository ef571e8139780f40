"""A small Kubernetes in memory: the port that the reconciler writes to, and hands that play kubelet and controllers."""

import asyncio
import copy
import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import Failure
from modelservice.contract.manifest import CompressionSummary, DataSummary
from modelservice.contract.places import ORDER_PATH
from modelservice.contract.progress import Progress
from modelservice.contract.report import Report, Success
from modelservice.contract.resource import API_VERSION, KIND
from modelservice.contract.signature import ColumnKind, InputColumn, Output, Signature
from modelservice_operator.config import Settings
from modelservice_operator.constants import FIELD_MANAGER, LABEL_NAME, LABEL_STAGE, STAGE_CONTAINER
from modelservice_operator.crd.status import ModelServiceStatus
from modelservice_operator.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    JOB,
    MODEL_SERVICE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    WATCHED_KINDS,
    ref_of,
)
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.errors import Conflict, Invalid, KubeError
from modelservice_operator.objects import Key, Kind, Ref
from modelservice_operator.reconciler import Reconciler
from modelservice_operator.watches import WATCHES

Object = dict[str, Any]
NAMESPACE = "default"
CSV = "a,b,kind\n1,2,x\n3,4,y\n"


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


def evaluation(accuracy: float = 0.95) -> Evaluation:
    """What the test rows say."""
    return Evaluation(
        primary="accuracy",
        rows=20,
        metrics=(Metric(name="accuracy", value=accuracy, low=0.9, high=0.98), Metric(name="f1", value=0.9)),
    )


def signature() -> Signature:
    """One number in, one of two labels out."""
    return Signature(
        modality="table",
        task="Binary",
        target="kind",
        inputs=(InputColumn(name="a", type=ColumnKind.NUMBER, example=1.5),),
        outputs=(Output(name="label", datatype="BYTES"),),
    )


def success(key: str, **changes: Any) -> Success:
    """A report of a training that went well."""
    values: dict[str, Any] = {
        "stage": "train",
        "key": key,
        "digest": f"sha256:{key.encode().hex():0>64}",
        "family": "mlp",
        "task": "Multiclass",
        "evaluation": evaluation(),
        "data": DataSummary(sha256="sha256:" + "0" * 64, rows=150, features=4, classes=3),
        "parameters": 5000,
        "artifact_bytes": 20_000,
        "signature": signature(),
    }
    return Success(**{**values, **changes})


def compressed(key: str, *, drop: float = 0.0, smaller: bool = True, **changes: Any) -> Success:
    """A report of a compression: the accuracy falls by ``drop``, of which 0.005 is allowed."""
    summary = CompressionSummary(
        applied=smaller and drop <= 0.005,
        message=f"accuracy falls by {drop:g}, and may fall by 0.005",
        budget=0.005,
        drop=drop,
        low=drop,
        high=drop,
        bytes_before=20_000,
        bytes_after=5120 if smaller else 20_500,
    )
    return success(key, **{"stage": "compress", "compression": summary, "artifact_bytes": 6000, **changes})


class World:
    """One ModelService ``churn``, the operator's reconciler, and everything around it."""

    key = Key(NAMESPACE, "churn")

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.kube = FakeKube(self.clock)
        self.progress = FakeProgress(self.clock)
        self.settings = Settings(trainer_image="trainer:1", server_image="server:1", **settings)
        self.restart_operator()

    def restart_operator(self, **settings: Any) -> None:
        """A new process: only what Kubernetes holds is known."""
        self.settings = Settings.model_validate({**dict(self.settings), **settings})
        self.cache = self.kube.memory = Cache(WATCHES)
        self.reconciler = Reconciler(
            kube=self.kube, progress=self.progress, cache=self.cache, settings=self.settings, clock=self.clock
        )

    def config_map(self, text: str | None = CSV, *, name: str = "churn", **extra: Any) -> None:
        """Make, change or (None) delete the data."""
        ref = Ref(CONFIG_MAP, NAMESPACE, name)
        if text is None:
            self.kube.objects.pop(ref)
        else:
            metadata = {"name": name, "namespace": NAMESPACE}
            data = {"churn.csv": text, **extra}
            self.kube.store({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        self.clock.seconds += 60

    def service(self, **spec: Any) -> None:
        """Apply the ModelService; the spec is the smallest one, with these parts replaced."""
        ref = Ref(MODEL_SERVICE, *self.key)
        smallest = {"data": {"configMap": {"name": "churn"}, "target": "kind"}, "model": {"mlp": {}}}
        if ref in self.kube.objects:
            self.kube.objects[ref]["spec"] = {}
        self.kube.store(
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {"name": self.key.name, "namespace": NAMESPACE},
                "spec": {**smallest, **spec},
            }
        )

    def spec(self) -> Object:
        """What was applied."""
        spec: Object = self.kube.objects[Ref(MODEL_SERVICE, *self.key)]["spec"]
        return spec

    def sync(self) -> None:
        """Deliver all events: what is there, and what is no longer there."""
        for kind in WATCHED_KINDS:
            objects = [obj for ref, obj in self.kube.objects.items() if ref.kind == kind]
            self.cache.drop_ghosts(kind, self.cache.uids(kind), objects)
            for obj in objects:
                if kind == MODEL_SERVICE or LABEL_NAME in obj["metadata"].get("labels", {}):
                    self.cache.put(kind, copy.deepcopy(obj))

    def reconcile(self) -> float | None:
        """Deliver all events, then one pass."""
        self.sync()
        return asyncio.run(self.reconciler.reconcile(self.key))

    def settle(self) -> None:
        """Reconcile until nothing is written any more."""
        for _ in range(10):
            before = len(self.kube.writes)
            self.reconcile()
            if len(self.kube.writes) == before:
                return
        raise AssertionError(f"does not converge: {self.kube.writes[-5:]}")

    def all(self, kind: Kind) -> list[Object]:
        return [obj for ref, obj in self.kube.objects.items() if ref.kind == kind]

    def ours(self, kind: Kind) -> list[Object]:
        return [obj for obj in self.all(kind) if obj["metadata"].get("labels", {}).get(LABEL_NAME)]

    def one(self, kind: Kind) -> Object:
        (obj,) = self.ours(kind)
        return obj

    def running_jobs(self) -> list[Object]:
        """The Jobs that have not ended."""
        return [job for job in self.all(JOB) if not job.get("status", {}).get("conditions")]

    def job(self) -> Object:
        """The one Job that has not ended."""
        (job,) = self.running_jobs()
        return job

    def order(self, job: Object) -> Object:
        """What the pod of a Job is told."""
        order = self.kube.objects[Ref(CONFIG_MAP, NAMESPACE, job["metadata"]["name"])]
        told: Object = json.loads(order["data"][ORDER_PATH.rsplit("/", 1)[1]])
        return told

    def pod_of(self, job: Object, status: Object, *, suffix: str = "0") -> Object:
        """A pod of a Job, in this state."""
        labels = {
            **job["spec"]["template"]["metadata"]["labels"],
            "batch.kubernetes.io/controller-uid": job["metadata"]["uid"],
        }
        metadata = {"name": f"{job['metadata']['name']}-{suffix}", "namespace": NAMESPACE, "labels": labels}
        return self.kube.store({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})

    def bind_claims(self) -> None:
        for claim in self.all(PERSISTENT_VOLUME_CLAIM):
            self.kube.store({**claim, "status": {"phase": "Bound"}})

    def end_stage(
        self, result: Success | Failure | None = None, *, exit_code: int = 0, job_reason: str = "", oom: bool = False
    ) -> str:
        """The kubelet's and the Job controller's part: the pod ends, then the Job. Answers with the key."""
        job = self.job()
        order = self.order(job)
        key: str = order["key"]
        if isinstance(result, Failure):
            exit_code = result.exit_code
        elif result is None and exit_code == ExitCode.DONE:
            result = (compressed if order["work"]["stage"] == "compress" else success)(key)
        ended: Object = {"exitCode": exit_code, "message": Report(result=result).to_message() if result else ""}
        if oom:
            ended["reason"] = "OOMKilled"
        container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
        phase = "Succeeded" if exit_code == 0 else "Failed"
        self.pod_of(job, {"phase": phase, "containerStatuses": [container]})
        self.end_job(job, failed=exit_code != 0, reason=job_reason or "PodFailurePolicy")
        return key

    def end_job(self, job: Object, *, failed: bool, reason: str = "") -> None:
        condition = {"type": "Failed" if failed else "Complete", "status": "True", "reason": reason}
        self.kube.store({**job, "status": {"conditions": [condition]}})

    def finish_deletions(self) -> None:
        """Foreground deletion ends: pods first, then the Job."""
        for ref, obj in list(self.kube.objects.items()):
            if obj["metadata"].get("deletionTimestamp"):
                for pod_ref, pod in list(self.kube.objects.items()):
                    owner = pod["metadata"].get("labels", {}).get("batch.kubernetes.io/controller-uid")
                    if pod_ref.kind == POD and owner == obj["metadata"]["uid"]:
                        del self.kube.objects[pod_ref]
                del self.kube.objects[ref]
                self.kube.applied.pop(ref, None)

    def roll_out(self, available: int | None = None) -> None:
        """The Deployment controller's part: all pods are of the newest template."""
        deployment = self.one(DEPLOYMENT)
        desired = deployment["spec"].get("replicas", 1)
        for ref in [ref for ref, obj in self.kube.objects.items() if _serves(ref, obj)]:
            del self.kube.objects[ref]
        for number in range(desired):
            metadata = {
                "name": f"serve-{deployment['metadata']['generation']}-{number}",
                "namespace": NAMESPACE,
                "labels": deployment["spec"]["template"]["metadata"]["labels"],
            }
            status = {"phase": "Running"}
            self.kube.store({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})
        ready = desired if available is None else available
        numbers = {"replicas": desired, "updatedReplicas": desired, "availableReplicas": ready}
        self.kube.store(
            {**deployment, "status": {"observedGeneration": deployment["metadata"]["generation"], **numbers}}
        )

    def run_stages(self) -> str:
        """Every stage that is asked for runs and ends well. Answers with the key of the last one."""
        key = ""
        self.settle()
        while self.running_jobs():
            self.bind_claims()
            key = self.end_stage()
            self.settle()
        return key

    def serve(self, **spec: Any) -> str:
        """Bring it all the way: apply, run all stages, roll out."""
        self.config_map()
        self.service(**spec)
        key = self.run_stages()
        self.roll_out()
        self.settle()
        return key

    def leave_behind(self, kind: Kind) -> Object:
        """Delete the ModelService and all else but one child, which is left without an owner."""
        (left,) = self.ours(kind)
        del left["metadata"]["ownerReferences"]
        self.kube.objects = {ref_of(left): left}
        self.kube.applied.clear()
        return left

    def status(self) -> Object:
        status: Object = self.kube.objects[Ref(MODEL_SERVICE, *self.key)].get("status", {})
        return status

    def condition(self, kind: str) -> Object:
        return next((c for c in self.status().get("conditions", []) if c["type"] == kind), {})

    def ready(self) -> tuple[str, str]:
        """Status and reason of Ready."""
        return self.condition("Ready")["status"], self.condition("Ready")["reason"]

    def writes_since(self, count: int) -> list[tuple[str, str, str]]:
        return self.kube.writes[count:]


def _serves(ref: Ref, obj: Object) -> bool:
    return ref.kind == POD and obj["metadata"].get("labels", {}).get(LABEL_STAGE) == "serve"


def without_image(image: str) -> dict[str, Any]:
    """Status of a pod whose image cannot be pulled."""
    waiting = {"name": "any", "image": image, "state": {"waiting": {"reason": "ErrImagePull"}}}
    return {"phase": "Pending", "containerStatuses": [waiting]}
