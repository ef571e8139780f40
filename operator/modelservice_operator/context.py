"""The running operator as one value: what its parts are and nothing about how they work."""

from dataclasses import dataclass, field

from modelservice_operator.config import Settings
from modelservice_operator.kube.port import KubePort, ProgressPort
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.discovery import Discovers
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.machinery.lease import Elector
from modelservice_operator.machinery.manager import Lifecycle
from modelservice_operator.machinery.queue import WorkQueue
from modelservice_operator.machinery.reflector import Source
from modelservice_operator.machinery.rivals import Rivals
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key


@dataclass(frozen=True, kw_only=True)
class Context:
    """Ports, state and settings that handlers, workers and probes share.

    ``feed`` takes ModelServices, whose change is looked at in no time, and ``children`` what controllers and we change.
    """

    settings: Settings
    clock: Clock
    metrics: Metrics
    cache: Cache
    queue: WorkQueue[Key]
    feed: Feed
    children: Feed
    kube: KubePort
    source: Source
    progress: ProgressPort
    discovery: Discovers
    elector: Elector
    rivals: Rivals
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
