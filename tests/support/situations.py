"""``python -m tests.support.situations``: the table of docs/status.md, what everybody makes of each situation.

Each is brought about on the Kubernetes in memory. Which alerts fire is held by promtool (wiring/test_alerts.py), and
the columns of Argo CD and Flux by the code that they have (``make gitops``).
"""

import functools
import logging
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from tests.support.gitops import HEALTH, flux_word, health, kstatus
from tests.support.helm import ROOT
from tests.support.world import World, compressed, without_image

from modelservice_operator.kinds import DEPLOYMENT, MODEL_SERVICE
from modelservice_operator.metrics import ConditionCollector
from modelservice_operator.objects import Ref

Object = dict[str, Any]
STATUS = ROOT / "docs" / "status.md"
INT8: Object = {"steps": [{"quantize": {}}]}


class Watched(World):
    """A world that remembers what an alert asks about.

    Attributes:
        answered: whether it served.
        looked_at: whether the operator comes to look.
    """

    answered = False
    looked_at = True

    def serve(self, **spec: Any) -> str:
        self.answered = True
        return super().serve(**spec)


@dataclass(frozen=True)
class Situation:
    """One line of the table.

    Attributes:
        title: in words.
        bring: brings it about.
        alerts: of the chart, those that fire in it.
    """

    title: str
    bring: Callable[[Watched], None]
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """A situation as somebody sees it who asks the apiserver, or scrapes the operator."""

    service: Object
    answered: bool

    def condition(self, kind: str) -> Object:
        """A condition, or an empty one."""
        found: list[Object] = self.service["status"].get("conditions", [])
        return next((one for one in found if one["type"] == kind), {})

    def series(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Name, labels and value of each sample that the operator exposes of it."""
        for family in ConditionCollector(lambda: [self.service]).collect():
            for sample in family.samples:
                yield sample.name, dict(sample.labels), sample.value


@functools.cache
def see(situation: Situation) -> Seen:
    """Bring a situation about, and look."""
    world = Watched()
    situation.bring(world)
    if world.looked_at:
        world.settle()
    return Seen(world.kube.objects[Ref(MODEL_SERVICE, *world.key)], world.answered)


def status_page() -> str:
    """docs/status.md with the table of situations and the health check as they are."""
    check = f"```lua\n{HEALTH.read_text(encoding='utf-8')}```\n"
    text = STATUS.read_text(encoding="utf-8")
    for name, made in (("situations", situations_table()), ("health", check)):
        opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
        between = re.compile(f"(?<={opening}\n\n).*?(?=\n{closing})", re.DOTALL)
        (_,) = between.findall(text)
        text = between.sub(lambda _, made=made: made, text)  # type: ignore[misc]  # mypy knows no default of a lambda
    return text


def situations_table() -> str:
    """The lines of the table, in Markdown."""
    head = "| situation | `Ready` | `Available` | `Stalled` | `Progressing` | Argo CD | Flux | alert |"
    return "\n".join([head, f"|{'---|' * 8}", *map(_line, SITUATIONS)]) + "\n"


def _line(situation: Situation) -> str:
    seen = see(situation)
    ready = seen.condition("Ready")
    shown = [f"{ready['status']}, `{ready['reason']}`" if ready else "-"]
    shown += [seen.condition(kind).get("status", "-") for kind in ("Available", "Stalled", "Progressing")]
    judged = [health(seen.service).status, flux_word(kstatus(seen.service))]
    alerts = ", ".join(f"`{name}`" for name in situation.alerts) or "-"
    return f"| {' | '.join([situation.title, *shown, *judged, alerts])} |"


def first_training(world: Watched) -> None:
    world.config_map()
    world.service()


def fetching(world: Watched) -> None:
    artifact = {"uri": "s3://models/iris", "digest": f"sha256:{'0' * 64}"}
    world.service(data=None, model={"artifact": artifact})


def serving(world: Watched) -> None:
    world.serve()


def training_again(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3})


def compressing_again(world: Watched) -> None:
    world.serve()
    world.service(compression=INT8)


def not_worth_its_price(world: Watched) -> None:
    world.serve()
    world.service(compression=INT8)
    world.settle()
    world.end_stage(compressed(world.order(world.job())["key"], drop=0.1))
    world.settle()
    world.roll_out()


def a_pod_that_waits(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3})
    world.settle()
    world.pod_of(world.job(), without_image("absent"))


def out_of_memory(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3})
    world.settle()
    world.end_stage(exit_code=137, oom=True)


def no_room(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3})
    world.settle()
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    world.pod_of(world.job(), {"phase": "Pending", "conditions": [unplaced]})


def not_looked_at(world: Watched) -> None:
    world.service()
    world.looked_at = False


def nobody_answers(world: Watched) -> None:
    world.serve()
    world.roll_out(available=0)


def scaling_up(world: Watched) -> None:
    world.serve()
    world.service(serving={"replicas": 3})


def a_canary(world: Watched) -> None:
    canary: dict[str, Any] = {"rollout": {"canary": {}}}
    world.serve(serving=canary)
    world.service(training={"epochs": 3}, serving=canary)
    world.run_stages()


def wrong_data(world: Watched) -> None:
    world.serve()
    world.service(data={"configMap": {"name": "missing"}, "target": "y"})


def wrong_data_at_first(world: Watched) -> None:
    world.service()


def falls_short(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3}, promotion={"require": [{"metric": {"name": "accuracy", "min": 0.99}}]})
    world.settle()
    world.end_stage()


def in_a_queue(world: Watched) -> None:
    world.serve()
    world.kube.queues = {}
    world.service(training={"queueName": "gpus"}, data={"configMap": {"name": "churn"}, "target": "a"})


def comparing(world: Watched) -> None:
    promotion = {"require": [{"metric": {"name": "accuracy", "notWorseThanCurrent": {}}}]}
    world.serve(promotion=promotion)
    world.service(training={"epochs": 3}, promotion=promotion)
    world.settle()
    world.bind_claims()
    world.end_stage()


def crashes(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3})
    world.run_stages()
    container = {"name": "server", "ready": False, "restartCount": 3, "lastState": {"terminated": {"exitCode": 1}}}
    world.serving_pod(ready=False, suffix="surge", containerStatuses=[container])
    deployment = world.one(DEPLOYMENT)
    generation, progressing = (
        deployment["metadata"]["generation"],
        {"type": "Progressing", "reason": "ReplicaSetUpdated"},
    )
    world.kube.store({**deployment, "status": {"observedGeneration": generation, "conditions": [progressing]}})


def paused(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3}, serving={"paused": True})
    world.run_stages()


def waits_to_be_promoted(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3}, promotion={"manual": True})
    world.run_stages()


def waits_to_be_promoted_at_first(world: Watched) -> None:
    world.config_map()
    world.service(promotion={"manual": True})
    world.run_stages()


def pinned(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3}, serving={"pinRevision": {"number": 1}})
    world.run_stages()


def suspended(world: Watched) -> None:
    world.serve()
    world.service(training={"epochs": 3}, suspend=True)


def suspended_with_nothing_to_train(world: Watched) -> None:
    world.serve()
    world.service(suspend=True)


def no_replicas(world: Watched) -> None:
    world.serve()
    world.service(serving={"replicas": 0})
    world.settle()
    world.roll_out()


SITUATIONS = (
    Situation("the operator has not looked yet", not_looked_at),
    Situation("first training", first_training),
    Situation("fetching what was trained elsewhere", fetching),
    Situation("serving what was asked for", serving),
    Situation("training again, the old revision serves", training_again),
    Situation("making the trained model smaller, the old revision serves", compressing_again),
    Situation("comparing a new model with the one that serves", comparing),
    Situation("a Job waits in a queue, the old revision serves", in_a_queue),
    Situation("rolling, scaling up, or a pod was lost", scaling_up),
    Situation("a canary of a new revision beside the old one", a_canary),
    Situation(
        "wrong data, such as a table that is not there, the old revision serves",
        wrong_data,
        alerts=("ModelServiceStalled",),
    ),
    Situation("the same, and there is no old revision", wrong_data_at_first, alerts=("ModelServiceStalled",)),
    Situation("a training runs out of memory, the old revision serves", out_of_memory, alerts=("ModelServiceStalled",)),
    Situation("a pod or claim waits (image, quota), the old revision serves", a_pod_that_waits),
    Situation("no node has room, the old revision serves", no_room, alerts=("ModelServicePodPending",)),
    Situation(
        "the pods of a new revision crash, the old revision serves again", crashes, alerts=("ModelServiceStalled",)
    ),
    Situation(
        "a new model falls short of `spec.promotion`, the old revision serves",
        falls_short,
        alerts=("ModelServicePromotionRefused",),
    ),
    Situation("a new model waits to be promoted by hand, the old revision serves", waits_to_be_promoted),
    Situation("the same, and nothing served before", waits_to_be_promoted_at_first),
    Situation("rollouts are paused, and a new model waits", paused),
    Situation("an older revision is pinned", pinned),
    Situation("no replica answers, but one did", nobody_answers, alerts=("ModelServiceUnavailable",)),
    Situation("it could not be made smaller at the price", not_worth_its_price),
    Situation("suspended, with something to train", suspended),
    Situation("suspended, nothing to train", suspended_with_nothing_to_train),
    Situation("`replicas: 0`", no_replicas),
)


def main() -> int:
    """Write the page."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    STATUS.write_text(status_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
