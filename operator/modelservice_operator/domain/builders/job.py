"""The objects of one attempt at a stage: its work order and its Job."""

from typing import Any, NamedTuple

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.keys import ATTEMPT_LENGTH, short_hash
from modelservice.contract.places import (
    ARTIFACTS_PATH,
    CURRENT_PATH,
    DATA_PATH,
    ORDER_PATH,
    PARENT_PATH,
    POD_UID_ENV,
    PROGRESS_PORT,
    RENDEZVOUS_ENV,
    SHARED_MEMORY_PATH,
)
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.training import Parallelism
from modelservice_operator.config import Settings
from modelservice_operator.constants import ANNOTATION_RUN, LABEL_QUEUE, STAGE_CONTAINER
from modelservice_operator.domain.builders.encryption import current_secret, secret_of, shared_secret, with_keys
from modelservice_operator.domain.builders.peers import SHARED_MEMORY, build_peers, rendezvous_host
from modelservice_operator.domain.builders.pods import build_container, build_pod, merged_resources, plain
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.metadata import Children, Owner
from modelservice_operator.domain.names import job_name
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.stages import Assignment, JobSettings, Parent, Step, Work
from modelservice_operator.domain.stores import Access, location_of, settled_artifacts, store_of
from modelservice_operator.kinds import ref_of
from modelservice_operator.objects import Object
from modelservice_operator.remembering import remembered

DEFAULT_RESOURCES = {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
"""Enough for torch (0.5 GB resident) and a small table; runs on a small CPU cluster."""

GRACE_SECONDS = 60
"""For the step under way and one more checkpoint, when a pod is asked to end."""

FINAL_EXIT_CODES = frozenset({ExitCode.ORDER_INVALID, ExitCode.DATA_INVALID})
"""These would only come again: the Job fails with the first of them.

KILLED is none: beside an OOM kill it is how a pod ends that was deleted and did not stop in time, or whose node died.
"""

_ORDER_FOLDER, _, _ORDER_FILE = ORDER_PATH.rpartition("/")


def run_hash(step: Step, spec: ModelServiceSpec, settings: Settings, *, data: DataState) -> str:
    """Hash of how the Job of a step runs, apart from the image: an upgrade does not stop a training under way.

    Where the data is mounted from counts, although it is in no key: a pod would wait for ever for a ConfigMap that was
    renamed before it started. So does the Secret that opens it.
    """
    data = step.stage.reads(spec, data)
    address = [data.address] if data.address else []
    runs = _runs(step.stage, spec, settings)
    return short_hash([*runs, data.file, data.volume, *data.env_from, *address], length=8)


@remembered(1024)
def _runs(stage: Work, spec: ModelServiceSpec, settings: Settings) -> list[Any]:
    """What spec and settings say of how the Job of a stage runs."""
    job, artifacts = stage.job(spec), settled_artifacts(spec, settings)
    store = store_of(artifacts)
    runs = [plain(job.pods), job.timeout_seconds, job.max_restarts, store.choice, store.settings(artifacts)]
    if artifacts.encryption is not None:
        runs.append(plain(artifacts.encryption))
    if job.workers > 1 or job.parallelism is not Parallelism.DATA:  # one pod may hold several GPUs
        runs += [job.workers, job.parallelism]
    if job.queue_name is not None:
        runs.append({"queueName": job.queue_name})
    return runs


def attempt_id(
    step: Step, spec: ModelServiceSpec, settings: Settings, *, data: DataState, parent: Revision | None, retry: int
) -> str:
    """Name of an attempt: whatever its order or its Job say otherwise is another attempt.

    That is another way to run, another image or another way to pull it, another parent (one that was made again has
    another digest), or another try.
    """
    pull = [settings.trainer_image, settings.image_pull_policy, *settings.image_pull_secrets]
    origin = [parent.record.artifact.uri, parent.digest] if parent else None
    against = [step.against.record.artifact.uri] if step.against else []
    return short_hash([run_hash(step, spec, settings, data=data), pull, origin, retry, *against], length=ATTEMPT_LENGTH)


class AttemptObjects(NamedTuple):
    """What one attempt at a step consists of, in the order in which it is made.

    ``store`` is what the store needs for the key; order and Job are named by all that they say, and so is what several
    workers reach each other by.
    """

    store: tuple[Object, ...]
    order: Object
    peers: tuple[Object, ...]
    job: Object


def build_attempt(
    step: Step,
    *,
    owner: Owner,
    spec: ModelServiceSpec,
    settings: Settings,
    data: DataState,
    children: Children,
    parent: Revision | None,
    attempt: str,
) -> AttemptObjects:
    """The objects of one attempt; ``parent`` is the result that the step starts from."""
    artifacts, data = settled_artifacts(spec, settings), step.stage.reads(spec, data)
    needed = () if step.against else store_of(artifacts).children(artifacts, owner, step.key)
    there = _with(children, needed)
    start = _reached(parent, artifacts, there, volume="parent", path=PARENT_PATH)
    against = _reached(step.against, artifacts, there, volume="current", path=CURRENT_PATH)
    result = None if against else _written(step, artifacts, owner, there, parent=parent)
    assignment = Assignment(
        owner=owner,
        key=step.key,
        address=result.address if result else "",
        data=data,
        parent=_origin(start, parent),
        against=_origin(against, step.against),
    )
    name = job_name(owner.name, stage=step.stage.name, key=step.key, attempt=attempt)
    order = _build_order(name, step, spec, assignment)
    if start and against:
        start = with_keys(start, shared_secret(artifacts, (parent, step.against)))
    access = [one for one in (result, start, against) if one]
    job = _build_job(name, step, spec, settings, owner=owner, data=data, access=access)
    peers = build_peers(owner, name, stage=step.stage.name, key=step.key) if step.stage.job(spec).workers > 1 else ()
    return AttemptObjects(store=needed, order=order, peers=peers, job=job)


def _written(step: Step, artifacts: Artifacts, owner: Owner, there: Children, *, parent: Revision | None) -> Access:
    """What the pod needs to store its result, and to open what that is made of."""
    store = store_of(artifacts)
    location = store.locate(artifacts, owner, step.key)
    result = store.access(location, there, volume="artifacts", path=ARTIFACTS_PATH, writable=True)
    of_parent = secret_of(parent.record.artifact, artifacts) if parent else None
    encrypts = artifacts.encryption.secret_ref.key if artifacts.encryption else None
    return with_keys(result, current_secret(artifacts) or of_parent, encrypts=encrypts)


def _reached(
    revision: Revision | None, artifacts: Artifacts, there: Children, *, volume: str, path: str
) -> Access | None:
    """What the pod needs to read a result."""
    if revision is None:
        return None
    store, location = location_of(revision.record, artifacts)
    return store.access(location, there, volume=volume, path=path, writable=False)


def _origin(access: Access | None, revision: Revision | None) -> Parent | None:
    if access is None or revision is None:
        return None
    return Parent(address=access.address, digest=revision.digest, number=revision.number)


def build_end(job: Object) -> Object:
    """Says only that a Job has no more tries, under a second field manager: its controller ends it as failed."""
    metadata = {name: job["metadata"][name] for name in ("name", "namespace")}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"backoffLimit": 0}}


def _with(children: Children, made: tuple[Object, ...]) -> Children:
    """The children as they will be when ``made`` is there too."""
    together = {kind: list(objects) for kind, objects in children.items()}
    for obj in made:
        known = together.setdefault(ref_of(obj).kind, [])
        if all(other["metadata"]["name"] != obj["metadata"]["name"] for other in known):
            known.append(obj)
    return together


def _build_order(name: str, step: Step, spec: ModelServiceSpec, assignment: Assignment) -> Object:
    """The immutable ConfigMap that tells one attempt what to do."""
    order = step.stage.order(spec, assignment)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": assignment.owner.metadata(name, stage=step.stage.name, key=step.key),
        "immutable": True,
        "data": {_ORDER_FILE: order.model_dump_json(exclude_none=True)},
    }


def _build_job(
    name: str,
    step: Step,
    spec: ModelServiceSpec,
    settings: Settings,
    *,
    owner: Owner,
    data: DataState,
    access: list[Access],
) -> Object:
    """The Job. Exit codes decide: what is wrong with the data waits for a change, disruptions are not counted."""
    job = step.stage.job(spec)
    template = build_pod(
        job.pods,
        settings,
        labels=owner.labels(stage=step.stage.name, key=step.key),
        account=owner.name,
        containers=[_build_container(job, settings, data, access, rendezvous=rendezvous_host(name, owner.namespace))],
        volumes=[
            {"name": "order", "configMap": {"name": name}},
            *([{"name": "data", **data.volume}] if data.volume else []),
            *([SHARED_MEMORY] if _has_processes(job) else []),
        ],
        access=access,
    )
    template["spec"] |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": GRACE_SECONDS}
    together: Object = {}
    if job.workers > 1:
        template["spec"]["subdomain"] = name
        together = {"completionMode": "Indexed", "completions": job.workers, "parallelism": job.workers}
    metadata = owner.metadata(name, stage=step.stage.name, key=step.key)
    metadata["annotations"] = {ANNOTATION_RUN: run_hash(step, spec, settings, data=data)}
    queued: Object = {}
    if job.queue_name is not None:
        metadata["labels"][LABEL_QUEUE] = job.queue_name
        queued = {"suspend": True}  # so that nothing runs where Kueue, or its webhook, is not there
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            **together,
            **queued,
            # A worker that is lost ends all others, and each of these pods counts.
            "backoffLimit": job.max_restarts * job.workers,
            "activeDeadlineSeconds": job.timeout_seconds,
            "podFailurePolicy": {"rules": failure_rules()},
            "template": template,
        },
    }


def _has_processes(job: JobSettings) -> bool:
    """Whether several processes may train, which pass data through shared memory where they share a pod."""
    return job.workers > 1 or job.pods.resources.gpus > 1


def _build_container(
    job: JobSettings, settings: Settings, data: DataState, access: list[Access], *, rendezvous: str
) -> Object:
    container = build_container(
        job.pods,
        settings,
        name=STAGE_CONTAINER,
        image=settings.trainer_image,
        args=["stage", "--order", ORDER_PATH],
        resources=merged_resources(job.pods.resources, DEFAULT_RESOURCES),
        mounts=[
            {"name": "order", "mountPath": _ORDER_FOLDER, "readOnly": True},
            *([{"name": "data", "mountPath": DATA_PATH, "readOnly": True}] if data.volume else []),
            *([{"name": SHARED_MEMORY["name"], "mountPath": SHARED_MEMORY_PATH}] if _has_processes(job) else []),
        ],
        access=access,
    )
    if job.workers > 1:
        container["env"].append({"name": RENDEZVOUS_ENV, "value": rendezvous})
    if data.env_from:
        container["envFrom"] = [*container.get("envFrom", ()), *data.env_from]
    container["env"].append({"name": POD_UID_ENV, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}})
    container["ports"] = [{"name": "progress", "containerPort": PROGRESS_PORT}]
    return container


def failure_rules() -> list[Object]:
    """The first rule that matches decides: a lost node is nobody's fault, these exit codes would only come again."""
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {
                "containerName": STAGE_CONTAINER,
                "operator": "In",
                "values": sorted(map(int, FINAL_EXIT_CODES)),
            },
        },
    ]
