"""Names that other people see: field managers, labels, annotations. None of them may change once released."""

import re
from typing import Final

FIELD_MANAGER: Final = "modelservice-operator"
"""The one server-side apply manager: what it leaves out of an apply, it gives back to its default."""

REPLICAS_FIELD_MANAGER: Final = "modelservice-operator-replicas"
"""Holds ``replicas`` on the way to an autoscaler; without it they fall back to 1 before the HPA wrote."""

ENDING_FIELD_MANAGER: Final = "modelservice-operator-ending"
"""Holds ``backoffLimit`` of a Job whose next try would end as the last one did."""

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
"""The standard label by which watches are selected on the server, so that foreign objects never arrive."""

MANAGED_BY: Final = "modelservice-operator"
"""Value of ``MANAGED_BY_LABEL`` on everything the operator makes."""

LABEL_NAME: Final = "modelservice.dev/name"
"""Name of the owning ModelService: the index of the cache, and a selector for people (``kubectl get pods -l``)."""

LABEL_STAGE: Final = "modelservice.dev/stage"
"""``train``, ``compress`` or ``serve``: tells the pods of one ModelService apart."""

LABEL_KEY: Final = "modelservice.dev/key"
"""Key of what a pod makes or serves, for selectors, logs and dashboards."""

LABEL_CLAIM: Final = "modelservice.dev/claim"
"""The claim with the artifact that a pod makes or serves; pods of one ReadWriteOnce claim find each other by it."""

LABEL_TRACK: Final = "modelservice.dev/track"
"""On the pods of a canary alone: tells its Deployment's pods from those that serve beside them."""

TRACK_CANARY: Final = "canary"
"""Value of ``LABEL_TRACK``."""

CANARY_SUFFIX: Final = "-canary"
"""What the name of its Deployment has more than that of the one that serves."""

ENCODER_SUFFIX: Final = re.compile("-[0-9a-f]{10}")
"""Of what has one revision of an encoder for heads: the first digits of its digest."""

LABEL_METRICS_PORT: Final = "modelservice.dev/metrics-port"
"""On serving pods whose metrics have a port of their own: its name. Without it they are on the port of requests."""

ANNOTATION_APPLIED: Final = "modelservice.dev/applied"
"""Hash of what was last applied: an equal one means that nothing is to be written, whatever was defaulted."""

ANNOTATION_REPLICA_SET: Final = "deployment.kubernetes.io/revision"
"""Kubernetes' own, on a Deployment and on its ReplicaSets: the ReplicaSet of the newest template has the same one."""

ANNOTATION_INPUTS: Final = "modelservice.dev/inputs"
"""On serving pods: hash of all that decided their template, so that a ready one proves which template works."""

LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""Kueue's own, on a Job: the queue that decides when it runs."""

LABEL_JOB_UID: Final = "kueue.x-k8s.io/job-uid"
"""Kueue's own, on what it makes for a Job: its UID."""

GPU: Final = "nvidia.com/gpu"
"""The resource that a pod asks for to have a GPU."""

STAGE_SERVE: Final = "serve"
"""Value of ``LABEL_STAGE`` on the pods that answer requests."""

STAGE_KEEP: Final = "keep"
"""Its value on pods of an encoder's revision that answers on for heads, beside those that serve a newer one."""

STAGE_DELETE: Final = "delete"
"""Its value on pods that delete artifacts from object storage, and the second part of the names of their Jobs."""

FINALIZER: Final = "modelservice.dev/artifacts"
"""Keeps a ModelService until what it stored is deleted; only where ``artifacts.deletionPolicy`` asks for that."""

ORPHANS: Final = "orphan"
"""Kubernetes' own: whoever deletes with ``--cascade=orphan`` keeps the children, and all that they need."""

FINALIZER_FIELD_MANAGER: Final = "modelservice-operator-finalizer"
"""Holds that finalizer and nothing else of a ModelService, which is its author's."""

OPERATOR_SELECTOR: Final = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""Selects on the server what the operator made."""

LEASE_NAME: Final = "modelservice-operator"
"""The Lease that the replicas of the operator compete for, in the operator's own namespace."""

ANNOTATION_NAMESPACES: Final = "modelservice.dev/namespaces"
"""On the Lease: where the release works, as ``a,b`` or ``*``, so that no second one works there."""

ANNOTATION_ACCOUNT: Final = "modelservice.dev/service-account"
"""On the Lease: name of the release's ServiceAccount, whose rights prove what the Lease says."""

ANNOTATION_RUN: Final = "modelservice.dev/run"
"""On a Job: hash of how it runs, the image left out, so that an upgrade does not stop a training under way."""

ANNOTATION_REPLICAS: Final = "modelservice.dev/replicas"
"""On an autoscaler: ``spec.serving.replicas`` beside it. Whoever takes autoscaling away and leaves that number as it
was does not ask for it, and the number that runs is handed back."""

ANNOTATION_TURN: Final = "modelservice.dev/turn"
"""On the record of a revision that came to serve again: counts on where the highest number, or turn, was then."""

STAGE_CONTAINER: Final = "stage"
"""The container whose exit code and last words decide a stage, whatever sidecars do."""

SERVING_CONTAINER: Final = "server"
"""The container that answers requests."""

HTTP_PORT_NAME: Final = "http"
"""Name of the serving port, on pods and Services."""

HTTPS_PORT_NAME: Final = "https"
"""Name of the serving port, on pods and Services, where it has TLS."""

WEB_PORT_NAMES: Final = frozenset({HTTP_PORT_NAME, HTTPS_PORT_NAME})
"""Names of the serving port: a pod has one of the two, and the Service leads to those with the same."""

GRPC_PORT_NAME: Final = "grpc"
"""Name of the port that answers gRPC, on pods and Services."""

GRPCS_PORT_NAME: Final = "grpcs"
"""Name of the port that answers gRPC, on pods, where it has TLS."""

STATUS_PORT_NAME: Final = "status"
"""Name of the port for probes and metrics alone, on pods."""

RUNTIME_USER_ID: Final = 65532
"""User and group of the runtime's images (the number that distroless images made common)."""

OPERATOR_POD_LABELS: Final = {"modelservice.dev/component": "operator"}
"""Labels of the operator's own pods, which may reach the progress port, whatever a chart's user calls them."""
