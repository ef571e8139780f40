"""Leader election by a Lease, as client-go does it: compare-and-swap, and time by the local monotonic clock only."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

import structlog

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.errors import Conflict, KubeError
from modelservice_operator.objects import Object, Ref

log = structlog.get_logger(__name__)


_MOMENT_SECONDS = 0.01


class LeaseStore(Protocol):
    """Where the Lease is kept. ``create`` and ``replace`` raise ``Conflict`` if somebody else was faster."""

    async def get(self, ref: Ref) -> Object | None:
        """The Lease, or None."""

    async def create(self, lease: Object) -> Object:
        """Create it and answer with what is stored."""

    async def replace(self, lease: Object) -> Object:
        """Replace the version that its ``resourceVersion`` names and answer with what is stored."""


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Seconds: another one leads within 14 s of the last sign of life, where client-go's defaults take up to 18.

    Others wait ``lease`` after the last sign of life; the leader gives up ``renew_deadline`` after its last success,
    so that a write it sent before can end (``lease - renew_deadline`` is the limit of a write) before another leads.
    """

    lease: float = 12.0
    renew_deadline: float = 7.5
    retry: float = 2.0
    look: float = 1.0


class Elector:
    """One candidate. Not being able to renew, it is no leader any more, whether another one is there or not.

    The Lease of the one that leads carries its ``annotations``.
    """

    def __init__(
        self,
        *,
        store: LeaseStore,
        ref: Ref,
        identity: str,
        clock: Clock,
        annotations: Mapping[str, str] = MappingProxyType({}),
        durations: Durations = Durations(),
        jitter: Callable[[float], float] = lambda seconds: seconds * random.uniform(1.0, 1.2),  # noqa: S311
    ) -> None:
        self._store = store
        self._ref = ref
        self._identity = identity
        self._clock = clock
        self._annotations = annotations
        self._durations = durations
        self._jitter = jitter
        self._may_write_until = float("-inf")
        self._latest: Object | None = None
        self._seen_version = ""
        self._seen_at = float("-inf")
        self._held_until = float("-inf")

    def may_write(self) -> bool:
        """Whether this process is the leader for certain, by the monotonic clock."""
        return self._clock.monotonic() < self._may_write_until

    async def acquire(self, stop: asyncio.Event) -> bool:
        """Wait until this candidate leads (True) or ``stop`` is set (False)."""
        while not stop.is_set():
            if await self.attempt():
                log.info("leading", identity=self._identity, lease=str(self._ref))
                return True
            # A lease that ends before the next try is taken as soon as it ends.
            await self._clock.wait(stop, self._pause(self._jitter(self._durations.look), self._held_until))
        return False

    async def hold(self, stop: asyncio.Event) -> bool:
        """Renew until the lease is lost (False) or ``stop`` is set (True)."""
        while self.may_write():
            if await self._clock.wait(stop, self._pause(self._durations.retry, self._may_write_until)):
                return True
            await self.attempt()
        log.error("lost the lease", identity=self._identity, lease=str(self._ref))
        return False

    async def attempt(self) -> bool:
        """Acquire or renew once; False if somebody else leads or the apiserver did not confirm it."""
        started = self._clock.monotonic()
        try:
            if not await self._swap():
                self._may_write_until = float("-inf")
                return False
        except Conflict:
            self._latest = None  # read before the next attempt who was faster: perhaps ourselves, unconfirmed
            return False
        except KubeError as error:
            self._latest = None
            log.warning("lease not renewed", error=str(error))
            return False
        self._may_write_until = started + self._durations.renew_deadline
        return True

    async def release(self) -> None:
        """Let another candidate lead at once; call it when no write is under way any more."""
        held = self.may_write()
        self._may_write_until = float("-inf")
        if not held or self._latest is None:
            return
        spec = {**self._latest["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._store.replace({**self._latest, "spec": spec})
        except KubeError as error:
            log.warning("lease not released", error=str(error))

    def _pause(self, seconds: float, end: float) -> float:
        """So many seconds, or until the end where that comes before."""
        left = end - self._clock.monotonic()
        return min(seconds, max(left, _MOMENT_SECONDS)) if left > 0 else seconds

    async def _swap(self) -> bool:
        if self._latest is None:
            self._latest = await self._store.get(self._ref)
        if self._latest is None:
            self._latest = await self._store.create(self._lease(None))
            return True
        if self._held_by_another(self._latest):
            self._latest = None
            return False
        self._latest = await self._store.replace(self._lease(self._latest))
        return True

    def _held_by_another(self, lease: Object) -> bool:
        """Any new version is a sign of life; the times in the Lease are another machine's clock, and not compared.

        It may have come while we asked, so its time begins once it is read.
        """
        now = self._clock.monotonic()
        if lease["metadata"]["resourceVersion"] != self._seen_version:
            self._seen_version = lease["metadata"]["resourceVersion"]
            self._seen_at = now
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        lasts = float(spec.get("leaseDurationSeconds") or self._durations.lease)
        self._held_until = self._seen_at + lasts
        return holder not in {"", self._identity} and now < self._held_until

    def _lease(self, latest: Object | None) -> Object:
        now = _micro_time(self._clock.now())
        before = (latest or {}).get("spec") or {}
        renewed = before.get("holderIdentity") == self._identity
        new: Object = {"name": self._ref.name, "namespace": self._ref.namespace}
        metadata: Object = new if latest is None else latest["metadata"]
        annotations = {**(metadata.get("annotations") or {}), **self._annotations}
        return {
            "apiVersion": self._ref.kind.api_version,
            "kind": self._ref.kind.kind,
            "metadata": {**metadata, "annotations": annotations} if annotations else metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": round(self._durations.lease),
                "acquireTime": before.get("acquireTime", now) if renewed else now,
                "renewTime": now,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if renewed or not before else 1),
            },
        }


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
