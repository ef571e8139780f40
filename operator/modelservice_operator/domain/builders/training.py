"""The objects of one training attempt: its claim, its task and its Job."""

from modelservice.contract.artifacts import AccessMode, VolumeClaim
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.keys import ATTEMPT_LENGTH, short_hash
from modelservice.contract.places import (
    ARTIFACTS_PATH,
    DATA_PATH,
    POD_UID_ENV,
    PROGRESS_PORT,
    TASK_PATH,
)
from modelservice.contract.quantities import canonical_quantity
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.task import Task
from modelservice.contract.training import Hyperparameters
from modelservice_operator.config import Settings
from modelservice_operator.constants import ANNOTATION_RUN, STAGE_TRAIN, TRAINING_CONTAINER
from modelservice_operator.domain.builders.pods import build_container, build_pod, merged_resources, plain
from modelservice_operator.domain.metadata import Object, Owner
from modelservice_operator.domain.names import job_name, keyed_name

DEFAULT_RESOURCES = {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
"""Enough for torch (0.5 GB resident) and a small table; runs on a small CPU cluster."""


FINAL_EXIT_CODES = frozenset({ExitCode.TASK_INVALID, ExitCode.DATA_INVALID, ExitCode.KILLED})
"""These would only come again: the Job fails with the first of them. KILLED is what an OOM kill ends with."""


def run_hash(spec: ModelServiceSpec, settings: Settings) -> str:
    """Hash of how a training Job runs, apart from the image: an upgrade does not stop a training under way."""
    decides_result = set(Hyperparameters.model_fields)
    runs = spec.training.model_dump(mode="json", exclude=decides_result, exclude_defaults=True)
    return short_hash([runs, plain(claim_settings(spec, settings))], length=8)


def attempt_id(spec: ModelServiceSpec, settings: Settings, *, retry: int) -> str:
    """Name of an attempt: another way to run, another image, another way to pull it or another try is another Job."""
    pull = [settings.runtime_image, settings.image_pull_policy, *settings.image_pull_secrets]
    return short_hash([run_hash(spec, settings), pull, retry], length=ATTEMPT_LENGTH)


def claim_settings(spec: ModelServiceSpec, settings: Settings) -> VolumeClaim:
    """Where artifacts go: the ModelService's own word, else the chart's, else a ReadWriteOnce claim."""
    artifacts = spec.artifacts or settings.default_artifacts
    return artifacts.volume_claim if artifacts and artifacts.volume_claim else VolumeClaim()


def shares_node(claim: Object | None) -> bool:
    """Whether a claim can be mounted on one node only, so that its pods must be kept together."""
    return claim is not None and AccessMode.READ_WRITE_MANY not in claim["spec"].get("accessModes", ())


def build_claim(owner: Owner, claim: VolumeClaim, *, key: str) -> Object:
    """The claim that holds the artifact of one stage key."""
    spec: Object = {
        "accessModes": [mode.value for mode in claim.access_modes],
        "resources": {"requests": {"storage": canonical_quantity(claim.size)}},
    }
    if claim.storage_class_name:
        spec["storageClassName"] = claim.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": owner.metadata(keyed_name(owner.name, key), key=key),
        "spec": spec,
    }


def build_task(owner: Owner, spec: ModelServiceSpec, *, key: str, attempt: str, digest: str, file: str) -> Object:
    """The immutable ConfigMap that tells one attempt what to do."""
    task = Task(
        name=owner.name,
        namespace=owner.namespace,
        key=key,
        data_file=file,
        data_sha256=digest if spec.data.config_map else None,
        data=spec.data,
        model=spec.model,
        training=spec.training.hyperparameters,
    )
    name = job_name(owner.name, stage=STAGE_TRAIN, key=key, attempt=attempt)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owner.metadata(name, stage=STAGE_TRAIN, key=key),
        "immutable": True,
        "data": {TASK_PATH.rsplit("/", 1)[1]: task.model_dump_json(exclude_none=True)},
    }


def build_job(owner: Owner, spec: ModelServiceSpec, settings: Settings, *, key: str, attempt: str, file: str) -> Object:
    """The Job of one attempt. Exit codes decide: wrong data and OOM wait for a change, disruptions are not counted."""
    training = spec.training
    name = job_name(owner.name, stage=STAGE_TRAIN, key=key, attempt=attempt)
    claim = build_claim(owner, claim_settings(spec, settings), key=key)
    container = build_container(
        training,
        settings,
        name=TRAINING_CONTAINER,
        args=["train", "--task", TASK_PATH],
        resources=merged_resources(training.resources, DEFAULT_RESOURCES),
        mounts=[
            {"name": "task", "mountPath": TASK_PATH.rsplit("/", 1)[0], "readOnly": True},
            {"name": "data", "mountPath": DATA_PATH, "readOnly": True},
            {"name": "artifacts", "mountPath": ARTIFACTS_PATH},
        ],
    )
    container["env"].append({"name": POD_UID_ENV, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}})
    container["ports"] = [{"name": "progress", "containerPort": PROGRESS_PORT}]
    template = build_pod(
        training,
        settings,
        labels=owner.labels(stage=STAGE_TRAIN, key=key),
        account=owner.name,
        containers=[container],
        volumes=[
            {"name": "task", "configMap": {"name": name}},
            {"name": "data", **_data_volume(spec, file)},
            {"name": "artifacts", "persistentVolumeClaim": {"claimName": keyed_name(owner.name, key)}},
        ],
        claim=claim["metadata"]["name"],
        shared_node=shares_node(claim),
    )
    template["spec"]["restartPolicy"] = "Never"
    metadata = owner.metadata(name, stage=STAGE_TRAIN, key=key)
    metadata["annotations"] = {ANNOTATION_RUN: run_hash(spec, settings)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": training.max_restarts,
            "activeDeadlineSeconds": training.timeout_seconds,
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": template,
        },
    }


def _data_volume(spec: ModelServiceSpec, file: str) -> Object:
    if spec.data.config_map:
        return {"configMap": {"name": spec.data.config_map.name, "items": [{"key": file, "path": file}]}}
    source = spec.data.persistent_volume_claim
    assert source is not None  # noqa: S101 - the one-of rule
    return {"persistentVolumeClaim": {"claimName": source.claim_name, "readOnly": True}}


def _failure_rules() -> list[Object]:
    """The first rule that matches decides: a lost node is nobody's fault, these exit codes would only come again."""
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {
                "containerName": TRAINING_CONTAINER,
                "operator": "In",
                "values": sorted(map(int, FINAL_EXIT_CODES)),
            },
        },
    ]
