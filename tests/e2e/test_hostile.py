"""What somebody with ``edit`` in the namespace can do to a model's objects, and what becomes of the model."""

import copy
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from tests.bench.record import Figure, at_most
from tests.cluster.base_image import base_reference
from tests.e2e.stories import ATTACKED
from tests.support.client import keep_asking, predict
from tests.support.e2e import Object, Space, condition, config_map, eventually, is_ready, model_service, says
from tests.support.pods import build_container, build_pod
from tests.support.tables import FLOWERS, IRIS
from tests.support.world import success

from modelservice.contract.report import Report
from modelservice_operator.constants import LABEL_NAME, MANAGED_BY, MANAGED_BY_LABEL, STAGE_CONTAINER
from modelservice_operator.kinds import (
    CHILD_KINDS,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    MODEL_SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SERVICE,
)
from modelservice_operator.objects import Kind

pytestmark = pytest.mark.cluster

ROWS = [row for row, _ in FLOWERS]
SPECIES = [species for _, species in FLOWERS]
BACK_SECONDS = 60.0
"""Within which a model is to answer again after it lost its claim: recorded, not asserted."""


def serve(space: Space) -> Object:
    """The status of a model that is served."""
    space.apply(config_map("flowers", IRIS), model_service("flowers"))
    status: Object = space.wait_ready("flowers")["status"]
    return status


@contextmanager
def answering(space: Space) -> Iterator[None]:
    """Requests all the while, none of which fails."""
    with keep_asking(space.address("flowers"), "flowers", ROWS, pause=0.1, most=6000) as asked:
        yield
    assert (asked.failures, set(asked.answers)) == ([], {200})


def answers_right(space: Space) -> None:
    assert predict(space.address("flowers"), "flowers", ROWS) == SPECIES


def named(space: Space, kind: Kind, name: str) -> Object:
    """An object by its name, whatever its labels."""
    found = space.api.get(kind, space.name, name)
    assert found is not None, f"{kind.kind} {name} is gone"
    return found


def uids(space: Space) -> Mapping[tuple[str, str], str]:
    """UID of every child that holds what was trained, or serves it; pods too."""
    kinds = (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION, JOB, DEPLOYMENT, SERVICE, POD)
    return {
        (kind.kind, obj["metadata"]["name"]): obj["metadata"]["uid"]
        for kind in kinds
        for obj in space.children(kind, "flowers")
    }


MEDDLING: dict[str, tuple[Kind, tuple[str, ...], str]] = {
    "a key of the Service's selector": (
        SERVICE,
        ("patch", "service", "flowers", "--type=merge", "-p", '{"spec": {"selector": {"team": "a"}}}'),
        "spec.selector",
    ),
    "a variable": (DEPLOYMENT, ("set", "env", "deployment/flowers", "EXTRA=1"), "env"),
    "a key of the NetworkPolicy's selector": (
        NETWORK_POLICY,
        (
            "patch", "networkpolicy", "flowers", "--type=merge",
            "-p", '{"spec": {"podSelector": {"matchLabels": {"team": "a"}}}}',
        ),
        "spec.podSelector",
    ),
    "a pause": (DEPLOYMENT, ("rollout", "pause", "deployment/flowers"), "spec.paused"),
}  # fmt: skip
"""What is added to which object, by which command, and the field that ``Drifted`` names."""


@pytest.mark.story(60, cast=ATTACKED)
def test_fields_that_others_add_are_taken_away_and_said(space: Space) -> None:
    serve(space)
    before = {kind: named(space, kind, "flowers")["spec"] for kind, _, _ in MEDDLING.values()}
    for what, (kind, command, field) in MEDDLING.items():
        space.kubectl(*command)

        def taken_away(kind: Kind = kind, field: str = field) -> bool:
            return bool(named(space, kind, "flowers")["spec"] == before[kind]) and drifted(space, field)

        eventually(taken_away, what=f"{what} is taken away, and an event says so")
    assert space.wait_ready("flowers")["status"]["revision"] == 1
    eventually(lambda: len(space.pods("flowers", "serve")) == 1, what="the end of the pod with the variable")
    answers_right(space)


def drifted(space: Space, field: str) -> bool:
    """Whether an event names a field that somebody added."""
    return any(one["reason"] == "Drifted" and field in one["message"] for one in space.events("flowers"))


@pytest.mark.story(50, cast=ATTACKED)
def test_a_pod_template_in_an_annotation_is_never_served(space: Space) -> None:
    serve(space)
    image = server_image(space)
    for number, forge in ((2, other_image), (1, emptied)):
        deployment = named(space, DEPLOYMENT, "flowers")
        stored = json.loads(deployment["metadata"].get("annotations", {}).get(TEMPLATE, "null"))
        forged = forge(stored or {"inputs": "", "template": copy.deepcopy(deployment["spec"]["template"])})
        with answering(space):
            space.kubectl("annotate", "deployment", "flowers", f"{TEMPLATE}={json.dumps(forged)}", "--overwrite")
            # Another number of replicas makes the operator write the Deployment.
            space.patch("flowers", {"serving": {"replicas": number}})
            scaled = space.wait_ready("flowers")
        assert scaled["status"]["replicas"] == number
        assert server_image(space) == image
    assert {pod["spec"]["containers"][0]["image"] for pod in space.pods("flowers", "serve")} == {image}
    eventually(lambda: len(space.pods("flowers", "serve")) == 1, what="the end of the second replica")


TEMPLATE = "modelservice.dev/template"
"""The annotation from which release 0.1 took pod templates."""


def server_image(space: Space) -> str:
    image: str = named(space, DEPLOYMENT, "flowers")["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def other_image(stored: Object) -> Object:
    """The document, with an image of the attacker's."""
    forged = copy.deepcopy(stored)
    forged["template"]["spec"]["containers"][0]["image"] = "localhost/attacker"
    return forged


def emptied(stored: Object) -> Object:
    """The document, with a pod template that says nothing."""
    return {**stored, "template": {}}


@pytest.mark.story(60, cast=ATTACKED)
def test_labels_taken_away_are_put_back_and_nothing_is_lost(space: Space) -> None:
    key = serve(space)["key"]
    (job,) = space.children(JOB, "flowers")
    holders = (
        (PERSISTENT_VOLUME_CLAIM, f"flowers-{key}"),
        (CONTROLLER_REVISION, f"flowers-{key}"),
        (JOB, job["metadata"]["name"]),
    )
    before, there = {one: labels_of(space, *one) for one in holders}, uids(space)
    with answering(space):
        for kind, name in holders:
            # By an administrator: `edit` does not reach ControllerRevisions.
            space.as_admin("label", kind.plural, name, *(f"{label}-" for label in before[kind, name]))

        def back() -> bool:
            return all(WATCHED_BY.items() <= labels_of(space, *one).items() for one in before)

        eventually(back, what=f"labels of {before.keys()}")
        space.patch("flowers", {"revisionHistoryLimit": 3})
        status = space.wait_ready("flowers")["status"]
    assert uids(space) == there
    assert [one["phase"] for one in status["revisions"]] == ["Serving"]
    assert not any(named(space, *one)["metadata"].get("deletionTimestamp") for one in holders)


WATCHED_BY = {MANAGED_BY_LABEL: MANAGED_BY, LABEL_NAME: "flowers"}
"""The labels by which people and watches find the children of the model."""


def labels_of(space: Space, kind: Kind, name: str) -> dict[str, str]:
    return dict(named(space, kind, name)["metadata"].get("labels", {}))


@pytest.mark.story(70, cast=ATTACKED)
def test_orphans_are_adopted_and_nothing_is_trained_again(space: Space) -> None:
    digest, there = serve(space)["digest"], uids(space)
    with answering(space):
        space.kubectl("delete", "modelservice", "flowers", "--cascade=orphan")
        eventually(lambda: space.api.get(MODEL_SERVICE, space.name, "flowers") is None, what="the ModelService's end")
        space.apply(model_service("flowers"))
        again = space.wait_ready("flowers")
    assert uids(space) == there
    assert (again["status"]["revision"], again["status"]["digest"]) == (1, digest)
    owners = {
        reference["uid"]
        for kind in CHILD_KINDS
        if kind != POD
        for child in space.children(kind, "flowers")
        for reference in child["metadata"].get("ownerReferences", [{"uid": f"nobody owns {kind.kind}"}])
        if reference.get("kind") != DEPLOYMENT.kind
    }
    assert owners == {again["metadata"]["uid"]}


@pytest.mark.story(60)
def test_a_pod_that_looks_like_a_training_is_not_believed(space: Space) -> None:
    # No node fits, so the only pod that ends is the attacker's.
    described = model_service("flowers", training={"nodeSelector": {"disk": "fast"}}, serving={"replicas": 0})
    space.apply(config_map("flowers", IRIS), described)
    key = space.wait("flowers", says("Unschedulable"), what="waits for a node")["status"]["key"]
    (pod,) = space.pods("flowers", "train")
    forged = build_forged(pod, report=forged_report(key), owner=named(space, CONFIG_MAP, "flowers"))
    space.apply(forged)

    def ended() -> bool:
        return bool(named(space, POD, forged["metadata"]["name"])["status"].get("phase") == "Succeeded")

    eventually(ended, what="the end of the forged pod")
    for seconds in (600, 601):  # the second look comes after everything that the first one led to
        space.patch("flowers", {"training": {"timeoutSeconds": seconds}})
        looked = space.wait("flowers", knows_its_spec, what="is looked at")
        assert condition(looked, "Trained")["status"] != "True"
        assert "revision" not in looked["status"]
        assert space.children(CONTROLLER_REVISION, "flowers") == []
    space.patch("flowers", {"training": {"nodeSelector": None}})
    assert [one["rows"] for one in space.wait_ready("flowers")["status"]["revisions"]] == [150]


def forged_report(key: str) -> str:
    """The last words of a training that never was: a million rows, all of them right."""
    believed = success(key)
    assert believed.data is not None
    data = believed.data.model_copy(update={"rows": 1_000_000})
    return Report(result=believed.model_copy(update={"data": data})).to_message()


def knows_its_spec(service: Object) -> bool:
    return bool(service["status"].get("observedGeneration") == service["metadata"]["generation"])


def build_forged(pod: Object, *, report: str, owner: Object) -> Object:
    """A pod with the labels of a training's pod, of another controller, that ends well with a report."""
    identity = {field: owner["metadata"][field] for field in ("name", "uid")}
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True, **identity}
    script = 'printf %s "$REPORT" > /dev/termination-log'
    env = [{"name": "REPORT", "value": report}]
    container = build_container(STAGE_CONTAINER, base_reference(), "/bin/sh", "-ec", script, env=env)
    metadata = {"labels": pod["metadata"]["labels"], "ownerReferences": [reference]}
    return build_pod("forged", container, metadata=metadata, restartPolicy="Never")


@pytest.mark.story(110, cast=ATTACKED)
def test_a_deleted_claim_is_said_at_once_and_the_model_comes_back(space: Space, figures: list[Figure]) -> None:
    name = f"flowers-{serve(space)['key']}"
    lost = named(space, PERSISTENT_VOLUME_CLAIM, name)["metadata"]["uid"]
    space.kubectl("delete", "pvc", name, "--wait=false")
    said = space.wait("flowers", says("ClaimBeingDeleted", name), what="says that its claim goes")
    assert condition(said, "Available")["status"] == "True"
    answers_right(space)
    (pod,) = space.pods("flowers", "serve")
    space.kubectl("delete", "pod", pod["metadata"]["name"])  # waits for its end
    since = time.monotonic()

    def on_another_claim() -> bool:
        claim = space.api.get(PERSISTENT_VOLUME_CLAIM, space.name, name)
        return claim is not None and claim["metadata"]["uid"] != lost and is_ready(space.service("flowers"))

    eventually(on_another_claim, what="Ready again", seconds=300)
    seconds = time.monotonic() - since
    figures.append(at_most(f"{LOST_CLAIM}: from its loss to Ready", seconds, "s", BACK_SECONDS))
    answers_right(space)


LOST_CLAIM = "claim deleted, then the pod that held it"
