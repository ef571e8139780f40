"""The kinds of objects that the operator reads or writes."""

from collections.abc import Mapping
from typing import Final

from modelservice.contract.resource import GROUP, KIND, VERSION
from modelservice_operator.objects import Kind, Ref

MODEL_SERVICE: Final = Kind(GROUP, VERSION, KIND, "modelservices")
JOB: Final = Kind("batch", "v1", "Job", "jobs")
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
REPLICA_SET: Final = Kind("apps", "v1", "ReplicaSet", "replicasets")
POD: Final = Kind("", "v1", "Pod", "pods")
PERSISTENT_VOLUME_CLAIM: Final = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
CONTROLLER_REVISION: Final = Kind("apps", "v1", "ControllerRevision", "controllerrevisions")
CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps")
SERVICE: Final = Kind("", "v1", "Service", "services")
SERVICE_ACCOUNT: Final = Kind("", "v1", "ServiceAccount", "serviceaccounts")
HORIZONTAL_POD_AUTOSCALER: Final = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
POD_DISRUPTION_BUDGET: Final = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY: Final = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
EVENT: Final = Kind("", "v1", "Event", "events")
LEASE: Final = Kind("coordination.k8s.io", "v1", "Lease", "leases")
SUBJECT_ACCESS_REVIEW: Final = Kind("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews")
WORKLOAD: Final = Kind("kueue.x-k8s.io", "v1beta2", "Workload", "workloads")
"""What Kueue makes for a Job in a queue: not of every cluster, and asked for in the version that one prefers."""

CHILD_KINDS: Final = (
    JOB,
    DEPLOYMENT,
    REPLICA_SET,
    POD,
    PERSISTENT_VOLUME_CLAIM,
    CONTROLLER_REVISION,
    CONFIG_MAP,
    SERVICE,
    SERVICE_ACCOUNT,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    NETWORK_POLICY,
)
"""What the operator makes for a ModelService (pods through Jobs and Deployments), watched by our label."""

CONTROLLED_KINDS: Final = (REPLICA_SET, POD)
"""The child kinds that other controllers make for us: never written, and deleted by them."""

METADATA_KINDS: Final = (REPLICA_SET, CONFIG_MAP, SERVICE_ACCOUNT)
"""The child kinds of which only metadata is watched: their names, owners and stamps say all that is decided by."""

WATCHED_KINDS: Final = (MODEL_SERVICE, *CHILD_KINDS)
"""Everything that the cache holds."""

KINDS: Final = (*WATCHED_KINDS, EVENT, LEASE, WORKLOAD)
"""Everything that the operator talks to the apiserver about."""


def ref_of(obj: Mapping[str, object]) -> Ref:
    """The name of an object that carries ``apiVersion`` and ``kind``.

    Raises:
        ValueError: The kind is none that the operator works with, or the object has no namespace or name.
    """
    kind = _BY_NAME.get((str(obj.get("apiVersion")), str(obj.get("kind"))))
    metadata = obj.get("metadata")
    if kind is None or not isinstance(metadata, dict) or not metadata.get("name") or not metadata.get("namespace"):
        raise ValueError(
            f"object {obj.get('apiVersion')}/{obj.get('kind')} {metadata!r:.200}: needs a known apiVersion and kind "
            "(see kinds.KINDS), metadata.namespace and metadata.name"
        )
    return Ref(kind, metadata["namespace"], metadata["name"])


_BY_NAME: Final = {(kind.api_version, kind.kind): kind for kind in KINDS}
