"""The Job that deletes artifacts from object storage: told all that it does by its arguments, so it is one object."""

from collections.abc import Sequence

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.keys import ATTEMPT_LENGTH, short_hash
from modelservice.contract.pods import Resources
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.constants import ANNOTATION_RUN, LABEL_QUEUE, STAGE_CONTAINER, STAGE_DELETE
from modelservice_operator.domain.builders.job import failure_rules
from modelservice_operator.domain.builders.pods import build_container, build_pod, merged_resources
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.names import final_job_name, job_name, parse_job_name
from modelservice_operator.domain.stages.base import pod_settings
from modelservice_operator.domain.stores import settled_artifacts, store_of
from modelservice_operator.objects import Object

DELETION_SECONDS = 240
"""For its pod to start, and to list and delete a few dozen objects of each key; less than a deletion waits for it."""

_RESTARTS = 4
_RESOURCES = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
_KEPT_SECONDS = 600
"""How long a Job that nobody owns is left for its log."""
_ANY_ACCOUNT = "default"
"""The ServiceAccount that is in every namespace: our own one is deleted with the ModelService."""


def build_deletion(owner: Owner, spec: ModelServiceSpec, settings: Settings, key: str, *, after: str = "") -> Object:
    """The Job for one key, a child like any other, in the queue of the stages: nobody waits for it.

    It is named by all that it says and by the Job ``after`` which it is the next try. An annotation has a hash of what
    it says alone.
    """
    job, queue = _job(_pod(owner, spec, settings, [key], label=key, account=owner.name)), spec.training.queue_name
    said: object = job if queue is None else [job, queue]
    attempt = short_hash([said, after], length=ATTEMPT_LENGTH)
    metadata = owner.metadata(
        job_name(owner.name, stage=STAGE_DELETE, key=key, attempt=attempt), stage=STAGE_DELETE, key=key
    )
    metadata["annotations"] = {ANNOTATION_RUN: short_hash(said, length=8)}
    if queue is not None:
        metadata["labels"][LABEL_QUEUE] = queue
        job["spec"]["suspend"] = True
    return {**job, "metadata": metadata}


def build_final_deletion(owner: Owner, spec: ModelServiceSpec, settings: Settings, keys: Sequence[str]) -> Object:
    """The one Job for all keys of a ModelService that is being deleted.

    It belongs to nobody: with ``--cascade=foreground`` everything that the ModelService owns is gone before it, and so
    is our ServiceAccount. It goes by itself some time after it ended. It is in no queue: the ModelService waits for it,
    and not for long, so where the queue is full, or gone, everything would be left.
    """
    name = final_job_name(owner.name, owner.uid)
    parsed = parse_job_name(owner.name, name)
    assert parsed is not None  # noqa: S101 - just made
    _, label, _ = parsed
    template = _pod(owner, spec, settings, keys, label=label, account=_ANY_ACCOUNT)
    metadata = owner.metadata(name, stage=STAGE_DELETE, key=label)
    del metadata["ownerReferences"]
    job = _job(template)
    return {**job, "metadata": metadata, "spec": {**job["spec"], "ttlSecondsAfterFinished": _KEPT_SECONDS}}


def _job(template: Object) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": _RESTARTS,
            "activeDeadlineSeconds": DELETION_SECONDS,
            "podFailurePolicy": {"rules": failure_rules()},
            "template": template,
        },
    }


def _pod(
    owner: Owner, spec: ModelServiceSpec, settings: Settings, keys: Sequence[str], *, label: str, account: str
) -> Object:
    """Runs as pods that train do, whose rights it needs, on a small part of a CPU."""
    artifacts = settled_artifacts(spec, settings)
    store = store_of(artifacts)
    access = store.access(store.locate(artifacts, owner, keys[0]), {}, volume="", path="", writable=True)
    pods = pod_settings(spec.training).model_copy(update={"resources": Resources()})
    container = build_container(
        pods,
        settings,
        name=STAGE_CONTAINER,
        image=settings.trainer_image,
        args=["delete-artifacts", *_arguments(artifacts, owner), *keys],
        resources=merged_resources(pods.resources, _RESOURCES),
        mounts=[],
        access=[access],
    )
    template = build_pod(
        pods,
        settings,
        labels=owner.labels(stage=STAGE_DELETE, key=label),
        account=account,
        containers=[container],
        volumes=[],
        access=[access],
    )
    template["spec"] |= {"restartPolicy": "Never"}
    return template


def _arguments(artifacts: Artifacts, owner: Owner) -> list[str]:
    return [f"--uri={artifacts.uri}", f"--namespace={owner.namespace}", f"--name={owner.name}"]
