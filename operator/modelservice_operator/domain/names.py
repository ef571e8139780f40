"""Names of all children of a ModelService.

Each fits in 63 characters for a service name of at most 40 and a stage's name of at most 8.
"""


def job_name(service: str, *, stage: str, key: str, attempt: str) -> str:
    """Name of a Job and of the ConfigMap with its work order, which belongs to it alone."""
    return f"{service}-{stage}-{key}-{attempt}"


def keyed_name(service: str, key: str) -> str:
    """Name of the ControllerRevision that records the result of a stage key, and of what a store needs for it.

    Whatever is named after a key is kept and deleted with it.
    """
    return f"{service}-{key}"


def service_url(service: str, namespace: str) -> str:
    """Base URL of a model's Service inside the cluster."""
    return f"http://{service}.{namespace}.svc"
