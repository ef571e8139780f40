"""Carries out the writes of one pass: lanes side by side, each to its first failure, and every failure said."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelservice.contract.keys import short_hash
from modelservice_operator.constants import ANNOTATION_APPLIED
from modelservice_operator.domain.diff import (
    Action,
    Adopt,
    Apply,
    Changes,
    Check,
    Delete,
    Lane,
    LetGo,
    Phase,
    Scale,
    Seek,
    Strip,
)
from modelservice_operator.domain.drift import IMPOSED, SOMEBODY, Extra, extras
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.problem import Problem
from modelservice_operator.finalizing import let_go
from modelservice_operator.kinds import PERSISTENT_VOLUME_CLAIM, ref_of
from modelservice_operator.kube.port import KubePort
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.damper import Damper
from modelservice_operator.machinery.errors import Conflict, Forbidden, Invalid, KubeError
from modelservice_operator.machinery.imposed import Impositions
from modelservice_operator.machinery.names import Names
from modelservice_operator.objects import Object, Ref

_CONFLICT_SECONDS, _SOON_SECONDS = 1.0, 5.0
"""When what failed is tried again: a conflict is over as soon as the newer object is read."""

_TERMINATING = "because it is being terminated"
"""The apiserver's words for a namespace in which it makes nothing any more."""

_SHOWN = 3
"""Additions that are named in one message."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A write that was not done: why, and after how many seconds it is worth another try.

    ``after``: the seconds for which the apiserver asks to be left alone, whatever else there is to do.
    """

    problem: Problem
    again: float = _SOON_SECONDS
    after: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of the writes: the first failure in the order of the lanes, and whether to decide once more at once.

    That is so where something was adopted or stripped: what is to be done now was not known before. Of a number of
    replicas that somebody else's write came before, it is decided once more in a while.
    """

    failure: Failure | None = None
    changed: bool = False


_TAKEN = Problem(reason="Conflict", message="a child of ours turned up")
_TURNED_UP = Failure(problem=_TAKEN, again=_CONFLICT_SECONDS)


class Writer:
    """Writes the children of ModelServices.

    What it writes is in the cache when the port answers, so that the next decision sees it.
    """

    def __init__(self, *, kube: KubePort, cache: Cache, damper: Damper, impositions: Impositions, names: Names) -> None:
        self._kube = kube
        self._names = names
        self._cache = cache
        self._damper = damper
        self._impositions = impositions

    async def carry_out(self, observed: Observed, changes: Changes) -> Outcome:
        """Write; adoptions alone, where there are some, since everything else is to be decided again after them."""
        if changes.adoptions:
            if (failure := await self._check_that_it_stays(observed)) is not None:
                return Outcome(failure=failure)
            failures = await self._side_by_side(observed, changes.adoptions)
            if len(failures) < len(changes.adoptions):
                return Outcome(failure=next(iter(failures), None), changed=True)
        else:
            failures = []
        for phase in Phase:
            failures += await self._side_by_side(observed, [lane for lane in changes.lanes if lane.phase is phase])
        stripped = any(isinstance(action, Strip) for action in changes.actions)
        failed = [failure for failure in failures if failure is not _TURNED_UP]
        changed = _TURNED_UP in failures or (stripped and not failed)
        return Outcome(failure=next(iter(failed), None), changed=changed)

    async def _check_that_it_stays(self, observed: Observed) -> Failure | None:
        """Look whether the ModelService is being deleted, and the watch of its children was faster than its own.

        ``--cascade=orphan`` takes its children's owners off after that began, and whoever put them back would have the
        children deleted with it.
        """
        ref, uid = ref_of(observed.service), observed.owner.uid
        try:
            live = await self._kube.get_metadata(ref)
        except KubeError as error:
            problem = Problem(reason="ReadFailed", message=f"{ref.kind.kind} cannot be read: {error}")
            return Failure(problem=problem, after=error.after)
        if live is None or live["metadata"]["uid"] != uid or live["metadata"].get("deletionTimestamp"):
            problem = Problem(reason="Conflict", message=f"{ref.kind.kind} {ref.name} is being deleted")
            return Failure(problem=problem, again=_CONFLICT_SECONDS)
        return None

    async def scale(self, observed: Observed, action: Scale) -> Outcome:
        """Store a number of replicas in the ModelService; if somebody wrote meanwhile, it is tried again soon."""
        failure = await self._lane(observed, Lane(actions=(action,)))
        if failure is not None and failure.problem.reason == "Conflict":
            return Outcome(changed=True)
        return Outcome(failure=failure)

    async def _side_by_side(self, observed: Observed, lanes: Sequence[Lane]) -> list[Failure]:
        if len(lanes) == 1:  # hardly ever more: no tasks for it
            found = [await self._lane(observed, lanes[0])]
        else:
            found = await asyncio.gather(*(self._lane(observed, lane) for lane in lanes))
        return [failure for failure in found if failure is not None]

    async def _lane(self, observed: Observed, lane: Lane) -> Failure | None:
        """Write in order; stop at the first write that is not done, and say why."""
        for action in lane.actions:
            ref, content = action.ref, _content(action)
            # Writes of another spec are its author's own wish, and undo nobody.
            spec = str(observed.generation)
            if (seconds := self._damper.wait(content, spec)) > 0:
                return Failure(problem=_fought_over(ref, self._cache.get(ref)), again=seconds)
            after = 0.0
            try:
                problem = await self._write(observed, action)
            except KubeError as error:
                problem, after = _problem(action, error), error.after
            if problem in (None, _TAKEN) and not isinstance(action, Check | Seek):
                self._damper.count(content, spec)
            if problem is _TAKEN:
                return _TURNED_UP
            if problem is not None:
                again = _CONFLICT_SECONDS if problem.reason == "Conflict" else _SOON_SECONDS
                return Failure(problem=problem, again=again, after=after)
        return None

    async def _write(self, observed: Observed, action: Action) -> Problem | None:
        match action:
            case Check(ref=ref):
                found = await self._names.find(ref)
                return None if found is None or _is_ours(observed, found) else _name_conflict(ref, found)
            case Seek(ref=ref):
                found = await self._kube.get_metadata(ref)
                return None if found is None else await self._take(observed, ref, found, observed.owner.labels())
            case Delete():
                await self._kube.delete(action.ref, uid=action.uid, propagation=action.propagation)
            case Scale():
                await self._kube.scale(action.ref, replicas=action.replicas, version=action.version)
            case Adopt():
                await self._kube.adopt(action.ref, uid=action.uid, metadata=action.metadata)
            case LetGo():
                await let_go(self._kube, action.owner)
            case Strip():
                return await self._strip(observed, action)
            case Apply():
                return await self._apply(observed, action)
        return None

    async def _strip(self, observed: Observed, action: Strip) -> Problem | None:
        """Take away what others added, and say so; what cannot be taken away is a problem.

        What is in the answer again was put there by admission on the way, which would do so each time.
        """
        ref, shown = action.ref, _list_of(action.extras)
        pointers = [extra.pointer for extra in action.extras]
        try:
            await self._kube.strip(ref, uid=action.uid, version=action.version, pointers=pointers)
        except (Forbidden, Invalid) as error:
            message = f"{ref.kind.kind} {ref.name}: {shown} is not ours and cannot be removed: {error}"
            return Problem(reason="Drifted", message=message, waits_for_change=True)
        again = {extra.addition for extra in extras(self._cache.get(ref) or {"metadata": {}}, action.obj, ref.kind)}
        imposed = [extra for extra in action.extras if extra.addition in again]
        left = [extra for extra in imposed if extra.may_stay]
        self._impositions.learn(action.uid, (extra.addition for extra in left))
        removed = [extra for extra in action.extras if extra not in imposed]
        for some, words in ((removed, "was not ours and is removed"), (left, IMPOSED)):
            if some:
                message = f"{ref.kind.kind} {ref.name}: {_list_of(some)} {words}"
                await self._kube.record_event(observed.service, reason="Drifted", message=message, warning=True)
        return None

    async def _apply(self, observed: Observed, action: Apply) -> Problem | None:
        """Write, but never touch somebody else's object of that name, or one that a namesake left behind.

        There is hardly ever one: the write that makes ours says that it must be new, and only its refusal is looked
        into. Where a name was taken the last time, looking comes first.
        """
        if action.uid is not None:
            await self._kube.apply(action.obj, uid=action.uid, manager=action.manager)
            return None
        found = await self._kube.get_metadata(action.ref) if _name_was_taken(observed) else None
        if found is None:
            try:
                await self._kube.apply(action.obj, uid=None, manager=action.manager)
            except Conflict:
                if (found := await self._kube.get_metadata(action.ref)) is None:
                    raise
            else:
                return None
        return await self._take(observed, action.ref, found, action.obj["metadata"]["labels"])

    async def _take(self, observed: Observed, ref: Ref, found: Object, labels: Mapping[str, str]) -> Problem:
        """Ours turned up, out of sight of our watches without its labels, or without an owner.

        The rest of the lane was decided without it: a claim, for one, may hold what is to be trained. Whether one that
        belongs to nobody is adopted is decided like of one that was seen before: somebody may have planted it since.
        """
        if not _is_ours(observed, found):
            return _name_conflict(ref, found)
        stray = ref.kind == PERSISTENT_VOLUME_CLAIM and not observed.owner.owns(found)
        metadata = None if stray else observed.owner.mended(found, labels)
        if metadata is not None:
            await self._kube.adopt(ref, uid=found["metadata"]["uid"], metadata=metadata)
        elif (whole := await self._kube.get(ref)) is not None:
            self._cache.put(ref.kind, whole)  # no watch told of it yet
        return _TAKEN


def _is_ours(observed: Observed, found: Object) -> bool:
    return observed.owner.owns(found) or observed.owner.may_adopt(found)


def _name_was_taken(observed: Observed) -> bool:
    conditions = observed.service.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["reason"] == "NameConflict" for one in conditions)


def _content(action: Action) -> tuple[object, ...]:
    """What makes a write the same as another one, for the damper."""
    match action:
        case Apply(obj=obj):
            stamp = obj["metadata"].get("annotations", {}).get(ANNOTATION_APPLIED) or short_hash(obj, length=16)
            return ("apply", action.ref, stamp)
        case Strip():
            return ("strip", action.ref, *(extra.pointer for extra in action.extras))
        case Delete(uid=uid) | Adopt(uid=uid):
            return (type(action).__name__, action.ref, uid)
        case Scale():
            return ("scale", action.ref, action.replicas, action.version)
        case LetGo(owner=owner):
            return ("let go", action.ref, owner.uid)
        case Check() | Seek():
            return ("look", action.ref)


def _list_of(extras: Sequence[Extra]) -> str:
    more = len(extras) - _SHOWN
    return ", ".join(map(str, extras[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _fought_over(ref: Ref, live: Object | None) -> Problem:
    foreign = (live or {}).get("metadata", {}).get("foreign") or ()
    manager = next((one["manager"] for one in foreign if one["manager"]), SOMEBODY)
    message = (
        f"{ref.kind.kind} {ref.name} is changed again and again by {manager}: it is written at most 5 times a minute "
        "until one of the two stops (is a second operator at work here, or a webhook?)"
    )
    return Problem(reason="FoughtOver", message=message)


def _name_conflict(ref: Ref, found: Object) -> Problem:
    what = f"{ref.kind.kind} {ref.name}"
    message = f"{what} exists and is not ours: delete it, or choose another name"
    if (since := found["metadata"].get("deletionTimestamp")) is not None:
        message = f"{what} is not ours, and is being deleted since {since}: its name is free once it is gone"
    return Problem(reason="NameConflict", message=message)


def _problem(action: Action, error: KubeError) -> Problem:
    what = f"{action.ref.kind.kind} {action.ref.name}"
    match error:
        case Conflict():
            return Problem(reason="Conflict", message=f"{what}: {error}")
        case Forbidden() if _TERMINATING in str(error):
            message = f"namespace {action.ref.namespace} is being deleted: nothing new can be made in it"
            return Problem(reason="NamespaceTerminating", message=message, rests=True)
        case Forbidden():  # a quota or a LimitRange of the namespace, or else somebody's decision
            claim = isinstance(action, Apply) and action.ref.kind == PERSISTENT_VOLUME_CLAIM
            field = "see spec.artifacts.volumeClaim.size" if claim else "see the operator's RBAC"
            return Problem(reason="Forbidden", message=f"{error} (ask for a larger quota, or {field})")
        case Invalid():
            message = f"the apiserver refuses a child: {error}"
            return Problem(reason="Refused", message=message, waits_for_change=True)
    verb = {Delete: "deleted", Check: "read", Seek: "read"}.get(type(action), "written")
    return Problem(reason="WriteFailed", message=f"{what} could not be {verb}, and is tried again: {error}")
