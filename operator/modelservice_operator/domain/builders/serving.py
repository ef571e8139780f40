"""The objects that serve a revision: Deployment, Service, autoscaler and disruption budget."""

import json
from typing import Any

from modelservice.contract.keys import short_hash
from modelservice.contract.places import ARTIFACTS_PATH, SERVING_PORT
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.serving import Autoscaling, Serving
from modelservice_operator.config import Settings
from modelservice_operator.constants import (
    ANNOTATION_TEMPLATE,
    HTTP_PORT_NAME,
    LABEL_NAME,
    LABEL_STAGE,
    SERVING_CONTAINER,
    STAGE_SERVE,
)
from modelservice_operator.domain.builders.pods import build_container, build_pod, merged_resources
from modelservice_operator.domain.metadata import Object, Owner
from modelservice_operator.domain.revisions import Revision, StoredTemplate

DEFAULT_RESOURCES = {"requests": {"cpu": "250m", "memory": "640Mi"}, "limits": {"memory": "2Gi"}}
"""torch takes about 520 MB; no CPU limit, since throttling shows as latency."""


def serving_inputs(spec: ModelServiceSpec, revision: Revision) -> str:
    """Hash of all that decides what a serving pod is, the operator and its image left out."""
    settings = spec.serving.model_dump(
        mode="json", exclude={"replicas", "autoscaling", "allow_from"}, exclude_defaults=True
    )
    return short_hash([revision.digest, revision.claim, settings], length=16)


def build_serving_template(
    owner: Owner, spec: ModelServiceSpec, settings: Settings, revision: Revision, *, shared_node: bool
) -> StoredTemplate:
    """The pod template of a revision, with the hash of what it was built from."""
    serving = spec.serving
    container = build_container(
        serving,
        settings,
        name=SERVING_CONTAINER,
        args=_arguments(owner, serving, revision),
        resources=merged_resources(serving.resources, DEFAULT_RESOURCES),
        mounts=[{"name": "artifacts", "mountPath": ARTIFACTS_PATH, "readOnly": True}],
    )
    container["ports"] = [{"name": HTTP_PORT_NAME, "containerPort": SERVING_PORT}]
    container["readinessProbe"] = _probe("/v2/health/ready", periodSeconds=2, timeoutSeconds=3, failureThreshold=3)
    container["startupProbe"] = _probe("/v2/health/live", periodSeconds=1, failureThreshold=120)
    container["livenessProbe"] = _probe("/v2/health/live", periodSeconds=10, timeoutSeconds=5)
    template = build_pod(
        serving,
        settings,
        labels=owner.labels(stage=STAGE_SERVE, key=revision.key),
        account=owner.name,
        containers=[container],
        volumes=[{"name": "artifacts", "persistentVolumeClaim": {"claimName": revision.claim}}],
        claim=revision.claim,
        shared_node=shared_node,
    )
    return StoredTemplate(inputs=serving_inputs(spec, revision), template=template)


def _arguments(owner: Owner, serving: Serving, revision: Revision) -> list[str]:
    batching = serving.batching
    return [
        "serve",
        f"--model={ARTIFACTS_PATH}/{revision.key}",
        f"--name={owner.name}",
        f"--digest={revision.digest}",
        "--host=0.0.0.0",
        f"--port={SERVING_PORT}",
        f"--batch-max-size={batching.max_size}",
        f"--batch-max-delay-milliseconds={batching.max_delay_milliseconds}",
        f"--batch-max-queue-milliseconds={batching.max_queue_milliseconds}",
    ]


def _probe(path: str, **timing: int) -> Object:
    return {"httpGet": {"path": path, "port": HTTP_PORT_NAME}, **timing}


def selector_labels(owner: Owner) -> dict[str, str]:
    """Labels that select the serving pods of a ModelService, of whichever revision."""
    return {LABEL_NAME: owner.name, LABEL_STAGE: STAGE_SERVE}


def build_deployment(owner: Owner, serving: Serving, revision: Revision, stored: StoredTemplate) -> Object:
    """The Deployment; ``replicas`` is never said while an autoscaler owns the number."""
    metadata = owner.metadata(owner.name, stage=STAGE_SERVE, key=revision.key)
    metadata["annotations"] = {ANNOTATION_TEMPLATE: json.dumps(stored.model_dump(mode="json"), sort_keys=True)}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector_labels(owner)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": 600,
        "template": stored.template,
    }
    if serving.autoscaling is None:
        spec["replicas"] = serving.replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def build_replicas_holder(owner: Owner, replicas: int) -> Object:
    """Says only the number of replicas, under a second field manager, until the autoscaler has written its own."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": owner.name, "namespace": owner.namespace},
        "spec": {"replicas": replicas},
    }


def build_service(owner: Owner) -> Object:
    """The Service: port 80 to the runtime's one port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(owner.name, stage=STAGE_SERVE),
        "spec": {
            "selector": selector_labels(owner),
            "ports": [
                {
                    "name": HTTP_PORT_NAME,
                    "protocol": "TCP",
                    "appProtocol": "http",
                    "port": 80,
                    "targetPort": HTTP_PORT_NAME,
                }
            ],
        },
    }


def build_autoscaler(owner: Owner, autoscaling: Autoscaling) -> Object:
    """A HorizontalPodAutoscaler on the CPU utilisation of the Deployment."""
    target = {"type": "Utilization", "averageUtilization": autoscaling.target_cpu_utilization}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": owner.metadata(owner.name, stage=STAGE_SERVE),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner.name},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def build_disruption_budget(owner: Owner) -> Object:
    """Lets a drain take one serving pod at a time; a pod that is not ready may always go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owner.metadata(owner.name, stage=STAGE_SERVE),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector_labels(owner)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
