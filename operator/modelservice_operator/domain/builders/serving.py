"""The objects that serve a revision, try it beside another one, or keep it for heads: Deployments and Services."""

from typing import Any

from modelservice.contract.access import Access
from modelservice.contract.history import PastRevision
from modelservice.contract.keys import short_hash
from modelservice.contract.model import GRADIENT_FAMILIES
from modelservice.contract.places import (
    ACCESS_PATH,
    API_KEYS_FOLDER,
    ARTIFACTS_PATH,
    GRPC_PORT,
    JWKS_CA_FOLDER,
    JWKS_FOLDER,
    SERVING_PORT,
    STATUS_PORT,
    TLS_FOLDER,
)
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.rollout import RollingUpdate, Rollout
from modelservice.contract.server_flags import ServerFlags, server_arguments
from modelservice.contract.serving import Engine, Serving
from modelservice_operator.config import Settings
from modelservice_operator.constants import (
    ANNOTATION_INPUTS,
    GPU,
    GRPC_PORT_NAME,
    GRPCS_PORT_NAME,
    HTTP_PORT_NAME,
    HTTPS_PORT_NAME,
    LABEL_KEY,
    LABEL_METRICS_PORT,
    LABEL_NAME,
    LABEL_STAGE,
    LABEL_TRACK,
    SERVING_CONTAINER,
    STAGE_KEEP,
    STAGE_SERVE,
    STATUS_PORT_NAME,
    TRACK_CANARY,
)
from modelservice_operator.domain.builders.cache import build_cache
from modelservice_operator.domain.builders.encryption import secret_of, with_keys
from modelservice_operator.domain.builders.pods import build_container, build_pod, merged_resources, plain
from modelservice_operator.domain.encoders import recorded_url
from modelservice_operator.domain.metadata import Children, Owner
from modelservice_operator.domain.names import canary_name, encoder_name
from modelservice_operator.domain.records import Revision, StageRecord, StoredTemplate
from modelservice_operator.domain.stores import location_of, settled_artifacts
from modelservice_operator.objects import Object
from modelservice_operator.remembering import remembered

DEFAULT_RESOURCES = {
    Engine.ONNX: {"requests": {"cpu": "100m", "memory": "160Mi"}, "limits": {"memory": "1Gi"}},
    Engine.TORCH: {"requests": {"cpu": "250m", "memory": "640Mi"}, "limits": {"memory": "2Gi"}},
}
"""onnxruntime takes about 100 MB, torch 520; no CPU limit, since throttling shows as latency."""

_NOT_OF_PODS = {
    "replicas",
    "autoscaling",
    "allow_from",
    "pin_revision",
    "rollout",
    "progress_deadline_seconds",
    "paused",
    "runtime_policy",
}
"""Fields of ``spec.serving`` that say how many pods there are, which, and who reaches them; not what each one is."""


def choose_engine(serving: Serving, record: StageRecord) -> Engine:
    """What computes the model: what the spec says, else Torch where a GPU is asked for.

    Only what was trained by gradient steps, not behind an encoder of columns, and not made smaller since, has what
    torch needs.
    """
    if record.family not in GRADIENT_FAMILIES or record.onnx_only or record.compression is not None:
        return Engine.ONNX
    return serving.engine or (Engine.TORCH if GPU in serving.resources.limits else Engine.ONNX)


def server_image(engine: Engine, settings: Settings) -> str:
    """The image with an engine that comes with this operator."""
    return settings.trainer_image if engine is Engine.TORCH else settings.server_image


@remembered(512)
def serving_inputs(spec: ModelServiceSpec, settings: Settings, record: StageRecord) -> str:
    """Hash of all that decides what a serving pod is, the operator and its images left out."""
    said = spec.serving.model_dump(mode="json", exclude=_NOT_OF_PODS, exclude_defaults=True)
    artifacts = settled_artifacts(spec, settings)
    store, location = location_of(record, artifacts)
    engine = choose_engine(spec.serving, record)
    more = [plain(artifacts.cache)] if artifacts.cache is not None and store.downloads else []
    if (secret := secret_of(record.artifact, artifacts)) is not None:
        more.append({"encryption": secret})
    return short_hash([record.artifact.digest, location.uri, location.secret, engine, said, *more], length=16)


def build_serving_template(
    owner: Owner,
    spec: ModelServiceSpec,
    settings: Settings,
    revision: Revision,
    children: Children,
    *,
    history: tuple[PastRevision, ...],
    stage: str = STAGE_SERVE,
    image: str | None = None,
) -> StoredTemplate:
    """The pod template of a revision, with the hash of what it was built from, and what its pods tell of revisions.

    ``stage`` is that of its labels; ``image`` that of its server, None for the one that comes with this operator.
    """
    record, serving = revision.record, spec.serving
    engine = choose_engine(serving, record)
    artifacts = settled_artifacts(spec, settings)
    store, location = location_of(record, artifacts)
    access = store.access(
        location,
        children,
        volume="artifacts",
        path=ARTIFACTS_PATH,
        writable=False,
        image_volumes=settings.image_volumes,
    )
    access = with_keys(access, secret_of(record.artifact, artifacts))
    cache = build_cache(artifacts, record, store)
    volumes = _access_volumes(serving)
    flags = ServerFlags(
        model=access.address,
        name=owner.name,
        digest=record.artifact.digest,
        revision=revision.number,
        history=history,
        grpc_port=GRPC_PORT if serving.grpc else None,
        engine=engine,
        batching=serving.batching,
        inputs=serving.inputs,
        access=serving.access,
        secrets=ACCESS_PATH if volumes else None,
        status_port=STATUS_PORT if serving.has_status_port else None,
        encoder=None if record.encoder is None else recorded_url(record.encoder, owner.namespace),
        cache=cache.path,
        cache_size=cache.size,
    )
    container = build_container(
        serving,
        settings,
        name=SERVING_CONTAINER,
        image=image or server_image(engine, settings),
        args=server_arguments(flags),
        resources=merged_resources(serving.resources, DEFAULT_RESOURCES[engine]),
        mounts=[
            *(
                {"name": volume["name"], "mountPath": f"{ACCESS_PATH}/{volume['name']}", "readOnly": True}
                for volume in volumes
            ),
            *cache.mounts,
        ],
        access=[access],
    )
    probed, grpc = _pod_ports(tls=serving.tls is not None)
    container["ports"] = [{"name": probed, "containerPort": SERVING_PORT}]
    if serving.grpc:
        container["ports"].append({"name": grpc, "containerPort": GRPC_PORT})
    if serving.has_status_port:
        probed = STATUS_PORT_NAME
        container["ports"].append({"name": STATUS_PORT_NAME, "containerPort": STATUS_PORT})
    labels = owner.labels(stage=stage, key=record.key)
    if serving.has_status_port:
        labels[LABEL_METRICS_PORT] = STATUS_PORT_NAME
    ready = {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 3}
    container["readinessProbe"] = _probe("/v2/health/ready", probed, **ready)
    container["startupProbe"] = _probe("/v2/health/live", probed, periodSeconds=1, failureThreshold=120)
    container["livenessProbe"] = _probe("/v2/health/live", probed, periodSeconds=10, timeoutSeconds=5)
    template = build_pod(
        serving,
        settings,
        labels=labels,
        account=owner.name,
        containers=[container],
        volumes=[*volumes, *cache.volumes],
        access=[access],
    )
    inputs = serving_inputs(spec, settings, record)
    template["metadata"]["annotations"] = {**template["metadata"].get("annotations", {}), ANNOTATION_INPUTS: inputs}
    return StoredTemplate(inputs=inputs, template=template, history=history)


def _access_volumes(access: Access) -> list[Object]:
    """Secrets and ConfigMaps that callers are known by, each a volume that is named after its folder.

    None is optional: a pod whose Secret is missing waits for it, rather than letting everybody in or nobody.
    """
    volumes: list[Object] = []
    if access.tls is not None:
        volumes.append(_secret_volume(TLS_FOLDER, access.tls.secret_ref.name))
    if access.auth is not None and access.auth.api_keys is not None:
        volumes.append(_secret_volume(API_KEYS_FOLDER, access.auth.api_keys.secret_ref.name))
    if access.auth is not None and access.auth.jwt is not None:
        jwks = access.auth.jwt.jwks
        if jwks.secret_ref is not None:
            volumes.append(_secret_volume(JWKS_FOLDER, jwks.secret_ref.name))
        if jwks.config_map_ref is not None:
            volumes.append({"name": JWKS_FOLDER, "configMap": {"name": jwks.config_map_ref.name}})
        if jwks.ca_config_map_ref is not None:
            volumes.append({"name": JWKS_CA_FOLDER, "configMap": {"name": jwks.ca_config_map_ref.name}})
    return volumes


def _secret_volume(name: str, secret: str) -> Object:
    return {"name": name, "secret": {"secretName": secret}}


def _probe(path: str, port: str, **timing: int) -> Object:
    return {"httpGet": {"path": path, "port": port}, **timing}


def _pod_ports(*, tls: bool) -> tuple[str, str]:
    """Names of the ports for HTTP and gRPC in pods, others with TLS.

    A Service leaves out pods without a port of the name: while a rollout brings or takes TLS, each of its ports leads
    to those alone that speak as it says.
    """
    return (HTTPS_PORT_NAME, GRPCS_PORT_NAME) if tls else (HTTP_PORT_NAME, GRPC_PORT_NAME)


def speaks_tls(pod: Object) -> bool:
    """Whether a pod, or those of a pod template, answer with TLS."""
    ports = (port for one in pod["spec"]["containers"] for port in one.get("ports", ()))
    return any(port.get("name") == HTTPS_PORT_NAME for port in ports)


def selector_labels(owner: Owner) -> dict[str, str]:
    """Labels that select the serving pods of a ModelService, of whichever revision."""
    return {LABEL_NAME: owner.name, LABEL_STAGE: STAGE_SERVE}


def build_deployment(
    owner: Owner, serving: Serving, revision: Revision, stored: StoredTemplate, *, replicas: int | None
) -> Object:
    """The Deployment; ``replicas`` is None while an autoscaler owns the number."""
    metadata = owner.metadata(owner.name, stage=STAGE_SERVE, key=revision.key)
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector_labels(owner)},
        "strategy": _strategy(serving.rollout, stored),
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": serving.progress_deadline_seconds,
        "template": stored.template,
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def build_canary(
    owner: Owner, serving: Serving, revision: Revision, stored: StoredTemplate, *, replicas: int
) -> Object:
    """The Deployment of a candidate beside the one that serves: the Service leads to its pods, too.

    A label more tells them apart: pods of the two never have the same template, whatever they are built from.
    """
    track = {LABEL_TRACK: TRACK_CANARY}
    metadata = stored.template["metadata"]
    template = {**stored.template, "metadata": {**metadata, "labels": {**metadata["labels"], **track}}}
    built = build_deployment(
        owner, serving, revision, stored.model_copy(update={"template": template}), replicas=replicas
    )
    built["metadata"] |= {"name": canary_name(owner.name)}
    built["spec"]["selector"] = {"matchLabels": {**selector_labels(owner), **track}}
    return built


def _strategy(rollout: Rollout | None, stored: StoredTemplate) -> Object:
    """What is asked for; else, where no surge pod could have a GPU, the only other way."""
    if stored.recreate if rollout is None else rollout.recreate is not None:
        # The defaults of the other type are to go with it, or the apiserver refuses both.
        return {"type": "Recreate", "rollingUpdate": None}
    pace = (rollout.rolling_update if rollout else None) or RollingUpdate()
    numbers = {"maxUnavailable": pace.max_unavailable, "maxSurge": pace.max_surge}
    return {"type": "RollingUpdate", "rollingUpdate": numbers}


def build_service(owner: Owner, serving: Serving, *, tls: bool, both: bool = False) -> Object:
    """The Service: port 80, or 443 with TLS, to the HTTP port of pods; for gRPC, if asked for, the port that they have.

    ``both``: to pods with TLS and to those without, each by its own port; ``tls`` is then whom gRPC leads to.
    """
    ports = [_web_port(tls=way) for way in (False, True) if both or way == tls]
    if serving.grpc:
        _, grpc = _pod_ports(tls=tls)
        ports.append(
            {
                "name": GRPC_PORT_NAME,
                "protocol": "TCP",
                "appProtocol": "https" if tls else "kubernetes.io/h2c",
                "port": GRPC_PORT,
                "targetPort": grpc,
            }
        )
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(owner.name, stage=STAGE_SERVE),
        "spec": {"selector": selector_labels(owner), "ports": ports},
    }


def _web_port(*, tls: bool) -> Object:
    name, _ = _pod_ports(tls=tls)
    return {
        "name": name,
        "protocol": "TCP",
        "appProtocol": "https" if tls else "http",
        "port": 443 if tls else 80,
        "targetPort": name,
    }


def build_encoder_service(owner: Owner, revision: Revision) -> Object:
    """The Service that leads to pods of one revision alone, whoever made them: heads that were trained with it ask it.

    Pods of the Job that made the revision have its key, and no port of this name.
    """
    port = {"name": HTTP_PORT_NAME, "protocol": "TCP", "appProtocol": "http", "port": 80, "targetPort": HTTP_PORT_NAME}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(encoder_name(owner.name, revision.digest), stage=STAGE_KEEP, key=revision.key),
        "spec": {"selector": {LABEL_NAME: owner.name, LABEL_KEY: revision.key}, "ports": [port]},
    }


def build_keeper(owner: Owner, revision: Revision, template: StoredTemplate, *, replicas: int) -> Object:
    """The Deployment of a revision that answers on for heads, beside the one that serves a newer one."""
    labels = {LABEL_NAME: owner.name, LABEL_STAGE: STAGE_KEEP, LABEL_KEY: revision.key}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owner.metadata(encoder_name(owner.name, revision.digest), stage=STAGE_KEEP, key=revision.key),
        "spec": {"selector": {"matchLabels": labels}, "replicas": replicas, "template": template.template},
    }
