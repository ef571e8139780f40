"""What the operator watches: ModelServices, and by our label their children; and what the cache keeps of each.

Whoever may edit objects in a namespace writes what we watch: what is kept of it has limits, and what cannot be ours by
its name is hardly kept at all.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from typing import Any, Final

from modelservice.contract.resource import GROUP
from modelservice.contract.server_flags import DIGEST, MODEL
from modelservice_operator.constants import (
    ANNOTATION_APPLIED,
    ANNOTATION_INPUTS,
    ANNOTATION_REPLICA_SET,
    ANNOTATION_REPLICAS,
    ANNOTATION_RUN,
    ANNOTATION_TURN,
    CANARY_SUFFIX,
    ENCODER_SUFFIX,
    ENDING_FIELD_MANAGER,
    FIELD_MANAGER,
    FINALIZER,
    GPU,
    LABEL_CLAIM,
    LABEL_KEY,
    LABEL_METRICS_PORT,
    LABEL_NAME,
    LABEL_QUEUE,
    LABEL_STAGE,
    LABEL_TRACK,
    MANAGED_BY_LABEL,
    OPERATOR_SELECTOR,
    ORPHANS,
    REPLICAS_FIELD_MANAGER,
    SERVING_CONTAINER,
    WEB_PORT_NAMES,
)
from modelservice_operator.kinds import (
    CHILD_KINDS,
    CONTROLLED_KINDS,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    METADATA_KINDS,
    MODEL_SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from modelservice_operator.machinery.keep import NODES, clipped, metadata_of, without
from modelservice_operator.machinery.managed_fields import foreign_fields, scaled_by
from modelservice_operator.machinery.watch import Watch, own_key
from modelservice_operator.objects import Key, Kind, Object

Transform = Callable[[Mapping[str, Any]], Object]

ARGS_TEXT: Final = 4096
"""Characters of what is kept of a serving container's arguments; with more of them they are not ours."""

_TOLD: Final = (f"{MODEL}=", f"{DIGEST}=")
"""The arguments of a pod that are read: others, such as the history, may be as long as all that is kept."""

_LABELS: Final = frozenset(
    {
        MANAGED_BY_LABEL,
        LABEL_NAME,
        LABEL_STAGE,
        LABEL_KEY,
        LABEL_CLAIM,
        LABEL_TRACK,
        LABEL_METRICS_PORT,
        LABEL_QUEUE,
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
    }
)
"""The labels that we write, of which none is hidden from a repair."""

_ANNOTATIONS: Final = {
    ANNOTATION_APPLIED: 256,
    ANNOTATION_RUN: 256,
    ANNOTATION_REPLICAS: 256,
    ANNOTATION_TURN: 256,
    ANNOTATION_INPUTS: 256,
    ANNOTATION_REPLICA_SET: 32,
}
"""The annotations that are read, and how long one of ours is at most."""

_NOT_FOREIGN: Final = frozenset(
    {FIELD_MANAGER, REPLICAS_FIELD_MANAGER, ENDING_FIELD_MANAGER, "kube-controller-manager"}
)
"""Us, and the cluster itself."""

_FINALIZERS: Final = frozenset({FINALIZER, ORPHANS})

_SINGLETONS: Final = (
    DEPLOYMENT,
    SERVICE,
    SERVICE_ACCOUNT,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    NETWORK_POLICY,
)
"""Kinds of which a ModelService has one, named as it is."""

_SMALL_TEXT: Final = 64 * 1024
"""Characters kept of a claim, a Job or a pod, of which anybody may make many: those of ours have a tenth of it."""

_POLICY_NODES: Final = 4 * NODES
"""16 peers with two selectors of 24 conditions each, and the namespaces of the settings."""

_POD_STATUS: Final = ("phase", "podIP", "conditions", "containerStatuses")
_POD_CONDITIONS: Final = ("PodScheduled", "Ready", "DisruptionTarget")
"""Those that are read, as of a Job: each of the others would be one more version that says something new."""

_CONTAINER_STATUS: Final = ("name", "image", "ready", "restartCount", "state", "lastState")
_CLAIM: Final = "persistentVolumeClaim"
_CLAIMS: Final = 4
"""Claims of a pod that are kept: those of its data, of what it starts from, of its own artifact, and of a cache."""

_NO_TEMPLATE: Final = {"template": {"spec": {"containers": [{"image": ""}]}}}
_JOB_SPEC: Final = ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "suspend")
_JOB_STATUS: Final = ("startTime", "conditions")
"""How many of its pods are ready, ended, or not counted yet, is told again and again, and led to nothing but passes."""

_JOB_CONDITIONS: Final = ("Complete", "Failed", "Suspended")


def owner_of(obj: Mapping[str, Any]) -> Key | None:
    """The ModelService that an object belongs to: its controller, or the one that its label names.

    A label may be taken off or forged; what follows from it is checked by the UID in ``ownerReferences``.
    """
    metadata = obj["metadata"]
    controllers = (one for one in metadata.get("ownerReferences") or () if one.get("controller"))
    for reference in controllers:
        if reference["kind"] == MODEL_SERVICE.kind and str(reference["apiVersion"]).startswith(f"{GROUP}/"):
            return Key(metadata["namespace"], reference["name"])
    name = (metadata.get("labels") or {}).get(LABEL_NAME)
    return Key(metadata["namespace"], name) if name else None


def encoders_of(service: Mapping[str, Any]) -> Iterator[Key]:
    """The encoders that a ModelService, as it is stored, asks: by its spec, and by what it serves still."""
    namespace = service["metadata"]["namespace"]
    asked = (((service.get("spec") or {}).get("model") or {}).get("encoder") or {}).get("service") or {}
    served = (service.get("status") or {}).get("encoder") or {}
    said = (asked.get("name"), served.get("name"))
    yield from (Key(namespace, name) for name in dict.fromkeys(said) if isinstance(name, str) and name)


def stub_of(obj: Mapping[str, Any]) -> Object:
    """Only metadata: what is watched by ``PartialObjectMetadata``, and what cannot be ours."""
    metadata = metadata_of(obj["metadata"], labels=_LABELS, annotations=_ANNOTATIONS)
    if managed := obj["metadata"].get("managedFields"):
        foreign = foreign_fields(managed, ours=_NOT_FOREIGN)
        metadata |= {"foreign": foreign} if foreign else {}
        scaler = scaled_by(managed)
        metadata |= {} if scaler is None else {"scaledBy": scaler}
    return {**_parts(obj, "apiVersion", "kind"), "metadata": metadata}


def service_of(obj: Mapping[str, Any]) -> Object:
    """A ModelService: its schema bounds it; of its finalizers those that mean something here, however many."""
    stub = stub_of(obj)
    finalizers = [one for one in obj["metadata"].get("finalizers") or () if one in _FINALIZERS]
    metadata = without(stub["metadata"], "finalizers") | ({"finalizers": finalizers} if finalizers else {})
    return {**_parts(obj, "spec", "status"), **stub, "metadata": metadata}


def child_of(obj: Mapping[str, Any], *, nodes: int = NODES) -> Object:
    """Spec and status of what is named as its ModelService; what is not cannot be ours. ``nodes`` as of ``clipped``."""
    owner = owner_of(obj)
    return _named(obj, () if owner is None else (owner.name,), nodes=nodes)


def _named(obj: Mapping[str, Any], names: Container[str], *, nodes: int = NODES) -> Object:
    stub = stub_of(obj)
    if obj["metadata"]["name"] not in names:
        return stub
    parts: Object = clipped({"spec": {}, **_parts(obj, "spec", "status")}, nodes=nodes)
    return {**stub, **parts}


def deployment_of(obj: Mapping[str, Any]) -> Object:
    """A Deployment, as ``child_of``, or a canary's; one that was too large to be read has a container all the same.

    Of one that by its name keeps an encoder's revision for heads, how many of its pods are there.
    """
    owner = owner_of(obj)
    kept = _named(obj, () if owner is None else (owner.name, f"{owner.name}{CANARY_SUFFIX}"))
    if "spec" not in kept and _is_of_encoder(obj):
        numbers = {"spec": _parts(obj.get("spec") or {}, "replicas"), **_parts(obj, "status")}
        return {**kept, **clipped(numbers, text=_SMALL_TEXT)}
    return {**kept, "spec": _NO_TEMPLATE} if kept.get("spec") == {} else kept


def service_child_of(obj: Mapping[str, Any]) -> Object:
    """A Service, as ``child_of``, or one by which heads reach a revision of an encoder."""
    owner, name = owner_of(obj), obj["metadata"]["name"]
    return _named(obj, () if owner is None else (name if _is_of_encoder(obj) else owner.name,))


def _is_of_encoder(obj: Mapping[str, Any]) -> bool:
    owner, name = owner_of(obj), obj["metadata"]["name"]
    if owner is None or not name.startswith(owner.name):
        return False
    return ENCODER_SUFFIX.fullmatch(name.removeprefix(owner.name)) is not None


def claim_of(obj: Mapping[str, Any]) -> Object:
    """A claim."""
    parts: Object = clipped({"spec": {}, **_parts(obj, "spec", "status")}, text=_SMALL_TEXT)
    return {**stub_of(obj), **parts}


def record_of(obj: Mapping[str, Any]) -> Object:
    """A ControllerRevision; data beyond the limits are none of ours, and cut data would be read wrongly."""
    parts = _parts(obj, "revision", "data")
    return {**stub_of(obj), **(parts if clipped(parts) is parts else _parts(obj, "revision"))}


def job_of(obj: Mapping[str, Any]) -> Object:
    """A Job: of its template, which never changes, the container's image and limits."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or [{}]
    container = {"image": "", **_parts(containers[0], "name", "image", "resources")}
    kept = {**_parts(spec, *_JOB_SPEC), "template": {"spec": {"containers": [container]}}}
    stands = _with_conditions(_parts(status, *_JOB_STATUS), _JOB_CONDITIONS)
    parts: Object = clipped({"spec": kept, "status": stands}, text=_SMALL_TEXT)
    return {**stub_of(obj), **parts}


def pod_of(obj: Mapping[str, Any]) -> Object:
    """A Pod: its node, the image and the claims that it mounts, its server, what that was told, and how it fares."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kept: Object = _parts(spec, "nodeName")
    if told := [one for one in map(_server, spec.get("containers") or ()) if one is not None]:
        kept["containers"] = told[:1]
    volumes = spec.get("volumes") or ()
    images = [{"image": _parts(one["image"], "reference")} for one in volumes if one.get("image")]
    claims = [_parts(one, _CLAIM) for one in volumes if one.get(_CLAIM)]
    if mounted := [*images[:1], *claims[:_CLAIMS]]:
        kept["volumes"] = mounted
    fares = _with_conditions(_parts(status, *_POD_STATUS), _POD_CONDITIONS)
    if containers := fares.get("containerStatuses"):
        fares["containerStatuses"] = [_parts(one, *_CONTAINER_STATUS) for one in containers]
    parts: Object = clipped({"spec": kept, "status": fares}, text=_SMALL_TEXT)
    # Who else wrote to it, and what has to let go of it, is nobody's question, and is told in versions of its own.
    metadata = without(metadata_of(obj["metadata"], labels=_LABELS, annotations=_ANNOTATIONS), "finalizers")
    return {**_parts(obj, "apiVersion", "kind"), "metadata": metadata, **parts}


def _with_conditions(status: Object, types: Container[str]) -> Object:
    """A status with conditions of these types only."""
    if not (conditions := status.get("conditions")):
        return status
    return {**status, "conditions": [one for one in conditions if one.get("type") in types]}


def _server(container: Mapping[str, Any]) -> Object | None:
    """What is kept of a container that is the server: of its arguments and ports those that are read."""
    if container.get("name") != SERVING_CONTAINER:
        return None
    args, limits = container.get("args") or [], (container.get("resources") or {}).get("limits") or {}
    told = [one for one in args if str(one).startswith(_TOLD)]
    kept: Object = _parts(container, "name", "image") | ({"args": told} if sum(map(len, told)) <= ARGS_TEXT else {})
    if ports := [_parts(one, "name") for one in container.get("ports") or () if one.get("name") in WEB_PORT_NAMES]:
        kept["ports"] = ports
    return {**kept, "resources": {"limits": {GPU: limits[GPU]}}} if GPU in limits else kept


def _parts(obj: Mapping[str, Any], *names: str) -> Object:
    return {name: obj[name] for name in names if name in obj}


_TRANSFORMS: Final[Mapping[Kind, Transform]] = {
    **dict.fromkeys(_SINGLETONS, child_of),
    DEPLOYMENT: deployment_of,
    SERVICE: service_child_of,
    NETWORK_POLICY: partial(child_of, nodes=_POLICY_NODES),
    **dict.fromkeys(METADATA_KINDS, stub_of),
    PERSISTENT_VOLUME_CLAIM: claim_of,
    CONTROLLER_REVISION: record_of,
    JOB: job_of,
    POD: pod_of,
}


def _child(kind: Kind) -> Watch:
    return Watch(
        kind=kind,
        request=owner_of,
        transform=_TRANSFORMS[kind],
        label_selector=OPERATOR_SELECTOR,
        metadata_only=kind in METADATA_KINDS,
        verified=kind not in CONTROLLED_KINDS,  # their controllers let go of what loses its labels
    )


WATCHES: Final = (
    Watch(kind=MODEL_SERVICE, request=own_key, transform=service_of, owned=False, concerns=encoders_of),
    *(_child(kind) for kind in CHILD_KINDS),
)
"""Everything that the cache holds, in the order in which it is made complete."""
