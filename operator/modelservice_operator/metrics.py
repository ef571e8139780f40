"""What the operator counts about itself, on a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_RECONCILE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60)


class Metrics:
    """All metrics of one operator process; names start with ``modelservice_operator_``."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.api_requests = Counter(
            "modelservice_operator_api_requests",
            "Requests to the apiserver by verb, kind and HTTP status (or 'none' where no answer came).",
            ("verb", "kind", "code"),
            registry=registry,
        )
        self.writes = Counter(
            "modelservice_operator_writes",
            "Writes of objects that were sent; a converged cluster sees none. The Lease is not counted.",
            ("verb", "kind"),
            registry=registry,
        )
        self.reconciles = Counter(
            "modelservice_operator_reconciles",
            "Reconciles of a ModelService by result: done, transient or error.",
            ("result",),
            registry=registry,
        )
        self.reconcile_seconds = Histogram(
            "modelservice_operator_reconcile_duration_seconds",
            "Duration of one reconcile.",
            buckets=_RECONCILE_BUCKETS,
            registry=registry,
        )
        self.queue_depth = Gauge(
            "modelservice_operator_queue_depth", "ModelServices that wait for a worker.", registry=registry
        )
        self.queue_seconds = Histogram(
            "modelservice_operator_queue_wait_seconds",
            "Time a ModelService waited for a worker.",
            buckets=_WAIT_BUCKETS,
            registry=registry,
        )
        self.ghosts = Counter(
            "modelservice_operator_cache_ghosts",
            "Cached objects that were gone without a DELETED event.",
            ("kind",),
            registry=registry,
        )
        self.leader = Gauge("modelservice_operator_leader", "1 while this replica is the leader.", registry=registry)
