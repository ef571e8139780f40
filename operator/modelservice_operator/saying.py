"""Says how a ModelService fares: a status made from exactly the version that was read, and Events where it turns."""

from datetime import datetime

import structlog

from modelservice.contract.keys import short_hash
from modelservice_operator.crd.status import ConditionType
from modelservice_operator.domain.conditions import Finding, to_conditions
from modelservice_operator.domain.observe import Observed
from modelservice_operator.kinds import MODEL_SERVICE
from modelservice_operator.kube.port import KubePort
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.damper import Damper
from modelservice_operator.machinery.errors import Conflict, Invalid, Transient
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.machinery.rate_limit import RateLimit
from modelservice_operator.objects import Object, Ref

_PROGRESS_PER_SECOND = 18
"""Statuses that only tell how far a stage is, of all ModelServices together. With a thousand trainings at once each is
heard of once a minute; what begins and ends meanwhile is said besides."""

_AT_ONCE, _CONFLICT_SECONDS = 0.0, 1.0
"""When a conflict is looked into: the second, where nothing newer is there that it could come from."""

_MOMENT_SECONDS = 1.0
"""How long a status waits that only tells how far it is: what a controller says next comes within, and is one write."""

_AGAIN_SECONDS, _REFUSED_SECONDS = 2.0, 30.0
"""When a status is looked at again of which something else was stored, as by a webhook; and one that was refused."""

_WORDS = 512

_log = structlog.get_logger()


class Speaker:
    """Writes statuses."""

    def __init__(self, *, kube: KubePort, feed: Feed, clock: Clock, damper: Damper) -> None:
        self._kube = kube
        self._feed = feed
        self._clock = clock
        self._damper = damper
        self._rate_limit = RateLimit(clock=clock, per_second=_PROGRESS_PER_SECOND)
        self._held: dict[Ref, float] = {}
        self._places: dict[Ref, float] = {}

    async def say(self, observed: Observed, desired: Object, *, warning: bool) -> float | None:
        """Write the status if it differs, at once or in a moment; an event when Ready has another reason.

        Returns:
            Seconds after which to look again, where the status is not said yet; else None.

        Raises:
            KubeError: The status could not be written.
        """
        before, after = observed.service.get("status", {}), desired["status"]
        ref = Ref(MODEL_SERVICE, observed.owner.namespace, observed.owner.name)
        if before == after:
            self.forget(ref)
            return None
        if (seconds := self._delay(ref, before, after, warning=warning)) > 0:
            return seconds
        self.forget(ref)
        whose, content = (ref, observed.owner.uid), short_hash(_timeless(after), length=16)
        if (seconds := self._damper.wait(whose, content)) > 0:
            return seconds
        try:
            stored = await self._kube.apply_status(desired)
        except Conflict:
            return await self._read_again(ref)
        except Invalid as error:
            self._damper.count(whose, content)  # as often as another one, until the CRD takes it
            if await self._say_refused(observed, desired, error):
                return _REFUSED_SECONDS
            raise Transient(f"status of {ref}: {error}") from error
        self._damper.count(whose, content)
        was, ready = _ready(before), _ready(after)
        if was.get("reason") != ready["reason"]:
            _log.info("ready", status=ready["status"], reason=ready["reason"], message=ready["message"])
            await self._kube.record_event(
                observed.service, reason=ready["reason"], message=ready["message"] or ready["reason"], warning=warning
            )
        # Where nothing else was stored than before, as by a CRD that does not know a field, it would be for ever.
        differs = stored.get("status") != after and stored["metadata"]["resourceVersion"] != observed.version
        return _AGAIN_SECONDS if differs else None

    def forget(self, ref: Ref) -> None:
        """Nothing is to be said of this ModelService any more."""
        self._held.pop(ref, None)
        self._places.pop(ref, None)

    def _delay(self, ref: Ref, before: Object, after: Object, *, warning: bool) -> float:
        """Seconds that what is to be said waits; those of headway run from the first thing that is not said."""
        now = self._clock.monotonic()
        if _without_progress(before) == _without_progress(after):
            if ref not in self._places:  # each waits for its own turn: to ask again and again would cost more
                self._places[ref] = now + self._rate_limit.reserve()
            return self._places[ref] - now
        if warning or not _is_headway(before, after):
            return 0.0
        return self._held.setdefault(ref, now) + _MOMENT_SECONDS - now

    async def _read_again(self, ref: Ref) -> float | None:
        """Somebody wrote meanwhile: what was decided is of yesterday, and nothing of it is said."""
        newer = await self._kube.get(ref)
        if newer is None:
            return None
        return _AT_ONCE if self._feed.put(MODEL_SERVICE, newer) else _CONFLICT_SECONDS

    async def _say_refused(self, observed: Observed, desired: Object, error: Invalid) -> bool:
        """Say in few words that there is more to say; whether that is said."""
        smallest = refused_status(observed, error, now=self._clock.now())
        if smallest == observed.service.get("status", {}):
            return True
        try:
            await self._kube.apply_status({**desired, "status": smallest})
        except Invalid:
            return False
        message = _ready(smallest)["message"]
        await self._kube.record_event(observed.service, reason="StatusRefused", message=message, warning=True)
        return True


def refused_status(observed: Observed, error: Invalid, *, now: datetime) -> Object:
    """A status that any release of the CRD takes: that the whole one is refused, and why."""
    message = f"the apiserver refuses the status, is the CRD of this release installed? {error}"[:_WORDS]
    finding = Finding(type=ConditionType.READY, status=False, reason="StatusRefused", message=message)
    before = observed.service.get("status", {}).get("conditions", [])
    conditions = to_conditions([finding], before=before, generation=observed.generation, now=now)
    return {"observedGeneration": observed.generation, "conditions": conditions}


def _ready(status: Object) -> Object:
    return _condition(status, "Ready")


def _condition(status: Object, kind: str) -> Object:
    conditions: list[Object] = status.get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _is_headway(before: Object, after: Object) -> bool:
    """Whether it goes on as it did: the spec is the one that was spoken of, nothing is done, and nothing is lost."""
    same = before.get("observedGeneration") == after["observedGeneration"]
    open_still = _condition(before, "Ready").get("status") == _condition(after, "Ready")["status"] == "False"
    answered, answers = (_condition(status, "Available").get("status") for status in (before, after))
    return same and open_still and answered in ("False", answers)


def _without_progress(status: Object) -> Object:
    """A status without what only tells how far a stage is."""
    conditions = [{**condition, "message": ""} for condition in status.get("conditions", [])]
    return {**status, "progress": "", "eta": "", "conditions": conditions}


def _timeless(status: Object) -> Object:
    conditions = [{**condition, "lastTransitionTime": ""} for condition in status.get("conditions", [])]
    return {**status, "conditions": conditions}
