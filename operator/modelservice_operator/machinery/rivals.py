"""Other releases of the operator over the same namespaces: who finds one at work does not work itself.

Each release says in its Lease where it works, and looks at the Leases of the others before it takes its own, and once
more after. Of two that take theirs at the same time at least one sees the other afterwards, and gives its own back; so
no two lead, and no two machines' clocks are compared for it.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.errors import KubeError

log = structlog.get_logger(__name__)

ALL: Final = "*"
"""Stands for all namespaces of the cluster."""

LOOK_SECONDS = 10.0
"""At least, and twice that at most, between two looks while a rival works: each is a list over all namespaces, and
releases that gave way to each other are not to meet again."""

SILENCE_SECONDS = 60.0
"""A rival whose Lease does not change for so long is gone: time enough for its only pod to be replaced."""

HANDOVER_SECONDS = 15.0
"""So long a Lease that was given back is still its release's: in an upgrade the next pod takes it within seconds."""

FORGOTTEN_SECONDS = 3600.0
"""A Lease that was renewed so long ago belongs to nobody: clocks of one cluster do not differ by as much."""

_NAMED = 3

Scope = frozenset[str]
"""Namespaces that a release works in; none for all of the cluster."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a Lease says about the release that keeps it.

    ``namespace`` is where the Lease is, ``version`` its resourceVersion, ``holder`` the pod that holds it or nothing,
    ``account`` the name of the ServiceAccount that the release's pods have.
    """

    namespace: str
    version: str
    holder: str
    renewed: datetime | None
    account: str
    scope: Scope


class Releases(Protocol):
    """The Leases of all releases."""

    async def list(self) -> Sequence[Release]:
        """What all Leases of the operator's name say, in all namespaces, our own included.

        Raises:
            KubeError: The apiserver did not answer well.
        """

    async def proven(self, release: Release, namespace: str) -> bool:
        """Whether the release's ServiceAccount may work in the namespace (``ALL``: in all).

        Who may edit one namespace may write any Lease there; what the cluster's roles allow, nobody can forge.

        Raises:
            KubeError: The apiserver did not answer well.
        """


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """Since when (monotonic) a Lease has been seen in its version, and whether it was ever seen with a holder."""

    version: str
    since: float
    held: bool


def sighting(release: Release, before: Sighting | None, monotonic: float) -> Sighting:
    """What is known of a Lease after it was seen once more."""
    held = bool(release.holder) or (before is not None and before.held)
    unchanged = before is not None and before.version == release.version
    since = before.since if before is not None and unchanged else monotonic
    return Sighting(version=release.version, since=since, held=held)


def is_alive(release: Release, seen: Sighting, *, monotonic: float, now: datetime) -> bool:
    """Whether a release works, or its next pod is about to."""
    unchanged = monotonic - seen.since
    if not release.holder:
        return seen.held and unchanged < HANDOVER_SECONDS
    if release.renewed is None or (now - release.renewed).total_seconds() > FORGOTTEN_SECONDS:
        return False
    return unchanged < SILENCE_SECONDS


def overlap(ours: Scope, theirs: Scope) -> tuple[str, ...]:
    """The namespaces in common, in order; ``ALL`` alone if both work in all."""
    if not ours and not theirs:
        return (ALL,)
    return tuple(sorted(ours & theirs if ours and theirs else ours | theirs))


class Rivals:
    """The other releases, as the one in ``namespace``, which works in ``scope``, sees them."""

    def __init__(
        self,
        *,
        releases: Releases,
        namespace: str,
        scope: Scope,
        clock: Clock,
        jitter: Callable[[float], float] = lambda seconds: seconds * random.uniform(1.0, 2.0),  # noqa: S311
    ) -> None:
        self._releases = releases
        self._namespace = namespace
        self._scope = scope
        self._clock = clock
        self._jitter = jitter
        self._seen: dict[str, Sighting] = {}
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why this release does not work, in a sentence with a remedy; None if the last look found no reason."""
        return self._problem

    async def wait_until_none(self, stop: asyncio.Event) -> bool:
        """Wait until a look finds none (True) or ``stop`` is set (False)."""
        while not stop.is_set():
            if await self.look():
                return True
            await self._clock.wait(stop, self._jitter(LOOK_SECONDS))
        return False

    async def look(self) -> bool:
        """Whether no rival is there; what cannot be seen counts as one."""
        try:
            problem = await self._find()
        except KubeError as error:
            problem = f"it cannot be seen whether another release works in the same namespaces: {error}"
        if problem is not None and problem != self._problem:
            log.warning("not working", why=problem)
        self._problem = problem
        return problem is None

    async def _find(self) -> str | None:
        releases = [release for release in await self._releases.list() if release.namespace != self._namespace]
        monotonic, now = self._clock.monotonic(), self._clock.now()
        seen = {
            release.namespace: sighting(release, self._seen.get(release.namespace), monotonic) for release in releases
        }
        self._seen = seen
        for release in sorted(releases, key=lambda release: release.namespace):
            common = overlap(self._scope, release.scope)
            alive = is_alive(release, seen[release.namespace], monotonic=monotonic, now=now)
            # A release has the same rights in all of its namespaces: one stands for all, however many a Lease names.
            if common and alive and await self._releases.proven(release, common[0]):
                return _sentence(self._namespace, release.namespace, common)
        return None


def _sentence(ours: str, theirs: str, common: Sequence[str]) -> str:
    more = f" and {len(common) - _NAMED} more" if len(common) > _NAMED else ""
    word = "namespace" if len(common) == 1 else "namespaces"
    where = "all namespaces" if common[0] == ALL else f"{word} {', '.join(common[:_NAMED])}{more}"
    return (
        f"the release in namespace {theirs} already works in {where}, where the one in namespace {ours} is to work too:"
        " uninstall one of the two, or set watch.namespaces of both so that they have none in common"
    )
