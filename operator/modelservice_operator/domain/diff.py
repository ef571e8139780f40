"""One diff for all kinds of children: what is desired against what is observed gives the writes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType

from modelservice_operator.constants import FIELD_MANAGER
from modelservice_operator.domain.drift import Extra, extras
from modelservice_operator.domain.metadata import PARTNER_KINDS, Owner, Partner, is_current, stamped
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.unproven import unproven_claims
from modelservice_operator.kinds import (
    CONTROLLED_KINDS,
    CONTROLLER_REVISION,
    JOB,
    MODEL_SERVICE,
    PERSISTENT_VOLUME_CLAIM,
    ref_of,
)
from modelservice_operator.objects import Kind, Object, Ref

Name = tuple[Kind, str]
"""Kind and name of a child."""


class Phase(IntEnum):
    """When a part is written: all of the first phase side by side, then all of the second."""

    FIRST = 1
    SECOND = 2


@dataclass(frozen=True, kw_only=True)
class Check:
    """A look at a name that is to be ours later: found to be taken before anything is trained for it."""

    ref: Ref


@dataclass(frozen=True, kw_only=True)
class Seek:
    """A look for a child of ours that no watch shows: what comes after is decided again if there is one."""

    ref: Ref


@dataclass(frozen=True, kw_only=True)
class Apply:
    """A server-side apply to the child with this UID. None: it must be new, since nothing of ours has this name yet."""

    obj: Object
    uid: str | None
    manager: str = FIELD_MANAGER

    @property
    def ref(self) -> Ref:
        """The child."""
        return ref_of(self.obj)


@dataclass(frozen=True, kw_only=True)
class Adopt:
    """Labels and owners that a child lacks; ``found``: it belonged to nobody until now."""

    ref: Ref
    uid: str
    metadata: Object
    found: bool = False


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Removes what others added to a child, as it is in this version; ``obj`` is the child without it."""

    ref: Ref
    uid: str
    version: str
    extras: tuple[Extra, ...]
    obj: Object


@dataclass(frozen=True, kw_only=True)
class Delete:
    """A deletion of exactly one object."""

    ref: Ref
    uid: str
    propagation: str = "Background"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A number of replicas for an object that is still the one of this version."""

    ref: Ref
    replicas: int
    version: str


@dataclass(frozen=True, kw_only=True)
class LetGo:
    """Takes our finalizer off a ModelService."""

    owner: Owner

    @property
    def ref(self) -> Ref:
        """The ModelService."""
        return Ref(MODEL_SERVICE, self.owner.namespace, self.owner.name)


Action = Check | Seek | Apply | Adopt | Strip | Delete | Scale | LetGo


@dataclass(frozen=True, kw_only=True)
class Desired:
    """A child as it is to be.

    ``immutable``: it is made, and never changed. ``manager``: another than ours says only a part of a child that is
    there, and is returned only when that part is to be said.
    """

    obj: Object
    immutable: bool = False
    manager: str = FIELD_MANAGER

    @cached_property
    def name(self) -> Name:
        """Kind and name."""
        return ref_of(self.obj).kind, self.obj["metadata"]["name"]

    @cached_property
    def stamped(self) -> Object:
        """The child as it is applied."""
        return stamped(self.obj)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The children of one concern: ``desired`` in the order in which they are written, ``kept`` as they are.

    ``checks`` are names that are looked at before the first of them is written.
    """

    desired: tuple[Desired, ...] = ()
    kept: frozenset[Name] = frozenset()
    phase: Phase = Phase.SECOND
    checks: tuple[Ref, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Writes of which each waits for the one before: where one is refused, the rest is left out."""

    actions: tuple[Action, ...]
    phase: Phase = Phase.SECOND


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The writes: ``adoptions`` come before everything else, since what is adopted changes what is to be done.

    Lanes wait for nothing but an earlier phase: a quota that refuses a claim must not keep what serves from being
    scaled, nor a Job from being stopped. ``left`` is what others added and nothing can remove (``Observed.imposed``).
    """

    adoptions: tuple[Lane, ...] = ()
    lanes: tuple[Lane, ...] = ()
    left: tuple[tuple[Ref, Extra], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.adoptions or self.lanes)

    @property
    def actions(self) -> tuple[Action, ...]:
        """All writes, in the order of the lanes."""
        return tuple(action for lane in (*self.adoptions, *self.lanes) for action in lane.actions)


def diff(
    observed: Observed, parts: Iterable[Part], *, outliving: Mapping[Name, Sequence[Partner]] = MappingProxyType({})
) -> Changes:
    """What to write so that the children are those of the parts; children that no part names are deleted.

    ``outliving`` are those that are to outlive the ModelService, and what holds each of them besides it.
    """
    parts = tuple(parts)
    wanted = {one.name: one for part in parts for one in part.desired}
    named = {name for part in parts for name in part.kept} | set(wanted)
    children = [
        (kind, obj)
        for kind, objects in observed.children.items()
        if kind not in CONTROLLED_KINDS
        for obj in objects
        if not obj["metadata"].get("deletionTimestamp")
    ]
    gone = [(kind, obj) for kind, obj in children if (kind, obj["metadata"]["name"]) not in named]
    gone.sort(key=lambda found: found[0] != JOB)
    unfinished = {job.name for job in observed.jobs if job.unfinished}
    lanes = [
        _deletion(observed, kind, obj, runs=kind == JOB and obj["metadata"]["name"] in unfinished) for kind, obj in gone
    ]
    for kind, obj in children:
        if (name := (kind, obj["metadata"]["name"])) not in named:
            continue
        partners = outliving.get(name, ()) if kind in PARTNER_KINDS else None
        if (mending := _mend(observed, obj, name, wanted, partners)) is not None:
            lanes.append(Lane(actions=(mending,), phase=Phase.FIRST))
    lanes += [lane for part in parts for lane in _lanes(observed, part)]
    left = tuple(_left(observed, parts)) if observed.imposed else ()
    return Changes(adoptions=tuple(_adoptions(observed)), lanes=tuple(lanes), left=left)


def _left(observed: Observed, parts: Iterable[Part]) -> Iterator[tuple[Ref, Extra]]:
    for one in (one for part in parts for one in part.desired):
        if (live := observed.child(*one.name)) is None or one.manager != FIELD_MANAGER:
            continue
        imposed = observed.imposed.get(live["metadata"]["uid"], ())
        found = extras(live, one.obj, one.name[0]) if imposed else ()
        yield from ((ref_of(one.obj), extra) for extra in reversed(found) if extra.addition in imposed)


def _adoptions(observed: Observed) -> Iterator[Lane]:
    unproven = unproven_claims(observed)
    for kind, obj in observed.adoptable:
        if kind == PERSISTENT_VOLUME_CLAIM and obj["metadata"]["name"] in unproven:
            continue
        metadata = observed.owner.mended(obj, observed.owner.labels())
        if metadata is not None:
            ref = Ref(kind, observed.owner.namespace, obj["metadata"]["name"])
            adoption = Adopt(ref=ref, uid=obj["metadata"]["uid"], metadata=metadata, found=True)
            yield Lane(actions=(adoption,), phase=Phase.FIRST)


def _mend(
    observed: Observed, live: Object, name: Name, wanted: dict[Name, Desired], partners: Sequence[Partner] | None
) -> Adopt | None:
    """Of what is never applied again: by its labels it is watched, by its owners it is deleted in the end, or stays."""
    one = wanted.get(name)
    if one is not None and not one.immutable:
        return None
    labels = one.obj["metadata"]["labels"] if one else observed.owner.labels_of(*name)
    metadata = observed.owner.mended(live, labels, partners=partners)
    if metadata is None:
        return None
    return Adopt(ref=Ref(name[0], observed.owner.namespace, name[1]), uid=live["metadata"]["uid"], metadata=metadata)


def _lanes(observed: Observed, part: Part) -> Iterator[Lane]:
    actions: list[Action] = [action for one in part.desired if (action := _write(observed, one)) is not None]
    if actions:
        yield Lane(actions=(*(Check(ref=ref) for ref in part.checks), *actions), phase=part.phase)


def _write(observed: Observed, desired: Desired) -> Apply | Strip | None:
    live = observed.child(*desired.name)
    uid = live["metadata"]["uid"] if live else None
    if desired.manager != FIELD_MANAGER:
        return Apply(obj=desired.obj, uid=uid, manager=desired.manager)
    obj = desired.stamped
    if live is None or not (desired.immutable or is_current(live, obj)):
        return Apply(obj=obj, uid=uid)
    metadata = live["metadata"]
    imposed = observed.imposed.get(metadata["uid"], ())
    found = tuple(extra for extra in extras(live, obj, desired.name[0]) if extra.addition not in imposed)
    if not found:
        return None
    return Strip(ref=ref_of(obj), uid=metadata["uid"], version=metadata["resourceVersion"], extras=found, obj=obj)


def _deletion(observed: Observed, kind: Kind, obj: Object, *, runs: bool) -> Lane:
    metadata = obj["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    # The pods of what still runs must be gone before the next attempt begins.
    propagation = "Foreground" if runs else "Background"
    delete = Delete(ref=Ref(kind, namespace, name), uid=metadata["uid"], propagation=propagation)
    # A claim may be of a revision whose record lost its labels.
    hidden = kind == PERSISTENT_VOLUME_CLAIM and observed.child(CONTROLLER_REVISION, name) is None
    seek = (Seek(ref=Ref(CONTROLLER_REVISION, namespace, name)),) if hidden else ()
    return Lane(actions=(*seek, delete), phase=Phase.FIRST)
