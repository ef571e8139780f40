"""Reads the metrics of the pods of a canary and of those beside it, while it is to be judged by them."""

from collections.abc import Callable
from dataclasses import dataclass

from modelservice.contract.places import SERVING_PORT, STATUS_PORT
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.constants import LABEL_METRICS_PORT
from modelservice_operator.domain.judging import Reading, Readings, is_judged, serving_pods, tried_pods
from modelservice_operator.domain.observe import Observed
from modelservice_operator.kube.port import ProgressPort
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.lookups import Lookups
from modelservice_operator.objects import Key, Object

_INTERVAL = 10.0
"""Seconds between two looks at a pod."""

_CONCURRENCY = 16


@dataclass(frozen=True)
class _Pod:
    """A serving pod, by its UID and where its metrics are."""

    namespace: str
    uid: str
    address: str
    port: int


class Reader:
    """Keeps what pods had counted when they were read first, and last; it begins anew with each process."""

    def __init__(self, *, pods: ProgressPort, clock: Clock, on_change: Callable[[Key], None]) -> None:
        self._pods = pods
        self._clock = clock
        self.lookups: Lookups[_Pod, Reading] = Lookups(
            ask=self._ask,
            interval=lambda _: _INTERVAL,
            on_change=on_change,
            clock=clock,
            concurrency=_CONCURRENCY,
        )

    def read(self, asker: Key, spec: ModelServiceSpec, observed: Observed) -> Readings:
        """What is known by now; nothing, and nothing is asked, where there is no canary to judge."""
        beside = observed.beside
        if beside is None or not is_judged(spec.serving.canary):
            self.forget(asker)
            return {}
        found = [_pod(pod) for pod in (*tried_pods(beside), *serving_pods(observed))]
        pods = [pod for pod in found if pod.address]
        answers = self.lookups.want(asker, pods)
        return {pod.uid: answer for pod, answer in zip(pods, answers, strict=True) if answer is not None}

    def forget(self, asker: Key) -> None:
        """Nobody wants to know any more."""
        self.lookups.want(asker, ())

    async def _ask(self, pod: _Pod, before: Reading | None) -> Reading | None:
        found = await self._pods.read_answers(pod.address, pod.port)
        if found is None:
            return before  # one that does not answer any more is not ready soon
        if before is None:
            return Reading(since=self._clock.now(), first=found, last=found)
        return Reading(since=before.since, first=before.first, last=found)


def _pod(pod: Object) -> _Pod:
    metadata = pod["metadata"]
    port = STATUS_PORT if LABEL_METRICS_PORT in (metadata.get("labels") or {}) else SERVING_PORT
    address = pod.get("status", {}).get("podIP", "")
    return _Pod(metadata["namespace"], metadata["uid"], address, port)
