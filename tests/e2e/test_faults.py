"""What gets a clear answer: a reason, the field to change, an event, and health once the cause is gone."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from tests.bench.record import Figure, at_most
from tests.support.disks import small_volumes
from tests.support.e2e import Object, Space, condition, config_map, eventually, model_service, network, says
from tests.support.tables import IRIS

from modelservice_operator.kinds import EVENT, JOB, PERSISTENT_VOLUME_CLAIM

pytestmark = pytest.mark.cluster

LIMIT_SECONDS = 10
NO_SERVER: Object = {"serving": {"replicas": 0}}


def apply_flowers(space: Space, **spec: Object) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers", **{**NO_SERVER, **spec}))


def expect(
    space: Space, figures: list[Figure], *, what: str, reason: str, words: tuple[str, ...], cause: datetime
) -> None:
    """Wait for Ready and an event to say what is wrong, and note how many seconds after its cause they did."""
    space.wait("flowers", says(reason, *words), what=f"says {reason}", seconds=LIMIT_SECONDS + 20)
    seconds = (datetime.now(UTC) - cause).total_seconds()
    figures.append(at_most(f"{what}: from the cause to Ready's reason", seconds, "s", LIMIT_SECONDS))
    eventually(lambda: space.warned("flowers", reason), what=f"an event {reason}", seconds=60)


def first_seen(look: Callable[[], str | None], what: str, seconds: float = 300) -> datetime:
    """When Kubernetes itself first showed the cause, to the second."""
    return datetime.fromisoformat(eventually(look, what=what, seconds=seconds) or "")


def warned(space: Space, kind: str, words: str) -> Callable[[], str | None]:
    """Time of the first warning about an object of a kind."""

    def look() -> str | None:
        for event in space.api.list(EVENT, space.name):
            if event["type"] == "Warning" and event["involvedObject"]["kind"] == kind and words in event["message"]:
                seen: str | None = event.get("firstTimestamp") or event.get("eventTime")
                return seen
        return None

    return look


def ended(space: Space, stage: str, reason: str) -> Callable[[], str | None]:
    """Time at which a container of a stage ended for this reason."""

    def look() -> str | None:
        for pod in space.pods("flowers", stage):
            for container in pod.get("status", {}).get("containerStatuses", ()):
                for state in (container["state"], container["lastState"]):
                    if state.get("terminated", {}).get("reason") == reason:
                        finished: str = state["terminated"]["finishedAt"]
                        return finished
        return None

    return look


def unschedulable(space: Space) -> str | None:
    for pod in space.pods("flowers", "train"):
        for one in pod.get("status", {}).get("conditions", ()):
            if one.get("reason") == "Unschedulable":
                since: str = one["lastTransitionTime"]
                return since
    return None


@pytest.mark.story(60)
def test_training_out_of_memory(space: Space, figures: list[Figure]) -> None:
    flowers = network("flowers", **NO_SERVER, training={"resources": {"limits": {"memory": "150Mi"}}})
    space.apply(config_map("flowers", IRIS), flowers)
    cause = first_seen(ended(space, "train", "OOMKilled"), "an OOM kill")
    words = ("150Mi", "spec.training.resources.limits.memory")
    expect(space, figures, what="training out of memory", reason="OOMKilled", words=words, cause=cause)
    assert condition(space.service("flowers"), "Stalled")["status"] == "True"
    key = space.service("flowers")["status"]["key"]
    assert len(space.pods("flowers", "train")) == 1
    space.patch("flowers", {"training": {"resources": {"limits": {"memory": "2Gi"}}}})
    assert space.wait_ready("flowers")["status"]["key"] == key


@pytest.mark.story(90)
def test_serving_out_of_memory(space: Space, figures: list[Figure]) -> None:
    memory = {"requests": {"cpu": "20m"}, "limits": {"memory": "40Mi"}}
    apply_flowers(space, serving={"resources": memory})
    cause = first_seen(ended(space, "serve", "OOMKilled"), "an OOM kill")
    words = ("40Mi", "spec.serving.resources.limits.memory")
    expect(space, figures, what="server out of memory", reason="OOMKilled", words=words, cause=cause)
    space.patch("flowers", {"serving": {"resources": {"limits": {"memory": "2Gi"}}}})
    assert space.wait_ready("flowers")["status"]["revision"] == 1


@pytest.mark.story(40)
def test_pod_that_fits_no_node(space: Space, figures: list[Figure]) -> None:
    apply_flowers(space, training={"nodeSelector": {"disk": "fast"}})
    cause = first_seen(lambda: unschedulable(space), "an unschedulable pod")
    words = ("nodes are available", "spec.training.nodeSelector")
    expect(space, figures, what="no node fits", reason="Unschedulable", words=words, cause=cause)
    space.patch("flowers", {"training": {"nodeSelector": None}})
    space.wait_ready("flowers")


@pytest.mark.story(50)
def test_claim_that_does_not_bind(space: Space, figures: list[Figure]) -> None:
    apply_flowers(space, artifacts={"volumeClaim": {"storageClassName": "missing"}})
    cause = first_seen(warned(space, "PersistentVolumeClaim", "missing"), "a warning about the claim")
    words = ('"missing" not found', "spec.artifacts.volumeClaim.storageClassName")
    expect(space, figures, what="claim does not bind", reason="ProvisioningFailed", words=words, cause=cause)
    space.patch("flowers", {"artifacts": None})
    space.wait_ready("flowers")
    assert len(space.children(PERSISTENT_VOLUME_CLAIM, "flowers")) == 1


def quota(hard: Object) -> Object:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": {"hard": hard}}


def set_quota(space: Space, hard: Object) -> None:
    tight = quota(hard)
    tight["metadata"]["namespace"] = space.name
    space.administer(tight)


@pytest.mark.story(60)
def test_quota_that_refuses_pods(space: Space, figures: list[Figure]) -> None:
    set_quota(space, {"pods": "0"})
    apply_flowers(space)
    cause = first_seen(warned(space, "Job", "exceeded quota"), "a refused pod")
    words = ("exceeded quota: tight", "spec.training.resources")
    expect(space, figures, what="quota refuses pods", reason="FailedCreate", words=words, cause=cause)
    set_quota(space, {"pods": "10"})
    space.wait_ready("flowers")


@pytest.mark.story(40)
def test_quota_that_refuses_claims(space: Space, figures: list[Figure]) -> None:
    set_quota(space, {"persistentvolumeclaims": "0"})
    cause = datetime.now(UTC)
    apply_flowers(space)
    words = ("exceeded quota: tight", "quota")
    expect(space, figures, what="quota refuses claims", reason="Forbidden", words=words, cause=cause)
    assert space.children(JOB, "flowers") == []
    set_quota(space, {"persistentvolumeclaims": "10"})
    space.wait_ready("flowers")


@pytest.mark.story(40)
def test_secret_that_is_missing(space: Space, figures: list[Figure]) -> None:
    apply_flowers(space, training={"envFrom": [{"secretRef": {"name": "tokens"}}]})
    cause = first_seen(warned(space, "Pod", "tokens"), "a container that cannot be made")
    words = ("tokens", "spec.training.env")
    expect(space, figures, what="secret is missing", reason="CreateContainerConfigError", words=words, cause=cause)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tokens"}, "stringData": {"TOKEN": "x"}}
    space.apply(secret)
    space.wait_ready("flowers")


@pytest.mark.story(120)
def test_full_disk(space: Space, figures: list[Figure]) -> None:
    # The small volume is full with its first page; the claim says less than that is worth, so it is bound first.
    with small_volumes(space, {"1Mi": "4k", "2Mi": "4m"}) as storage_class:
        claim = {"storageClassName": storage_class, "size": "1Mi"}
        apply_flowers(space, artifacts={"volumeClaim": claim})
        cause = first_seen(ended(space, "train", "Error"), "a training that fails")
        words = ("does not fit", "spec.artifacts.volumeClaim.size")
        expect(space, figures, what="disk is full", reason="StorageFull", words=words, cause=cause)
        space.patch("flowers", {"artifacts": {"volumeClaim": {"size": "2Mi"}}})
        space.wait_ready("flowers")
