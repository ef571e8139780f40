"""Looks up what the cache does not know: live progress, and the last warnings about what has been stuck."""

from modelservice_operator.clock import Clock
from modelservice_operator.domain.explain import event_problem, is_stuck
from modelservice_operator.domain.observe import JobPhase, Observed
from modelservice_operator.domain.plan import Plan
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.situation import Evidence, waiting_objects
from modelservice_operator.kube.port import KubePort, ProgressPort

_LOOKUPS = 4
"""Events are asked for at most this often in one reconcile, the closest causes first."""


async def gather_evidence(
    observed: Observed,
    planned: Plan,
    *,
    refused: Problem | None,
    kube: KubePort,
    progress: ProgressPort,
    clock: Clock,
) -> Evidence:
    """Ask the training pod how far it is, and Kubernetes what it says about objects that have waited for 5 s."""
    problems: dict[str, Problem] = {}
    stuck = [found for found in waiting_objects(observed, planned) if is_stuck(found[2], clock.now())]
    for section, _, obj in stuck[:_LOOKUPS]:
        if section in problems:
            continue
        events = await kube.events(observed.owner.namespace, obj["metadata"]["uid"])
        if problem := event_problem(events, section=section):
            problems[section] = problem
    address = _progress_address(planned)
    return Evidence(
        progress=await progress.read(address) if address else None,
        training=problems.get("spec.training"),
        serving=problems.get("spec.serving"),
        refused=refused,
    )


def _progress_address(planned: Plan) -> str | None:
    if planned.wanted is not None or planned.job is None or planned.job.phase is not JobPhase.RUNNING:
        return None
    running = (pod.get("status", {}) for pod in planned.job.pods if pod.get("status", {}).get("phase") == "Running")
    return next((status["podIP"] for status in running if status.get("podIP")), None)
