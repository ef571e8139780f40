"""The way of a ModelService from apply to Ready, step by step."""

import time
from collections.abc import Callable, Mapping

from tests.support.e2e import Object, Space, eventually, is_ready

from modelservice_operator.kinds import DEPLOYMENT, JOB

POLL_SECONDS = 0.1


def _scheduled(pod: Object) -> bool:
    return any((one["type"], one["status"]) == ("PodScheduled", "True") for one in pod["status"].get("conditions", ()))


def _states(pod: Object) -> list[Object]:
    return [one.get("state", {}) for one in pod["status"].get("containerStatuses", ())]


def steps_to_ready(space: Space, name: str, *, since: float, seconds: float = 180) -> Mapping[str, float]:
    """Seconds from ``since`` (monotonic) to each step, in their order; waits for the last.

    Raises:
        AssertionError: it is not Ready before the deadline.
    """
    looks: Mapping[str, Callable[[], bool]] = {
        "Job created": lambda: bool(space.children(JOB, name)),
        "pod scheduled": lambda: any(_scheduled(pod) for pod in space.pods(name, "train")),
        "container started": lambda: any(
            "running" in state or "terminated" in state for pod in space.pods(name, "train") for state in _states(pod)
        ),
        "training ended": lambda: any(
            "terminated" in state for pod in space.pods(name, "train") for state in _states(pod)
        ),
        "Deployment made": lambda: bool(space.children(DEPLOYMENT, name)),
        "Deployment available": lambda: any(
            one.get("status", {}).get("availableReplicas") for one in space.children(DEPLOYMENT, name)
        ),
        "Ready": lambda: is_ready(space.service(name)),
    }
    reached = {}
    for step, look in looks.items():
        eventually(look, what=f"{name}: {step}", seconds=seconds, poll=POLL_SECONDS)
        reached[step] = time.monotonic() - since
    return reached
