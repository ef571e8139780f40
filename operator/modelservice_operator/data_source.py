"""Finds out which data ModelServices point at: beside the workers, at a cost that a namespace bears alone."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace

from modelservice.contract.data import ConfigMapSource
from modelservice.contract.digests import joined
from modelservice.contract.failure import About
from modelservice.contract.keys import content_digest
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.domain.data import ConfigMapContent, DataState, config_map_data, declared_data
from modelservice_operator.domain.problem import Problem
from modelservice_operator.kinds import CONFIG_MAP
from modelservice_operator.kube.port import KubePort
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.doubling import doubled
from modelservice_operator.machinery.errors import Forbidden, KubeError
from modelservice_operator.machinery.lookups import Asked, Lookups
from modelservice_operator.objects import Key, Object, Ref

LOOK_SECONDS = 3600.0
"""How old the knowledge of a ConfigMap may get of which nobody says that it changed (see ``data_watch``)."""

_FIRST_SECONDS, _MISSING_SECONDS = 0.25, 5.0
"""The same, while something is wrong with it: the first time, and after a while."""


@dataclass(frozen=True)
class _Meant:
    """A key of a ConfigMap, as a spec names it, and those of single sides beside it."""

    namespace: str
    source: ConfigMapSource
    beside: tuple[str, ...] = ()

    @property
    def ref(self) -> Ref:
        """The ConfigMap."""
        return Ref(CONFIG_MAP, self.namespace, self.source.name)


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What a ConfigMap held at one version, or None where there is none; another version with the same is the same.

    ``stale``: it could not be read once more.
    """

    found: ConfigMapContent | Problem | None
    uid: str = field(default="", compare=False)
    version: str = field(default="", compare=False)
    stale: bool = field(default=False, compare=False)

    @property
    def good(self) -> bool:
        """Whether there is a digest."""
        return isinstance(self.found, ConfigMapContent) and isinstance(self.found.digest, str)


class DataSource:
    """Reads ConfigMaps and remembers digests of the keys that are meant; what they contain is not kept."""

    def __init__(self, *, kube: KubePort, clock: Clock, on_change: Callable[[Key], None]) -> None:
        self._kube = kube
        self._meant: dict[Key, Ref] = {}
        self._askers: dict[Ref, set[Key]] = {}
        self.lookups: Lookups[_Meant, _Read] = Lookups(
            ask=self._ask, interval=_interval, on_change=on_change, clock=clock
        )

    def read(self, asker: Key, spec: ModelServiceSpec, *, patience: float) -> DataState | None:
        """Digest and file of the data, or why there is none.

        None for ``patience`` seconds at most, while the first answer is about to come: most come within milliseconds.
        """
        if (declared := declared_data(spec)) is not None:
            self.forget(asker)
            return declared
        source: ConfigMapSource = spec.known_data.chosen
        given = spec.known_data.split.given_files
        meant = _Meant(asker.namespace, source, tuple(given.values()))
        self._note(asker, meant.ref)
        (read,) = self.lookups.want(asker, [meant])
        if read is not None:
            return config_map_data(source, read.found, given)
        waited = self.lookups.unanswered_for(meant)
        if waited is not None and waited < patience:
            return None
        message = f"ConfigMap {source.name!r} is being read; other reads of this namespace come before it"
        return DataState(problem=Problem(reason="DataNotRead", message=message, about=About.DATA), known=False)

    def forget(self, asker: Key) -> None:
        """Nobody wants to know any more."""
        self._note(asker, None)
        self.lookups.want(asker, ())

    def refs(self) -> tuple[Ref, ...]:
        """The ConfigMaps that are read."""
        return tuple(self._askers)

    def is_known(self, ref: Ref, *, uid: str, version: str) -> bool:
        """Whether all who read this ConfigMap have read it in this version."""
        return all(read is not None and (read.uid, read.version) == (uid, version) for read in self._reads(ref))

    def is_listed(self, ref: Ref, uids: Container[str]) -> bool:
        """Whether what was read of this ConfigMap is of one with such a UID; also where nothing was found or read."""
        return all(read is None or not read.uid or read.uid in uids for read in self._reads(ref))

    def changed(self, ref: Ref) -> None:
        """A ConfigMap may be another one than was read."""
        for asker in sorted(self._askers.get(ref, ())):
            self.lookups.hurry(asker)

    def _reads(self, ref: Ref) -> Iterator[_Read | None]:
        return (read for asker in self._askers.get(ref, ()) for read in self.lookups.answers(asker))

    def _note(self, asker: Key, ref: Ref | None) -> None:
        """Somebody reads this ConfigMap now, and no other."""
        if (before := self._meant.get(asker)) == ref:
            return
        if before is not None:
            self._askers[before].discard(asker)
            if not self._askers[before]:
                del self._askers[before]
        if ref is None:
            del self._meant[asker]
        else:
            self._meant[asker] = ref
            self._askers.setdefault(ref, set()).add(asker)

    async def _ask(self, meant: _Meant, last: _Read | None) -> _Read:
        try:
            return await self._look(meant, last)
        except KubeError as error:
            # What was read stays true while the apiserver does not answer; what may not be read any more does not.
            if last is not None and last.good and not isinstance(error, Forbidden):
                return replace(last, stale=True)
            message = f"ConfigMap {meant.source.name!r} cannot be read: {error}"
            return _Read(found=Problem(reason="DataUnavailable", message=message, about=About.DATA))

    async def _look(self, meant: _Meant, last: _Read | None) -> _Read:
        if last is not None and last.uid and (metadata := await self._kube.get_metadata(meant.ref)) is not None:
            found = metadata["metadata"]
            if (found["uid"], found["resourceVersion"]) == (last.uid, last.version):
                return replace(last, stale=False)
        config_map = await self._kube.get(meant.ref)
        if config_map is None:
            return _Read(found=None)
        # 1 MiB of gzip inflates for seconds: on the loop that would cost us the lease, so any user could stop us.
        content = await asyncio.to_thread(_content_of, config_map, meant)
        metadata = config_map["metadata"]
        return _Read(found=content, uid=metadata["uid"], version=metadata["resourceVersion"])


def _interval(asked: Asked[_Read]) -> float:
    """Soon at first: who applies one file makes the ConfigMap a moment after the ModelService."""
    if asked.answer is not None and asked.answer.good and not asked.answer.stale:
        return LOOK_SECONDS
    return doubled(_FIRST_SECONDS, asked.times - 1, most=_MISSING_SECONDS)


def _content_of(config_map: Object, meant: _Meant) -> ConfigMapContent:
    """Names of all keys, and the digest of those that are meant alone."""
    data, packed = config_map.get("data") or {}, config_map.get("binaryData") or {}
    keys = (*data, *packed)
    key = meant.source.chosen_key(keys, beside=meant.beside)
    if key is None or not {key, *meant.beside} <= set(keys):
        return ConfigMapContent(keys=keys)
    digests = []
    for one in (key, *meant.beside):
        try:
            content = data[one].encode() if one in data else base64.b64decode(packed[one])
            digests.append(content_digest(content))
        except (ValueError, binascii.Error) as error:
            message = f"key {one!r} of spec.data.configMap: {error}"
            problem = Problem(reason="DataUnreadable", message=message, waits_for_change=True, about=About.DATA)
            return ConfigMapContent(keys=keys, digest=problem)
    return ConfigMapContent(keys=keys, digest=joined(digests))
