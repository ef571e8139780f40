"""One ModelService on the small Kubernetes in memory, and hands that play kubelet and controllers."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.support.fake_kube import FakeClock, FakeKube, FakeProgress, Stop, copied

from modelservice.contract.comparison import ComparedMetric, Comparison
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import Failure
from modelservice.contract.manifest import CompressionSummary, DataSummary
from modelservice.contract.places import ORDER_PATH
from modelservice.contract.report import Compared, Report, Success
from modelservice.contract.resource import API_VERSION, KIND
from modelservice.contract.signature import ColumnKind, InputColumn, Output, Signature
from modelservice.contract.sizes import Tried
from modelservice_operator.config import Settings
from modelservice_operator.constants import (
    ANNOTATION_REPLICA_SET,
    LABEL_NAME,
    LABEL_STAGE,
    STAGE_CONTAINER,
    STAGE_DELETE,
)
from modelservice_operator.data_watch import DATA_WATCH
from modelservice_operator.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    MODEL_SERVICE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICA_SET,
    WATCHED_KINDS,
    ref_of,
)
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.objects import Key, Kind, Ref
from modelservice_operator.reconciler import WRITTEN_SECONDS, Reconciler
from modelservice_operator.watches import WATCHES

Object = dict[str, Any]
NAMESPACE = "default"
_WATCHES = {watch.kind: watch for watch in WATCHES}
CSV = "a,b,kind\n1,2,x\n3,4,y\n"
MOMENT_SECONDS = 1.0
"""A pass that is to be repeated sooner than this holds something back."""

_PVC_PROTECTION = "kubernetes.io/pvc-protection"


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
        before=Tried(name="as it was trained", bytes=20_000, metric=0.95),
        after=Tried(name="quantize", parameters=1250, bytes=5120, metric=0.95, low=0.9, high=0.98, chosen=True),
        controls=(Tried(name="from scratch", bytes=5120, metric=0.9, control=True),),
    )
    return success(key, **{"stage": "compress", "compression": summary, "artifact_bytes": 6000, **changes})


def fetched(key: str, work: Object) -> Object:
    """What a report says of what was taken over: its own digest, or one that is made of what is pretrained."""
    given = work.get("source") or work["pretrained"]
    digest = work["source"]["digest"] if "source" in work else f"sha256:{key.encode().hex():0>64}"
    return {"digest": digest, "source": given["uri"]}


def compared(
    key: str, *, worse: float, width: float = 0.02, rows: int = 20, names: tuple[str, ...] = ("accuracy",)
) -> Compared:
    """A report of a comparison: the candidate is so much worse than 0.9, give or take ``width``."""
    found = {"candidate": 0.9 - worse, "current": 0.9, "worse": worse, "low": worse - width, "high": worse + width}
    metrics = tuple(ComparedMetric(name=name, **found) for name in names)
    return Compared(stage="compare", key=key, comparison=Comparison(rows=rows, metrics=metrics))


def image_digest(key: str) -> str:
    """What a registry knows the image of a key by."""
    return f"sha256:{key.encode().hex():f>64}"


_REPORTS: dict[str, Callable[[str, Object], Success | Compared]] = {
    "train": lambda key, _: success(key),
    "compress": lambda key, _: compressed(key),
    "compare": lambda key, work: compared(key, worse=-0.05, names=tuple(work["metrics"])),
    "fetch": lambda key, work: success(key, stage="fetch", **fetched(key, work)),
}
"""What the pod of a stage reports that goes well, by what it was told."""


def _ended(job: Object) -> bool:
    return any(one["type"] in {"Complete", "Failed"} for one in job.get("status", {}).get("conditions", ()))


def ends(writes: int) -> list[tuple[int, bool]]:
    """Where the process of an operator may end among so many writes: the number of one, and whether it was written.

    After each of them, and before the first: before any other there is what there was after the one before.
    """
    return [(0, False), *((number, True) for number in range(writes))]


class World:
    """One ModelService ``churn``, the operator's reconciler, and everything around it."""

    key = Key(NAMESPACE, "churn")

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.kube = FakeKube(self.clock)
        self.progress = FakeProgress(self.clock)
        self.settings = Settings(trainer_image="trainer:1", server_image="server:1", **settings)
        self.restart_operator()

    def reconcile_or_restart(self) -> None:
        """One pass, and a new process where the old one ends in it."""
        try:
            self.reconcile()
        except Stop:
            self.restart_operator()

    def restart_operator(self, **settings: Any) -> None:
        """A new process: only what Kubernetes holds is known."""
        self.settings = Settings.model_validate({**dict(self.settings), **settings})
        self.cache = self.kube.memory = Cache(WATCHES)
        self.asked: list[Key] = []
        self.reconciler = Reconciler(
            kube=self.kube,
            progress=self.progress,
            cache=self.cache,
            settings=self.settings,
            clock=self.clock,
            on_change=self.asked.append,
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
        """Apply the ModelService; the spec is the smallest one, with these parts replaced, or left out where None."""
        ref = Ref(MODEL_SERVICE, *self.key)
        smallest = {"data": {"configMap": {"name": "churn"}, "target": "kind"}, "model": {"mlp": {}}}
        if ref in self.kube.objects:
            self.kube.objects[ref]["spec"] = {}
        self.kube.store(
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {"name": self.key.name, "namespace": NAMESPACE},
                "spec": {name: part for name, part in {**smallest, **spec}.items() if part is not None},
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
            self.cache.drop_ghosts(kind, self.cache.uids(kind), objects)  # what only lost its label is looked for
            for obj in objects:
                if _WATCHES[kind].selects(obj) or obj["metadata"]["uid"] in self.cache.uids(kind):
                    self.cache.put(kind, copied(obj))
        tables = self.all(CONFIG_MAP)
        for obj in tables:
            self.reconciler.data_watch.put(CONFIG_MAP, obj)
        uids = {obj["metadata"]["uid"] for obj in tables}
        self.reconciler.data_watch.leave_out(DATA_WATCH, None, uids, 0)

    def reconcile(self) -> float | None:
        """Deliver all events, then one pass."""
        self.sync()
        return self.reconcile_unaware()

    def reconcile_unaware(self) -> float | None:
        """One pass while events are still on their way: on what the cache knows."""
        return asyncio.run(self._pass())

    def look(self) -> float | None:
        """Deliver all events, then one pass alone: what it writes is not said yet."""
        self.sync()
        return asyncio.run(self.reconciler.reconcile(self.key))

    async def _pass(self) -> float | None:
        """A pass; another one where something that is looked up beside the workers changed."""
        again = await self._written_and_said()
        if any([await lookups.ask_due() for lookups in self.reconciler.lookups]):
            again = await self._written_and_said()
        return again

    async def _written_and_said(self) -> float | None:
        """A pass, and the one in which it is said what the first one wrote, as soon as that is."""
        again = await self.reconciler.reconcile(self.key)
        return await self.reconciler.reconcile(self.key) if again == WRITTEN_SECONDS else again

    def settle(self) -> None:
        """Reconcile until nothing is written any more; what is held back for a moment is waited for."""
        for _ in range(12):
            before = len(self.kube.writes)
            again = self.reconcile()
            if len(self.kube.writes) == before:
                if again is None or again > MOMENT_SECONDS:
                    return
                self.clock.seconds += again
        raise AssertionError(f"does not converge: {self.kube.writes[-5:]}")

    def all(self, kind: Kind) -> list[Object]:
        return [obj for ref, obj in self.kube.objects.items() if ref.kind == kind]

    def ours(self, kind: Kind) -> list[Object]:
        return [obj for obj in self.all(kind) if obj["metadata"].get("labels", {}).get(LABEL_NAME)]

    def records(self) -> list[Object]:
        """What stages came to; stored templates are apart."""
        return [obj for obj in self.ours(CONTROLLER_REVISION) if obj["data"]["kind"] == "StageRecord"]

    def one(self, kind: Kind) -> Object:
        (obj,) = self.ours(kind)
        return obj

    def running_jobs(self) -> list[Object]:
        """The Jobs of stages that have not ended."""
        stages = (job for job in self.all(JOB) if job["metadata"].get("labels", {}).get(LABEL_STAGE) != STAGE_DELETE)
        return [job for job in stages if not _ended(job)]

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
        template = job["spec"]["template"]
        labels = {**template["metadata"]["labels"], "batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
        metadata = {
            "name": f"{job['metadata']['name']}-{suffix}",
            "namespace": NAMESPACE,
            "labels": labels,
            "ownerReferences": controlled_by(job),
        }
        spec = {**template["spec"], "nodeName": "node"}
        return self.kube.store(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}
        )

    def bind_claims(self) -> None:
        for claim in self.all(PERSISTENT_VOLUME_CLAIM):
            self.kube.store({**claim, "status": {"phase": "Bound"}})

    def end_stage(
        self,
        result: Success | Compared | Failure | None = None,
        *,
        exit_code: int = 0,
        job_reason: str = "",
        oom: bool = False,
    ) -> str:
        """The kubelet's and the Job controller's part: the pod ends, then the Job. Answers with the key."""
        job = self.job()
        order = self.order(job)
        key: str = order["key"]
        if isinstance(result, Failure):
            exit_code = result.exit_code
        elif result is None and exit_code == ExitCode.DONE:
            result = _REPORTS[order["work"]["stage"]](key, order["work"])
            if order["artifact"].startswith("oci"):
                result = result.model_copy(update={"stored_as": image_digest(key)})
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

    def delete_service(self) -> None:
        """Somebody deletes the ModelService, which goes at once unless a finalizer holds it."""
        ref = Ref(MODEL_SERVICE, *self.key)
        service = self.kube.objects[ref]
        if service["metadata"].get("finalizers"):
            marks = {"deletionTimestamp": self.clock.now().isoformat()}
            self.kube.store({**service, "metadata": {**service["metadata"], **marks}})
        else:
            self.remove(ref)

    def finish_deletions(self) -> None:
        """Foreground deletion ends: pods first, then the Job. What a finalizer holds stays."""
        for ref, obj in list(self.kube.objects.items()):
            if obj["metadata"].get("deletionTimestamp") and not obj["metadata"].get("finalizers"):
                self.remove(ref)
        self.collect_garbage()

    def remove(self, ref: Ref) -> None:
        """An object is gone from one moment to the next."""
        del self.kube.objects[ref]
        self.kube.applied.pop(ref, None)

    def collect_garbage(self) -> None:
        """The garbage collector's part: what a Job, a Deployment or a ReplicaSet controlled goes with it."""
        for _ in range(2):  # a Deployment's ReplicaSets, then their pods
            uids = {obj["metadata"]["uid"] for obj in self.kube.objects.values()}
            for ref, obj in list(self.kube.objects.items()):
                owners = obj["metadata"].get("ownerReferences", ())
                if ref.kind in (REPLICA_SET, POD) and owners and not any(one["uid"] in uids for one in owners):
                    self.remove(ref)

    def collect_all_garbage(self) -> None:
        """The garbage collector's part: what has no owner left goes, what has one loses those that are gone."""
        for _ in range(4):  # what a Job made goes after it
            uids = {obj["metadata"]["uid"] for obj in self.kube.objects.values()}
            for ref, obj in list(self.kube.objects.items()):
                owners = obj["metadata"].get("ownerReferences", [])
                there = [one for one in owners if one["uid"] in uids]
                if owners and not there:
                    self.remove(ref)
                elif there != owners:
                    self.kube.store({**obj, "metadata": {**obj["metadata"], "ownerReferences": there}})

    def delete_claim(self, name: str) -> None:
        """Somebody deletes a claim, which goes once no pod needs it (see ``protect_claims``)."""
        claim = self.kube.objects[Ref(PERSISTENT_VOLUME_CLAIM, NAMESPACE, name)]
        marks = {"deletionTimestamp": self.kube.clock.now().isoformat(), "finalizers": [_PVC_PROTECTION]}
        self.kube.store({**claim, "metadata": {**claim["metadata"], **marks}})

    def protect_claims(self) -> None:
        """The part of pvc-protection: a claim that is deleted stays while a pod on a node, ended or not, names it."""
        used = {
            volume["persistentVolumeClaim"]["claimName"]
            for pod in self.all(POD)
            for volume in pod.get("spec", {}).get("volumes", ())
            if "persistentVolumeClaim" in volume and pod["spec"].get("nodeName")
        }
        for claim in self.all(PERSISTENT_VOLUME_CLAIM):
            if claim["metadata"].get("deletionTimestamp") and claim["metadata"]["name"] not in used:
                self.remove(ref_of(claim))

    def deployment(self, name: str | None = None) -> Object:
        """What serves, or the canary beside it by its name."""
        return self.kube.objects[Ref(DEPLOYMENT, NAMESPACE, name or self.key.name)]

    def roll_out(self, available: int | None = None, *, name: str | None = None) -> None:
        """The Deployment controller's part: all pods are of the newest template, and ``available`` of them ready."""
        deployment = self.deployment(name)
        desired = deployment["spec"].get("replicas", 1)
        made = {obj["metadata"]["uid"] for obj in self.all(REPLICA_SET) if _is_of(obj, deployment)}
        for ref, obj in list(self.kube.objects.items()):
            if ref.kind == POD and any(one["uid"] in made for one in obj["metadata"].get("ownerReferences", ())):
                del self.kube.objects[ref]
        ready = desired if available is None else available
        for number in range(desired):
            self.serving_pod(ready=number < ready, suffix=str(number), name=name)
        numbers = {"replicas": desired, "updatedReplicas": desired, "availableReplicas": ready}
        deployment = self.deployment(name)
        self.kube.store(
            {**deployment, "status": {"observedGeneration": deployment["metadata"]["generation"], **numbers}}
        )

    def serving_pod(self, *, ready: bool = True, suffix: str = "0", name: str | None = None, **status: Any) -> Object:
        """A pod of the Deployment's template as it is, made by a ReplicaSet."""
        deployment = self.deployment(name)
        template, generation = deployment["spec"]["template"], deployment["metadata"]["generation"]
        labels = {**template["metadata"]["labels"], "pod-template-hash": str(generation)}
        metadata = {
            "name": f"{deployment['metadata']['name']}-{generation}",
            "namespace": NAMESPACE,
            "labels": labels,
            "ownerReferences": controlled_by(deployment),
            "annotations": {ANNOTATION_REPLICA_SET: str(generation)},
        }
        known = deployment["metadata"].get("annotations", {})
        turn = {**deployment["metadata"], "annotations": {**known, ANNOTATION_REPLICA_SET: str(generation)}}
        self.kube.store({**deployment, "metadata": turn})
        replica_set = self.kube.store({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata})
        now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": now}
        owned = {"name": f"{metadata['name']}-{suffix}", "ownerReferences": controlled_by(replica_set)}
        owned["annotations"] = template["metadata"].get("annotations", {})
        return self.kube.store(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**metadata, **owned},
                "spec": {**template["spec"], "nodeName": "node"},
                "status": {"phase": "Running", "conditions": [condition], **status},
            }
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


def controlled_by(owner: Object) -> list[Object]:
    """The references of what a controller made for this object."""
    names = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
    return [{**names, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}]


def _is_of(obj: Object, owner: Object) -> bool:
    return any(one["uid"] == owner["metadata"]["uid"] for one in obj["metadata"].get("ownerReferences", ()))


def without_image(image: str) -> dict[str, Any]:
    """Status of a pod whose image cannot be pulled."""
    waiting = {"name": "any", "image": image, "state": {"waiting": {"reason": "ErrImagePull"}}}
    return {"phase": "Pending", "containerStatuses": [waiting]}
