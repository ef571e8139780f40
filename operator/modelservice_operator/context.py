"""The running operator as one value: what its parts are and nothing about how they work."""

import asyncio
from dataclasses import dataclass, field

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.config import Settings
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.kinds import Key
from modelservice_operator.machinery.lease import Elector
from modelservice_operator.kube.port import KubePort, ProgressPort
from modelservice_operator.metrics import Metrics
from modelservice_operator.machinery.queue import WorkQueue


@dataclass(frozen=True, kw_only=True)
class Context:
    """Ports, state and settings that handlers, workers and probes share."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    cache: Cache
    queue: WorkQueue[Key]
    feed: Feed
    kube: KubePort
    progress: ProgressPort
    elector: Elector
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    """The cache holds everything that the apiserver lists."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """No new work is to begin."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """No work is under way any more, and the lease is released."""
