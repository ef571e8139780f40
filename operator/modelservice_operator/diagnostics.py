"""Looks up what the cache does not know: live progress, and the last warnings about what has been stuck."""

from dataclasses import dataclass

from modelservice.contract.progress import Progress
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.assessment import Diagnostics, Waiting, waiting_objects
from modelservice_operator.domain.diagnose import event_problem, is_stuck
from modelservice_operator.domain.jobs import JobPhase
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.plan import Plan
from modelservice_operator.domain.problem import Problem
from modelservice_operator.kube.port import KubePort, ProgressPort
from modelservice_operator.machinery.clock import Clock

_LOOKUPS = 4
"""Events are asked for at most this often in one reconcile, the closest causes first."""

_FRESH_SECONDS, _FRESH_INTERVAL, _OLD_INTERVAL = 30.0, 4.0, 30.0
"""What got stuck a moment ago is asked about every few seconds, what has been for long now and then."""

_SLOW_SECONDS, _SILENT_INTERVAL = 0.5, 30.0
"""A pod that let us wait for nothing (a policy drops our packets) is left alone for a while: a wait takes a worker."""

_REMEMBERED = 4096


@dataclass(frozen=True, kw_only=True)
class _Look:
    """When an object was first seen stuck, when it was last asked about, and the answer."""

    since: float
    asked: float
    problem: Problem | None

    def is_due(self, now: float) -> bool:
        interval = _FRESH_INTERVAL if now - self.since < _FRESH_SECONDS else _OLD_INTERVAL
        return now - self.asked >= interval


class Diagnostician:
    """Asks the pod of a stage how far it is, and Kubernetes what it says about objects that have waited for 5 s."""

    def __init__(self, *, kube: KubePort, progress: ProgressPort, settings: Settings, clock: Clock) -> None:
        self._kube = kube
        self._progress = progress
        self._settings = settings
        self._clock = clock
        self._looks: dict[str, _Look] = {}
        self._silent_until: dict[str, float] = {}

    async def gather(
        self, spec: ModelServiceSpec, observed: Observed, planned: Plan, *, refused: Problem | None
    ) -> Diagnostics:
        """Diagnostics about one ModelService.

        Raises:
            KubeError: the apiserver did not answer.
        """
        problems: dict[str, Problem] = {}
        waiting = waiting_objects(spec, observed, planned, self._settings)
        stuck = [found for found in waiting if is_stuck(found.obj, self._clock.now())]
        for found in stuck[:_LOOKUPS]:
            if found.concern not in problems and (problem := await self._last_warning(found)):
                problems[found.concern] = problem
        address = _progress_address(planned)
        return Diagnostics(
            progress=await self._read_progress(address) if address else None,
            artifacts=problems.get("artifacts"),
            stage=problems.get("stage"),
            serving=problems.get("serving"),
            refused=refused,
        )

    async def _read_progress(self, address: str) -> Progress | None:
        began = self._clock.monotonic()
        if began < self._silent_until.get(address, began):
            return None
        self._silent_until.pop(address, None)
        progress = await self._progress.read(address)
        now = self._clock.monotonic()
        if progress is None and now - began >= _SLOW_SECONDS:
            self._silent_until[address] = now + _SILENT_INTERVAL
            if len(self._silent_until) > _REMEMBERED:
                del self._silent_until[next(iter(self._silent_until))]
        return progress

    async def _last_warning(self, found: Waiting) -> Problem | None:
        metadata, now = found.obj["metadata"], self._clock.monotonic()
        look = self._looks.pop(metadata["uid"], None)
        if look is None or look.is_due(now):
            events = await self._kube.last_events(metadata["namespace"], metadata["uid"])
            problem = event_problem(events, section=found.section)
            look = _Look(since=look.since if look else now, asked=now, problem=problem)
        self._looks[metadata["uid"]] = look
        if len(self._looks) > _REMEMBERED:
            del self._looks[next(iter(self._looks))]
        return look.problem


def _progress_address(planned: Plan) -> str | None:
    job = planned.pending.job if planned.pending else None
    if job is None or job.phase is not JobPhase.RUNNING:
        return None
    running = (pod.get("status", {}) for pod in job.pods if pod.get("status", {}).get("phase") == "Running")
    return next((status["podIP"] for status in running if status.get("podIP")), None)
