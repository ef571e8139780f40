"""Finds out which data a ModelService points at, at a cost that does not grow with the data."""

import asyncio
import base64
import binascii
from dataclasses import dataclass

from modelservice.contract.data import ConfigMapSource
from modelservice.contract.failure import About
from modelservice.contract.keys import content_digest
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.domain.data import DataState, claim_data, config_map_data
from modelservice_operator.domain.problem import Problem
from modelservice_operator.kinds import CONFIG_MAP
from modelservice_operator.kube.port import KubePort
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.objects import Object, Ref

LOOK_SECONDS = 30.0
"""How old the knowledge of a ConfigMap may get: a change is noticed within a minute."""

_FRESH_SECONDS = 10.0
"""Within this time what was read counts as read just now: a burst of events asks once."""

_REMEMBERED = 4096


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Digests by key of a ConfigMap at one version; an undecodable key has its problem instead."""

    uid: str
    version: str
    digests: dict[str, str | Problem]
    checked: float


class DataSource:
    """Reads ConfigMaps, and remembers the digests of their contents by version; what they contain is not kept."""

    def __init__(self, *, kube: KubePort, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock
        self._known: dict[Ref, _Known] = {}

    async def read(self, namespace: str, spec: ModelServiceSpec) -> DataState:
        """Digest and file of the data, or why there is none.

        Raises:
            KubeError: the apiserver did not answer.
        """
        claim = spec.data.persistent_volume_claim
        if claim is not None:
            return claim_data(claim, spec.data.version)
        source: ConfigMapSource = spec.data.chosen
        return config_map_data(source, await self._digests(Ref(CONFIG_MAP, namespace, source.name)))

    async def _digests(self, ref: Ref) -> dict[str, str | Problem] | None:
        known, now = self._known.get(ref), self._clock.monotonic()
        if known is not None and now - known.checked < _FRESH_SECONDS:
            return known.digests
        if known is not None and (metadata := await self._kube.get_metadata(ref)) is not None:
            found = metadata["metadata"]
            if (found["uid"], found["resourceVersion"]) == (known.uid, known.version):
                return self._remember(ref, found, known.digests, now)
        config_map = await self._kube.get(ref)
        if config_map is None:
            self._known.pop(ref, None)
            return None
        # 1 MiB of gzip inflates for seconds: on the loop that would cost us the lease, so any user could stop us.
        digests = await asyncio.to_thread(_digests_of, config_map)
        return self._remember(ref, config_map["metadata"], digests, now)

    def _remember(
        self, ref: Ref, metadata: Object, digests: dict[str, str | Problem], now: float
    ) -> dict[str, str | Problem]:
        self._known.pop(ref, None)
        uid, version = metadata["uid"], metadata["resourceVersion"]
        self._known[ref] = _Known(uid=uid, version=version, digests=digests, checked=now)
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return digests

    def look_again(self, state: DataState) -> float:
        """Seconds after which the data should be looked at again."""
        return _FRESH_SECONDS / 2 if state.problem else LOOK_SECONDS


def _digests_of(config_map: Object) -> dict[str, str | Problem]:
    digests: dict[str, str | Problem] = {
        key: content_digest(text.encode()) for key, text in (config_map.get("data") or {}).items()
    }
    for key, encoded in (config_map.get("binaryData") or {}).items():
        try:
            digests[key] = content_digest(base64.b64decode(encoded))
        except (ValueError, binascii.Error) as error:
            digests[key] = Problem(
                reason="DataUnreadable",
                message=f"key {key!r} of spec.data.configMap: {error}",
                waits_for_change=True,
                about=About.DATA,
            )
    return digests
