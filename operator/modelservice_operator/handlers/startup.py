"""kopf's settings: watch only, write nothing, talk to nobody but the apiserver."""

import logging
from collections.abc import Iterable
from typing import Any

import kopf

_PREFIX = "modelservice.dev"


class NoDiffs(kopf.DiffBaseStorage):
    """Keeps no last-handled state: we have no change handlers, and copying each object for them costs CPU."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:  # noqa: ARG002
        """Nothing of an object is compared."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's signature, as above
        """Nothing was stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is stored."""


def build_settings() -> kopf.OperatorSettings:
    """Settings of kopf; what cannot happen with ``on.event`` alone is switched off all the same."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.posting.level = logging.CRITICAL
    settings.scanning.disabled = True  # needs no rights on namespaces and CRDs; without the CRD we exit and say so
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.queueing.idle_timeout = 0.2  # a task for each object seen lives that long: 8 MB at 300 ModelServices
    settings.watching.chunk_size = 10  # parsed at once, each of 1.5 MB at most: 25 of them take 100 MB more
    settings.persistence.finalizer = f"{_PREFIX}/never"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    settings.persistence.diffbase_storage = NoDiffs()
    return settings
