"""From apply to delete, as a user who has only ``edit`` in a namespace."""

import json

import pytest
from tests.e2e.stories import CHANGED
from tests.support.client import keep_asking, predict
from tests.support.e2e import (
    PENALTY,
    Holds,
    Object,
    Space,
    condition,
    config_map,
    eventually,
    is_ready,
    model_service,
    network,
    ridge,
    says,
)
from tests.support.samples import BAD, SAMPLES, bad_samples, objects
from tests.support.tables import FLOWERS, IRIS

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.kinds import (
    CHILD_KINDS,
    CONTROLLER_REVISION,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    MODEL_SERVICE,
    PERSISTENT_VOLUME_CLAIM,
)

pytestmark = pytest.mark.cluster

ROWS = [row for row, _ in FLOWERS]
SPECIES = [species for _, species in FLOWERS]
KEPT = (CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM)


def serves(number: int) -> Holds:
    """Whether a revision is Ready."""
    return lambda service: is_ready(service) and service["status"].get("revision") == number


@pytest.mark.story(190)
def test_a_new_revision_takes_over_without_a_failed_request(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers"))
    first = space.wait_ready("flowers")["status"]
    with keep_asking(space.address("flowers"), "flowers", ROWS, pause=0.05, most=6000, threads=2) as asked:
        space.patch("flowers", {"model": ridge(PENALTY * 2)})
        training = space.wait("flowers", says("Training"), what="trains again")
        assert condition(training, "Available")["status"] == "True"
        assert training["status"]["revision"] == 1
        second = space.wait_ready("flowers")["status"]
        eventually(lambda: len(space.pods("flowers", "serve")) == 1, what="the end of the old pod")
    assert (asked.failures, set(asked.answers)) == ([], {200})
    assert asked.answers[200] > 50
    assert (second["revision"], second["replicas"]) == (2, 1)
    assert second["digest"] != first["digest"]
    assert predict(space.address("flowers"), "flowers", ROWS) == SPECIES
    # And back: what was trained once is served again, not trained again.
    space.patch("flowers", {"model": ridge(PENALTY)})
    back = space.wait_ready("flowers")["status"]
    assert (back["revision"], back["digest"]) == (1, first["digest"])
    assert [one["number"] for one in back["revisions"]] == [2, 1]
    # Or by a pin, which leaves the rest of the spec as it is.
    space.patch("flowers", {"serving": {"pinRevision": {"number": 2}}})
    pinned = space.wait("flowers", serves(2), what="the pinned revision serves")
    assert condition(pinned, "Promoted")["reason"] == "Pinned"
    assert pinned["status"]["digest"] == second["digest"]
    takes_back_what_crashes(space)


def takes_back_what_crashes(space: Space) -> None:
    """Revision 2 serves; the pods of revision 3 run out of memory, until their settings are mended."""
    small: Object = {"resources": {"requests": {"memory": "40Mi"}, "limits": {"memory": "40Mi"}}}
    enough: Object = {"resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "1Gi"}}}
    with keep_asking(space.address("flowers"), "flowers", ROWS, pause=0.05, most=6000, threads=2) as asked:
        space.patch("flowers", {"model": ridge(PENALTY * 3), "serving": {"pinRevision": None, **small}})
        taken = space.wait("flowers", says("RolledBack", "revision 3", "OOMKilled"), what="takes revision 3 back")
        eventually(lambda: len(space.pods("flowers", "serve")) == 1, what="the end of the pods that crash")
    assert (asked.failures, set(asked.answers)) == ([], {200})
    assert (taken["status"]["revision"], condition(taken, "Available")["status"]) == (2, "True")
    assert next(one["phase"] for one in taken["status"]["revisions"] if one["number"] == 3) == "Failed"
    eventually(lambda: space.warned("flowers", "RolledBack"), what="an event RolledBack", seconds=60)
    space.patch("flowers", {"serving": enough})
    space.wait("flowers", serves(3), what="revision 3 serves with settings that work")


@pytest.mark.story(80)
def test_delete_leaves_nothing(space: Space) -> None:
    """It serves as the sample of autoscaling says."""
    (sample,) = (one for one in objects(SAMPLES / "autoscaling.yaml") if one["kind"] == MODEL_SERVICE.kind)
    digest = leaves_what_is_retained_to_the_next_one(space)
    space.apply(model_service("flowers", serving=sample["spec"]["serving"]))
    again = space.wait_ready("flowers")["status"]
    assert (again["revision"], again["digest"]) == (1, digest)
    assert space.children(JOB, "flowers") == [], "nothing is trained again"
    (autoscaler,) = eventually(
        lambda: space.children(HORIZONTAL_POD_AUTOSCALER, "flowers"), what="the autoscaler", seconds=30
    )
    assert autoscaler["spec"]["maxReplicas"] == 5
    space.kubectl("delete", "modelservice", "flowers")
    eventually(lambda: not left(space), what="nothing is left", seconds=90)
    volumes = space.api.request("GET", "/api/v1/persistentvolumes")["items"]
    claimed = [one for one in volumes if one["spec"].get("claimRef", {}).get("namespace") == space.name]
    assert all(one["status"]["phase"] == "Released" for one in claimed)
    assert json.loads(space.kubectl("get", "configmap", "flowers", "-o", "json"))["data"] == {"table.csv": IRIS}


def leaves_what_is_retained_to_the_next_one(space: Space) -> str:
    """What was trained, and is all that the garbage collector leaves. Answers with its digest."""
    artifacts = {"volumeClaim": {}, "deletionPolicy": "Retain"}
    space.apply(config_map("flowers", IRIS), model_service("flowers", artifacts=artifacts))
    status = space.wait_ready("flowers")["status"]
    kept = [f"{kind.kind} flowers-{status['key']}" for kind in KEPT]

    def held() -> bool:
        names = {ref["kind"] for kind in KEPT for one in space.children(kind, "flowers") for ref in owners(one)}
        return names == {MODEL_SERVICE.kind, *(kind.kind for kind in KEPT)}

    eventually(held, what="a claim and a record that own each other", seconds=60)
    space.kubectl("delete", "modelservice", "flowers", "--cascade=foreground")
    eventually(lambda: sorted(left(space)) == kept, what=f"nothing is left but {kept}", seconds=90)
    return str(status["digest"])


def left(space: Space) -> list[str]:
    """Children of any ModelService, by kind and name."""
    return [
        f"{kind.kind} {obj['metadata']['name']}"
        for kind in CHILD_KINDS
        for obj in space.api.list(kind, space.name, labels=LABEL_NAME)
    ]


def owners(obj: Object) -> list[Object]:
    references: list[Object] = obj["metadata"].get("ownerReferences", [])
    return references


@pytest.mark.story(90, cast=CHANGED)
def test_suspend_ends_a_training_and_lets_it_begin_again(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), network("flowers"))
    first = space.wait_ready("flowers")["status"]["revision"]
    # So much is done on no machine before it is stopped; that progress is shown, however little, says that it runs.
    space.patch("flowers", {"training": {"epochs": 100_000, "batchSize": 1}})

    def under_way(service: Object) -> bool:
        return service["status"].get("progress") is not None and says("Training")(service)

    space.wait("flowers", under_way, what="shows its progress")
    space.patch("flowers", {"suspend": True})
    suspended = space.wait("flowers", says("Suspended", "spec.suspend"), what="is suspended")
    assert condition(suspended, "Available")["status"] == "True"
    eventually(lambda: all(is_complete(job) for job in space.children(JOB, "flowers")), what="the end of the training")
    assert predict(space.address("flowers"), "flowers", ROWS[:1])
    space.patch("flowers", {"suspend": False, "training": {"epochs": 6, "batchSize": None}})
    status = space.wait_ready("flowers")["status"]
    assert status["revision"] == first + 1
    assert "Suspended" not in {one["type"] for one in status["conditions"]}


def is_complete(job: Object) -> bool:
    return any(one["type"] == "Complete" for one in job.get("status", {}).get("conditions", ()))


@pytest.mark.story(10)
def test_bad_resources_are_refused_before_they_are_stored(space: Space) -> None:
    answer = space.api.request(
        "POST", f"{MODEL_SERVICE.path(space.name)}?dryRun=All", network("flowers", training={"epochs": 0})
    )
    assert "spec.training.epochs" in answer["message"]
    refused = space.try_kubectl("apply", "--dry-run=server", "-f", BAD)
    words = " ".join(refused.split())
    for sample in bad_samples():
        assert sample.apiserver in words, sample.name
    assert space.api.list(MODEL_SERVICE, space.name) == []
