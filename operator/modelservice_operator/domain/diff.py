"""One diff for all kinds of children: what is desired against what is observed gives the writes."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelservice_operator.constants import FIELD_MANAGER
from modelservice_operator.domain.jobs import StageJob
from modelservice_operator.domain.metadata import is_current, stamped
from modelservice_operator.domain.observe import Observed
from modelservice_operator.kinds import JOB, POD, ref_of
from modelservice_operator.objects import Kind, Object, Ref

Name = tuple[Kind, str]
"""Kind and name of a child."""


@dataclass(frozen=True, kw_only=True)
class Apply:
    """A server-side apply to the child with this UID. None: it must be new, since nothing of ours has this name yet."""

    obj: Object
    uid: str | None
    manager: str = FIELD_MANAGER


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


Action = Apply | Delete | Scale


@dataclass(frozen=True, kw_only=True)
class Desired:
    """A child as it is to be.

    ``immutable``: it is made, and never changed. ``manager``: another than ours says only a part of a child that is
    there, and is returned only when that part is to be said.
    """

    obj: Object
    immutable: bool = False
    manager: str = FIELD_MANAGER

    @property
    def name(self) -> Name:
        """Kind and name."""
        return ref_of(self.obj).kind, self.obj["metadata"]["name"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The children of one concern: ``desired`` in the order in which they are written, ``kept`` as they are."""

    desired: tuple[Desired, ...] = ()
    kept: frozenset[Name] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The writes.

    ``applies`` has those of each part, in order: a refused one holds up the rest of its own part only, since a quota
    that refuses a claim must not keep what serves from being scaled. ``deletes`` wait for nothing; Jobs are stopped
    first.
    """

    deletes: tuple[Delete, ...] = ()
    applies: tuple[tuple[Apply, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.deletes) or any(self.applies)


def diff(observed: Observed, parts: Iterable[Part]) -> Changes:
    """What to write so that the children are those of the parts; children that no part names are deleted."""
    parts = tuple(parts)
    named = {name for part in parts for name in part.kept} | {one.name for part in parts for one in part.desired}
    children = ((kind, obj) for kind, objects in observed.children.items() if kind != POD for obj in objects)
    gone = [(kind, obj) for kind, obj in children if (kind, obj["metadata"]["name"]) not in named]
    gone.sort(key=lambda found: found[0] != JOB)
    deletes = (_delete(observed, kind, obj) for kind, obj in gone if not obj["metadata"].get("deletionTimestamp"))
    return Changes(deletes=tuple(deletes), applies=tuple(_applies(observed, part) for part in parts))


def _applies(observed: Observed, part: Part) -> tuple[Apply, ...]:
    return tuple(apply for desired in part.desired if (apply := _apply(observed, desired)) is not None)


def _apply(observed: Observed, desired: Desired) -> Apply | None:
    live = observed.child(*desired.name)
    uid = live["metadata"]["uid"] if live else None
    if desired.manager != FIELD_MANAGER:
        return Apply(obj=desired.obj, uid=uid, manager=desired.manager)
    obj = stamped(desired.obj)
    current = live is not None if desired.immutable else is_current(live, obj)
    return None if current else Apply(obj=obj, uid=uid)


def _delete(observed: Observed, kind: Kind, obj: Object) -> Delete:
    metadata = obj["metadata"]
    ref = Ref(kind, metadata["namespace"], metadata["name"])
    running = kind == JOB and _job(observed, ref.name).unfinished
    # The pods of what still runs must be gone before the next attempt begins.
    return Delete(ref=ref, uid=metadata["uid"], propagation="Foreground" if running else "Background")


def _job(observed: Observed, name: str) -> StageJob:
    return next(job for job in observed.jobs if job.name == name)
