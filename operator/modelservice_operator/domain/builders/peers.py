"""What the pods of one Job reach each other by, where several train together: names, and a way through policies."""

from typing import Final

from modelservice_operator.domain.metadata import Owner
from modelservice_operator.objects import Object

JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
"""Set by the Job controller on its pods."""

SHARED_MEMORY: Final = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}}
"""What is used of it counts as memory of the container."""


def rendezvous_host(job: str, namespace: str) -> str:
    """Name of worker 0 of a Job, by the Service that ``build_peers`` makes."""
    return f"{job}-0.{job}.{namespace}.svc"


def build_peers(owner: Owner, job: str, *, stage: str, key: str) -> tuple[Object, ...]:
    """A headless Service, and a NetworkPolicy between the pods of the Job alone; both are named as it is.

    Names are there before pods are ready, since none is before it has found the others. The ports of the sums are
    chosen by gloo and NCCL, so all are open, to the Job's own pods.
    """
    selector = {JOB_NAME_LABEL: job}
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(job, stage=stage, key=key),
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector},
    }
    policy: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": owner.metadata(job, stage=stage, key=key),
        "spec": {
            "podSelector": {"matchLabels": selector},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": selector}}]}],
        },
    }
    return service, policy
