"""Paths, ports and environment names on which the operator's builders and the runtime agree."""

from collections.abc import Mapping

TASK_PATH = "/etc/modelservice/task.json"
DATA_PATH = "/var/lib/modelservice/data"
"""Where the data source is mounted; the task names the file below it."""
ARTIFACTS_PATH = "/var/lib/modelservice/artifacts"
"""Where the claim of one stage key is mounted; the artifact is the folder of the key's name below it."""
TERMINATION_LOG_PATH = "/dev/termination-log"
TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes of the termination message that the kubelet keeps."""

SERVING_PORT = 8080
PROGRESS_PORT = 8081
PROGRESS_ROUTE = "/progress"

POD_UID_ENV = "MODELSERVICE_POD_UID"
"""Makes temporary paths unique between the pods of a Job."""
CPU_LIMIT_ENV = "MODELSERVICE_CPU_LIMIT"
"""Whole CPUs a container may use (downward API, rounded up): the number of torch threads."""


def cpu_limit(environment: Mapping[str, str]) -> int | None:
    """Whole CPUs that the container may use, or None where nobody says; torch by itself counts those of the node."""
    limit = environment.get(CPU_LIMIT_ENV, "")
    return int(limit) if limit.isdigit() and int(limit) > 0 else None
