"""Paths, ports and environment names on which the operator's builders and the runtime agree."""

from collections.abc import Mapping

ORDER_PATH = "/etc/modelservice/order.json"
"""Where the work order of a stage is mounted."""
DATA_PATH = "/var/lib/modelservice/data"
"""Where the data source is mounted; the work order names the file below it."""
ARTIFACTS_PATH = "/var/lib/modelservice/artifacts"
"""Where the claim of one stage key is mounted; the artifact is the folder of the key's name below it."""
PARENT_PATH = "/var/lib/modelservice/parent"
"""Where the claim of the stage before is mounted, read-only; the artifact is the folder of its key's name below it."""
CURRENT_PATH = "/var/lib/modelservice/current"
"""Where the claim of what serves is mounted, read-only, for a comparison with it; the artifact lies there likewise."""
CACHE_PATH = "/var/lib/modelservice/cache"
"""Where a server keeps what it downloads from object storage."""
ACCESS_PATH = "/etc/modelservice/access"
"""Where a server finds what its callers are known by, each in a folder of its own: see below."""
API_KEYS_FOLDER = "api-keys"
TLS_FOLDER = "tls"
JWKS_FOLDER = "jwks"
JWKS_CA_FOLDER = "jwks-ca"
ENCRYPTION_PATH = "/etc/modelservice/encryption"
"""Where the Secret with the keys of artifacts is mounted, each in a file."""
ENCRYPTION_KEYS_ENV = "MODELSERVICE_ENCRYPTION_KEYS"
"""Paths of keys of artifacts and of folders of such, with colons between; the first one encrypts, if it is a file."""
REGISTRY_PATH = "/etc/modelservice/registry"
"""Where the credentials of registries are mounted, each Secret in a folder of its own, as ``REGISTRY_FILE``."""
REGISTRY_FILE = "config.json"
TERMINATION_LOG_PATH = "/dev/termination-log"
TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes of the termination message that the kubelet keeps."""

SERVING_PORT = 8080
GRPC_PORT = 9000
STATUS_PORT = 8082
"""Probes and metrics alone, in plain HTTP, where requests need a key, a token or TLS."""
PROGRESS_PORT = 8081
RENDEZVOUS_PORT = 29400
"""Where worker 0 of a training awaits the others; sums then go through ports that torch chooses."""
PROGRESS_ROUTE = "/progress"
METRICS_ROUTE = "/metrics"

POD_UID_ENV = "MODELSERVICE_POD_UID"
"""Makes temporary paths unique between the pods of a Job."""
DATA_ENV_PREFIX = "MODELSERVICE_DATA_"
"""Before the variables of ``spec.data.secretRef``: those of ``spec.artifacts.secretRef`` may have the same names."""
CPU_LIMIT_ENV = "MODELSERVICE_CPU_LIMIT"
"""Whole CPUs a container may use (downward API, rounded up): the number of threads of torch and onnxruntime."""

WORKER_ENV = "JOB_COMPLETION_INDEX"
"""Which worker of its Job a pod is, from 0; set by Kubernetes."""
RENDEZVOUS_ENV = "MODELSERVICE_RENDEZVOUS"
"""Host name of worker 0."""
SHARED_MEMORY_PATH = "/dev/shm"  # noqa: S108 - where NCCL looks for it
"""What processes of one pod share; a container has 64 MiB of it by itself."""

GPUS_ENV = "MODELSERVICE_GPUS"
"""How many GPUs the node granted the container, of whatever resource; absent where none was asked for."""


def cpu_limit(environment: Mapping[str, str]) -> int | None:
    """Whole CPUs that the container may use, or None where nobody says; torch by itself counts those of the node."""
    limit = environment.get(CPU_LIMIT_ENV, "")
    return int(limit) if limit.isdigit() and int(limit) > 0 else None


def granted_gpus(environment: Mapping[str, str]) -> int:
    """How many GPUs the container holds as the scheduler has it, whether or not a device can be seen inside."""
    granted = environment.get(GPUS_ENV, "")
    return int(granted) if granted.isdigit() else 0
