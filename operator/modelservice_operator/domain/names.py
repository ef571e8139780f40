"""Names of all children of a ModelService.

Each fits in 63 characters for a service name of at most 40 and a stage's name of at most 8.
"""

from typing import Final

from modelservice.contract.keys import short_hash
from modelservice_operator.constants import CANARY_SUFFIX, ENCODER_SUFFIX, STAGE_DELETE

ALL: Final = "all"
"""Attempt of the Job that deletes every artifact: no hash of an attempt is as short."""

_JOB_PARTS: Final = 3
_UID_LENGTH: Final = 8
_DIGITS: Final = 10
"""Of a digest, in names."""


def job_name(service: str, *, stage: str, key: str, attempt: str) -> str:
    """Name of a Job and of the ConfigMap with its work order, which belongs to it alone."""
    return f"{service}-{stage}-{key}-{attempt}"


def final_job_name(service: str, uid: str) -> str:
    """Name of the Job that deletes all artifacts of the ModelService with this UID."""
    return job_name(service, stage=STAGE_DELETE, key=short_hash(uid, length=_UID_LENGTH), attempt=ALL)


def parse_deletion_name(service: str, name: str) -> tuple[str, str] | None:
    """Key of the artifact that a Job of this name deletes (``ALL``: of each one), and its attempt; None for others."""
    parsed = parse_job_name(service, name)
    if parsed is None or parsed[0] != STAGE_DELETE:
        return None
    _, key, attempt = parsed
    return (ALL if attempt == ALL else key), attempt


def canary_name(service: str) -> str:
    """Name of the Deployment of a canary, beside the one that serves."""
    return f"{service}{CANARY_SUFFIX}"


def keyed_name(service: str, key: str) -> str:
    """Name of the ControllerRevision that records the result of a stage key, and of what a store needs for it.

    Whatever is named after a key is kept and deleted with it.
    """
    return f"{service}-{key}"


def encoder_name(service: str, digest: str) -> str:
    """Name of the Service that leads to pods of an encoder with this artifact alone, and of what keeps such pods."""
    return f"{service}-{digest.removeprefix('sha256:')[:_DIGITS]}"


def is_encoder_name(service: str, name: str) -> bool:
    """Whether a name is one that ``encoder_name`` gives; a key has fewer characters."""
    return name.startswith(service) and ENCODER_SUFFIX.fullmatch(name.removeprefix(service)) is not None


def service_url(service: str, namespace: str, *, tls: bool) -> str:
    """Base URL of a model's Service inside the cluster."""
    return f"{'https' if tls else 'http'}://{service}.{namespace}.svc"


def template_name(service: str, key: str, digest: str) -> str:
    """Name of the ControllerRevision that stores a pod template of a key, by a hash of what it says."""
    return f"{service}-{key}-{digest}"


def parse_key(service: str, name: str) -> str:
    """Key in the name of a claim or a ControllerRevision of a ModelService."""
    return name.removeprefix(f"{service}-").partition("-")[0]


def parse_job_name(service: str, name: str) -> tuple[str, str, str] | None:
    """Stage, key and attempt of a Job, which nobody can change in its name; None where it is none of ours."""
    parts = name.removeprefix(f"{service}-").split("-")
    return (parts[0], parts[1], parts[2]) if name.startswith(f"{service}-") and len(parts) == _JOB_PARTS else None
