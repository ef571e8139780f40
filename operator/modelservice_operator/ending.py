"""Ends a ModelService that waits for what it stored to be deleted."""

from contextlib import suppress

import structlog

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.ending import end
from modelservice_operator.domain.observe import Observed
from modelservice_operator.finalizing import let_go
from modelservice_operator.kinds import ref_of
from modelservice_operator.kube.port import KubePort
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.errors import Conflict, Forbidden, Invalid
from modelservice_operator.objects import Object

_SOON_SECONDS = 5.0
"""How soon it is looked at again."""

_log = structlog.get_logger()


class Ender:
    """Carries out how a ModelService ends; level-triggered, as everything else."""

    def __init__(self, *, kube: KubePort, cache: Cache, settings: Settings, clock: Clock) -> None:
        self._kube = kube
        self._cache = cache
        self._settings = settings
        self._clock = clock

    async def end(self, observed: Observed, spec: ModelServiceSpec | None) -> float | None:
        """Do what is to be done now.

        Returns:
            Seconds after which to look again, None once the ModelService may go.

        Raises:
            KubeError: the apiserver did not answer, or refuses to let it go.
        """
        ending = end(spec, observed, self._settings, now=self._clock.now())
        for job in ending.stop:
            with suppress(Forbidden):  # whoever keeps a Job does not keep the ModelService
                await self._kube.delete(ref_of(job.obj), uid=job.uid, propagation="Foreground")
        refused = await self._begin(observed, ending.job) if ending.job is not None else ""
        if not ending.over and not refused:
            return _SOON_SECONDS
        return await self._let_go(observed, left=ending.left or refused)

    async def _begin(self, observed: Observed, job: Object) -> str:
        """Make the Job; why the apiserver takes none, as in a namespace that is being deleted."""
        name = job["metadata"]["name"]
        try:
            await self._kube.apply(job, uid=None)
        except Conflict:  # ours of a moment ago
            if (found := await self._kube.get(ref_of(job))) is not None:
                self._cache.put(ref_of(job).kind, found)
            return ""
        except (Forbidden, Invalid) as error:
            return f"Job {name} cannot be made: {error}"
        message = f"Job {name} deletes its artifacts; for at most 5 minutes they are waited for"
        await self._kube.record_event(observed.service, reason="DeletingArtifacts", message=message)
        return ""

    async def _let_go(self, observed: Observed, *, left: str) -> float | None:
        owner = observed.owner
        if left:
            message = f"artifacts below {owner.namespace}/{owner.name}/ in object storage may be left: {left}"
            _log.warning("artifacts left", namespace=owner.namespace, name=owner.name, message=left)
            await self._kube.record_event(observed.service, reason="ArtifactsLeft", message=message, warning=True)
        try:
            await let_go(self._kube, owner)
        except Conflict:
            _log.info("gone already, or changed meanwhile", namespace=owner.namespace, name=owner.name)
            return _SOON_SECONDS
        return None
