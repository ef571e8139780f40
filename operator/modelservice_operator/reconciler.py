"""One pass over one ModelService: read, decide, write, say. Level-triggered: it may end anywhere and run again."""

from collections.abc import Iterable
from contextlib import suppress

import structlog
from pydantic import ValidationError

from modelservice.contract.base import problems
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.data_source import DataSource
from modelservice_operator.diagnostics import Diagnostician
from modelservice_operator.domain.assessment import assess, rollout
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.diff import Action, Apply, Delete, Scale
from modelservice_operator.domain.jobs import JobPhase
from modelservice_operator.domain.observe import Observed, observe
from modelservice_operator.domain.plan import Plan, plan
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.summarize import summarize, summarize_invalid
from modelservice_operator.kinds import MODEL_SERVICE, PERSISTENT_VOLUME_CLAIM, ref_of
from modelservice_operator.kube.port import KubePort, ProgressPort
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.errors import Conflict, Forbidden, Invalid
from modelservice_operator.machinery.rate_limit import RateLimit
from modelservice_operator.objects import Key, Object, Ref

_POLL_SECONDS = 2.0
"""How often a running stage is asked for its progress."""

_SOON_SECONDS = 5.0
"""How soon something that is under way, or stands in the way, is looked at again."""

_CONFLICT_SECONDS = 1.0

_log = structlog.get_logger()


class Reconciler:
    """Brings one ModelService nearer to what its spec asks for, and its status to what is.

    What it writes is in the cache when the port answers, so that the next pass does not write it again.
    """

    def __init__(
        self, *, kube: KubePort, progress: ProgressPort, cache: Cache, settings: Settings, clock: Clock
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._diagnostician = Diagnostician(kube=kube, progress=progress, settings=settings, clock=clock)
        self._data = DataSource(kube=kube, clock=clock)
        self._rate_limit = RateLimit(clock=clock, per_second=20)

    async def reconcile(self, key: Key) -> float | None:
        """Do what is to be done now.

        Returns:
            Seconds after which to look again, or None to wait for an event.

        Raises:
            Transient: the apiserver did not answer; try again with back-off.
        """
        service = self._cache.get(Ref(MODEL_SERVICE, *key))
        if service is None or service["metadata"].get("deletionTimestamp"):
            return None
        observed = self._observe(service)
        try:
            spec = ModelServiceSpec.model_validate(service["spec"])
        except ValidationError as error:
            status = summarize_invalid(observed, _invalid(error), now=self._clock.now())
            return await self._say(observed, status, warning=True)
        data = await self._data.read(key.namespace, spec)
        planned = plan(spec, observed, data, self._settings)
        refused = await self._carry_out(observed, planned)
        if planned.changes:
            observed = self._observe(service)
            planned = plan(spec, observed, data, self._settings)
        diagnostics = await self._diagnostician.gather(spec, observed, planned, refused=refused)
        assessment = assess(spec, observed, data, planned=planned, diagnostics=diagnostics, settings=self._settings)
        status = summarize(assessment, now=self._clock.now())
        delayed = await self._say(observed, status, warning=assessment.problem is not None)
        again = self._look_again(data, observed, planned, refused)
        return again if delayed is None else min(again, delayed)

    def _observe(self, service: Object) -> Observed:
        metadata = service["metadata"]
        return observe(service, self._cache.children(metadata["namespace"], metadata["name"]))

    async def _carry_out(self, observed: Observed, planned: Plan) -> Problem | None:
        """Write; the first refusal, if there is one. Parts do not wait for each other, and deletions for nothing."""
        refused = [await self._write(observed, (deletion,)) for deletion in planned.changes.deletes]
        refused += [await self._write(observed, applies) for applies in planned.changes.applies]
        if planned.replicas is not None:
            scale = Scale(ref=ref_of(observed.service), replicas=planned.replicas, version=observed.version)
            refused.append(await self._write(observed, (scale,)))
        return next(filter(None, refused), None)

    async def _write(self, observed: Observed, actions: Iterable[Action]) -> Problem | None:
        """Write in order; stop at the first write that is refused, and say why."""
        for action in actions:
            try:
                if isinstance(action, Delete):
                    await self._kube.delete(action.ref, uid=action.uid, propagation=action.propagation)
                elif isinstance(action, Scale):
                    with suppress(Conflict):  # somebody wrote meanwhile, perhaps we: that is seen soon
                        await self._kube.scale(action.ref, replicas=action.replicas, version=action.version)
                elif problem := await self._apply(observed, action):
                    return problem
            except Conflict as error:
                return Problem(reason="Conflict", message=str(error))
            except Forbidden as error:
                return _forbidden(action, error)
            except Invalid as error:
                return Problem(
                    reason="Refused", message=f"the apiserver refuses a child: {error}", waits_for_change=True
                )
        return None

    async def _apply(self, observed: Observed, action: Apply) -> Problem | None:
        """Write, but never touch somebody else's object of that name, or one that a deleted namesake left behind.

        There is hardly ever one: the write that makes ours says that it must be new, and only its refusal is looked
        into. Where a name was taken the last time, looking comes first.
        """
        uid, ref = action.uid, ref_of(action.obj)
        if uid is None:
            if _ready(observed.service.get("status", {})).get("reason") != "NameConflict":
                with suppress(Conflict):
                    await self._kube.apply(action.obj, uid=None, manager=action.manager)
                    return None
            found = await self._kube.get_metadata(ref)
            if found is not None and not observed.owner.owns(found):
                return _name_conflict(ref)
            uid = found["metadata"]["uid"] if found else None
        await self._kube.apply(action.obj, uid=uid, manager=action.manager)
        return None

    async def _say(self, observed: Observed, desired: Object, *, warning: bool) -> float | None:
        """Write the status if it differs; an event when Ready has another reason. Returns a delay if it must wait."""
        before, after = observed.service.get("status", {}), desired["status"]
        if before == after:
            return None
        if _without_progress(before) == _without_progress(after) and not self._rate_limit.admit():
            return _POLL_SECONDS
        await self._kube.apply_status(desired)
        was, ready = _ready(before), _ready(after)
        if was.get("reason") != ready["reason"]:
            _log.info("ready", status=ready["status"], reason=ready["reason"], message=ready["message"])
            await self._kube.record_event(
                observed.service, reason=ready["reason"], message=ready["message"] or ready["reason"], warning=warning
            )
        return None

    def _look_again(self, data: DataState, observed: Observed, planned: Plan, refused: Problem | None) -> float:
        seconds = [self._data.look_again(data)]
        if refused is not None:
            seconds.append(_CONFLICT_SECONDS if refused.reason == "Conflict" else _SOON_SECONDS)
        job = planned.pending.job if planned.pending else None
        if job is not None and (job.phase is JobPhase.RUNNING or job.awaits_report):
            seconds.append(_POLL_SECONDS)
        state = rollout(observed.deployment)
        if state is not None and not state.complete:
            seconds.append(_SOON_SECONDS)
        return min(seconds)


def _name_conflict(ref: Ref) -> Problem:
    return Problem(
        reason="NameConflict",
        message=f"{ref.kind.kind} {ref.name} exists and is not ours: delete it, or choose another name",
    )


def _forbidden(action: Action, error: Forbidden) -> Problem:
    """A quota or a LimitRange of the namespace refuses a claim by its size; all else is somebody's decision."""
    claim = isinstance(action, Apply) and ref_of(action.obj).kind == PERSISTENT_VOLUME_CLAIM
    field = "see spec.artifacts.volumeClaim.size" if claim else "see the operator's RBAC"
    return Problem(reason="Forbidden", message=f"{error} (ask for a larger quota, or {field})")


def _ready(status: Object) -> Object:
    conditions: list[Object] = status.get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})


def _without_progress(status: Object) -> Object:
    """A status without what only tells how far a stage is."""
    conditions = [{**condition, "message": ""} for condition in status.get("conditions", [])]
    return {**status, "progress": "", "conditions": conditions}


def _invalid(error: ValidationError) -> Problem:
    message = "; ".join(problems(error, root="spec"))
    return Problem(reason="InvalidSpec", message=message, waits_for_change=True)
