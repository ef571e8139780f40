"""Looks up what the cache does not know, beside the workers: live progress, what queues say, and last warnings."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from modelservice.contract.progress import Progress
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.assessment import Diagnostics
from modelservice_operator.domain.diagnose import event_problem, is_stuck, pod_problem
from modelservice_operator.domain.jobs import JobPhase
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.plan import Plan
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.queueing import QueueSays, queue_of, queue_says
from modelservice_operator.domain.stuck import Waiting, waiting_objects
from modelservice_operator.domain.volumes import explained
from modelservice_operator.kube.port import KubePort, ProgressPort
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.doubling import doubled
from modelservice_operator.machinery.errors import KubeError
from modelservice_operator.machinery.lookups import Asked, Lookups
from modelservice_operator.objects import Key

_LOOKUPS = 4
"""Objects of one ModelService whose events are asked for, the closest causes first."""

_FIRST_INTERVAL, _LAST_INTERVAL = 4.0, 300.0
"""What got stuck a moment ago is asked about every few seconds, then half as often each time."""

_LAST_QUEUE = 60.0
"""Why a Job waits in a queue changes with what goes before it."""

_EVENT_LISTS_PER_SECOND = 1.5
"""Events have no index by object: each list costs the apiserver a walk through those of the namespace."""

_FIRST_PROGRESS, _LAST_PROGRESS, _SLOWER = 2.0, 15.0, 1.1
"""A short training is asked every two seconds, a long one less and less often: each answer may be a write."""

_SLOW_SECONDS, _SILENT_INTERVAL = 0.5, 30.0
"""A pod that let us wait for nothing (a policy drops our packets) is left alone for a while."""

_PROGRESS_CONCURRENCY = 16


@dataclass(frozen=True)
class _Stuck:
    """An object whose last warning is asked for; ``section`` of the spec is named in the answer."""

    namespace: str
    uid: str
    section: str


@dataclass(frozen=True)
class _Queued:
    """A Job that waits in a queue."""

    namespace: str
    job_uid: str


@dataclass(frozen=True)
class _Pod:
    """A pod of a stage, by its address."""

    namespace: str
    address: str


class Diagnostician:
    """Asks the pod of a stage how far it is, and Kubernetes what it says about objects that have waited for 5 s."""

    def __init__(
        self,
        *,
        kube: KubePort,
        progress: ProgressPort,
        settings: Settings,
        clock: Clock,
        on_change: Callable[[Key], None],
    ) -> None:
        self._kube = kube
        self._progress = progress
        self._settings = settings
        self.warnings: Lookups[_Stuck, Problem] = Lookups(
            ask=self._ask_warning,
            interval=_warning_interval,
            on_change=on_change,
            clock=clock,
            rate=_EVENT_LISTS_PER_SECOND,
        )
        self.progress: Lookups[_Pod, Progress] = Lookups(
            ask=self._ask_progress,
            interval=_progress_interval,
            on_change=on_change,
            clock=clock,
            concurrency=_PROGRESS_CONCURRENCY,
        )
        self.queues: Lookups[_Queued, QueueSays] = Lookups(
            ask=self._ask_queue, interval=_queue_interval, on_change=on_change, clock=clock
        )

    @property
    def lookups(self) -> tuple[Lookups[Any, Any], ...]:
        """What is asked beside the passes."""
        return (self.warnings, self.progress, self.queues)

    def gather(
        self,
        asker: Key,
        spec: ModelServiceSpec,
        observed: Observed,
        planned: Plan,
        *,
        refused: Problem | None,
        now: datetime,
    ) -> Diagnostics:
        """What is known by now about one ModelService."""
        waiting = waiting_objects(spec, observed, planned, self._settings)
        stuck = [found for found in waiting if is_stuck(found.obj, now) and not _says_why(found)][:_LOOKUPS]
        answers = self.warnings.want(
            asker, (_Stuck(asker.namespace, found.obj["metadata"]["uid"], found.section) for found in stuck)
        )
        problems: dict[str, Problem] = {}
        for found, problem in zip(stuck, answers, strict=True):
            if problem is not None:
                problems.setdefault(found.concern, explained(problem, found.obj, observed))
        queued = _queued(planned)
        says = self.queues.want(asker, [_Queued(asker.namespace, queued)] if queued else [])
        address = _progress_address(planned)
        progress = self.progress.want(asker, [_Pod(asker.namespace, address)] if address else [])
        return Diagnostics(
            progress=next(iter(progress), None),
            queue=next(iter(says), None),
            artifacts=problems.get("artifacts"),
            stage=problems.get("stage"),
            serving=problems.get("serving"),
            refused=refused,
        )

    def forget(self, asker: Key) -> None:
        """Nobody wants to know any more."""
        self.warnings.want(asker, ())
        self.progress.want(asker, ())
        self.queues.want(asker, ())

    async def _ask_warning(self, stuck: _Stuck, last: Problem | None) -> Problem | None:
        try:
            events = await self._kube.last_events(stuck.namespace, stuck.uid)
        except KubeError:
            return last
        return event_problem(events, section=stuck.section)

    async def _ask_queue(self, queued: _Queued, last: QueueSays | None) -> QueueSays | None:
        try:
            workloads = await self._kube.workloads(queued.namespace, queued.job_uid)
        except KubeError:
            return last
        return queue_says(workloads, job_uid=queued.job_uid)

    async def _ask_progress(self, pod: _Pod, last: Progress | None) -> Progress | None:
        del last  # a pod that no longer answers says nothing; the status keeps what it said
        return await self._progress.read(pod.address)


def _warning_interval(asked: Asked[Problem]) -> float:
    return doubled(_FIRST_INTERVAL, asked.times - 1, most=_LAST_INTERVAL)


def _queue_interval(asked: Asked[QueueSays]) -> float:
    return doubled(_FIRST_INTERVAL, asked.times - 1, most=_LAST_QUEUE)


def _progress_interval(asked: Asked[Progress]) -> float:
    if asked.answer is None and asked.seconds >= _SLOW_SECONDS:
        return _SILENT_INTERVAL
    return float(min(_LAST_PROGRESS, _FIRST_PROGRESS * _SLOWER ** min(asked.times - 1, 64)))


def _says_why(found: Waiting) -> bool:
    """Whether a pod's own conditions tell what its events would only repeat."""
    return pod_problem(found.obj, section=found.section) is not None


def _queued(planned: Plan) -> str | None:
    """UID of the Job that is waited for, where it waits in a queue."""
    job = planned.pending.job if planned.pending else None
    if job is None or job.suspended_since is None or queue_of(job.obj) is None:
        return None
    return job.uid


def _progress_address(planned: Plan) -> str | None:
    job = planned.pending.job if planned.pending else None
    if job is None or job.phase is not JobPhase.RUNNING:
        return None
    running = (pod.get("status", {}) for pod in job.telling_pods if pod.get("status", {}).get("phase") == "Running")
    return next((status["podIP"] for status in running if status.get("podIP")), None)
