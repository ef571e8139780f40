"""The keys of encrypted artifacts in pods: a mounted Secret, of which the operator knows the name alone."""

from collections.abc import Iterable
from dataclasses import replace

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.places import ENCRYPTION_KEYS_ENV, ENCRYPTION_PATH
from modelservice_operator.domain.records import ArtifactReference, Revision
from modelservice_operator.domain.stores import Access
from modelservice_operator.objects import Object

KEYS_VOLUME = "encryption"


def current_secret(artifacts: Artifacts) -> str | None:
    """The Secret with the key of what is made now."""
    return artifacts.encryption.secret_ref.name if artifacts.encryption is not None else None


def secret_of(reference: ArtifactReference, artifacts: Artifacts) -> str | None:
    """The Secret that opens a recorded artifact: today's, since Secrets are exchanged, else that of its time."""
    if reference.encryption_secret is None:
        return None
    return current_secret(artifacts) or reference.encryption_secret


def shared_secret(artifacts: Artifacts, revisions: Iterable[Revision | None]) -> str | None:
    """The one Secret that opens recorded artifacts; None where none is encrypted (see ``domain.comparing``)."""
    found = (secret_of(one.record.artifact, artifacts) for one in revisions if one is not None)
    return next(filter(None, found), None)


def with_keys(access: Access, secret: str | None, *, encrypts: str | None = None) -> Access:
    """What a pod needs besides, to open what is encrypted, and to encrypt with the key of that name, if one is given.

    The Secret is not optional: a pod waits for it, rather than storing something that anybody can read.
    """
    if secret is None:
        return access
    paths = [*([f"{ENCRYPTION_PATH}/{encrypts}"] if encrypts else []), ENCRYPTION_PATH]
    volume: Object = {"name": KEYS_VOLUME, "secret": {"secretName": secret}}
    mount: Object = {"name": KEYS_VOLUME, "mountPath": ENCRYPTION_PATH, "readOnly": True}
    return replace(
        access,
        volumes=(*access.volumes, volume),
        mounts=(*access.mounts, mount),
        env=(*access.env, {"name": ENCRYPTION_KEYS_ENV, "value": ":".join(paths)}),
    )
