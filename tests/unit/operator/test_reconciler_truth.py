"""The reconciler's stories. The status says what is: what ready pods carry, whose pods count, what is waited for."""

from typing import Any

import pytest
from tests.support.world import NAMESPACE, World, success

from modelservice.contract.report import Report
from modelservice_operator.constants import STAGE_CONTAINER
from modelservice_operator.domain.metadata import covers
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB, POD, SERVICE, ref_of
from modelservice_operator.machinery.errors import Forbidden
from modelservice_operator.objects import Ref

ANSWERS = {"revision", "digest", "metric", "url", "example"}


def test_what_answers_is_said_while_the_next_revision_does_not() -> None:
    world = World()
    world.serve()
    before = {name: world.status()[name] for name in ANSWERS}
    (old,) = [pod for pod in world.ours(POD) if "pod-template-hash" in pod["metadata"]["labels"]]
    world.service(training={"epochs": 2})
    world.run_stages()
    waits = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}}
    world.serving_pod(ready=False, containerStatuses=[{"name": "server", "ready": False, "state": waits}])
    world.settle()
    assert world.ready() == ("False", "CreateContainerConfigError")
    assert {name: world.status().get(name) for name in ANSWERS} == before
    assert world.condition("Available")["status"] == "True"
    world.remove(Ref(POD, NAMESPACE, old["metadata"]["name"]))
    world.settle()
    assert not ANSWERS & world.status().keys()
    assert world.condition("Available") | {"lastTransitionTime": ""} == {
        "type": "Available",
        "status": "False",
        "observedGeneration": world.condition("Available")["observedGeneration"],
        "lastTransitionTime": "",
        "reason": "NoReplica",
        "message": "no replica answers requests",
    }


def test_a_ready_pod_that_the_service_does_not_select_answers_nobody() -> None:
    world = World()
    world.serve()
    world.kube.failures[("strip", "Service")] = world.kube.failures[("apply", "Service")] = Forbidden("no")
    service = world.one(SERVICE)
    service["spec"]["selector"]["mine"] = "yes"
    world.kube.store(service)
    world.reconcile()
    assert world.condition("Available")["status"] == "False"
    assert world.condition("Available")["reason"] == "NotSelected"
    assert world.ready()[0] == "False"


def test_a_ready_pod_without_the_port_that_the_service_names_answers_nobody() -> None:
    world = World()
    world.serve()
    world.kube.failures[("strip", "Service")] = world.kube.failures[("apply", "Service")] = Forbidden("no")
    service = world.one(SERVICE)
    service["spec"]["ports"][0]["targetPort"] = "https"
    world.kube.store(service)
    world.reconcile()
    assert world.condition("Available")["reason"] == "NotSelected", "the pod has a port http"


def ways(world: World) -> dict[int, str]:
    """The ports of the Service, and those of pods that they lead to."""
    return {port["port"]: port["targetPort"] for port in world.one(SERVICE)["spec"]["ports"]}


PLAIN: dict[str, Any] = {"grpc": {}}
ENCRYPTED: dict[str, Any] = {**PLAIN, "tls": {"secretRef": {"name": "certificate"}}}
PORTS = {"http": {80: "http", 9000: "grpc"}, "https": {443: "https", 9000: "grpcs"}}


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [(PLAIN, ENCRYPTED, "http", "https"), (ENCRYPTED, PLAIN, "https", "http")],
    ids=["TLS is added", "TLS is taken away"],
)
def test_while_pods_come_to_speak_otherwise_the_service_leads_to_both(
    old: Any, new: Any, before: str, after: str
) -> None:
    """Each has a port of its own, but for gRPC, whose only one turns with the first new pod that is ready."""
    world = World()
    world.serve(serving=old)
    assert ways(world) == PORTS[before]
    (pod,) = [pod for pod in world.ours(POD) if "pod-template-hash" in pod["metadata"]["labels"]]
    world.service(serving=new)
    world.settle()
    assert ways(world) == PORTS[after] | PORTS[before]
    assert world.condition("Available")["status"] == "True"
    assert world.status()["url"].startswith(f"{before}://")
    world.serving_pod()
    world.settle()
    assert ways(world) == PORTS[before] | PORTS[after]
    assert world.condition("Available")["message"].startswith("2 of ")
    assert world.status()["url"].startswith(f"{after}://")
    world.remove(ref_of(pod))
    world.settle()
    assert ways(world) == PORTS[after]
    assert world.condition("Available")["status"] == "True"


@pytest.mark.parametrize("kind", ["ConfigMap", "Job"])
def test_a_pod_counts_only_where_our_job_made_it(kind: str) -> None:
    """Whoever may make pods may label them as ours, and let them report anything."""
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    report = Report(result=success(world.order(job)["key"])).to_message()
    ended = {"name": STAGE_CONTAINER, "state": {"terminated": {"exitCode": 0, "message": report}}}
    pod = world.pod_of(job, {"phase": "Succeeded", "containerStatuses": [ended]})
    ref = Ref(POD, NAMESPACE, pod["metadata"]["name"])
    owner = {"apiVersion": "v1", "kind": kind, "name": "other", "uid": "other", "controller": True}
    if kind == "Job":  # an owner that is no controller
        owner = {**pod["metadata"]["ownerReferences"][0], "controller": False}
    world.kube.objects[ref]["metadata"]["ownerReferences"] = [owner]
    world.settle()
    assert world.ready() == ("False", "Training")
    assert world.all(CONTROLLER_REVISION) == []
    assert world.condition("Trained")["status"] == "False"


def test_a_forged_serving_pod_does_not_answer() -> None:
    world = World()
    world.config_map()
    world.service()
    world.run_stages()
    pod = world.serving_pod()
    world.kube.objects[Ref(POD, NAMESPACE, pod["metadata"]["name"])]["metadata"]["ownerReferences"] = []
    world.settle()
    assert world.condition("Available")["status"] == "False"
    assert not ANSWERS & world.status().keys()


def test_a_suspended_job_is_named_with_its_time_and_is_no_progress() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    said = {"type": "Suspended", "status": "True", "lastTransitionTime": "2026-01-01T10:00:00Z"}
    world.kube.store({**job, "spec": {**job["spec"], "suspend": True}, "status": {"conditions": [said]}})
    world.settle()
    assert world.ready() == ("False", "JobSuspended")
    words = f"Job {job['metadata']['name']} is suspended since 2026-01-01T10:00:00Z"
    assert words in world.condition("Ready")["message"]
    assert world.condition("Progressing")["status"] == "False"
    assert world.condition("Stalled")["status"] == "False", "a queue lets it run later"


def test_a_job_that_does_not_end_is_named_with_what_keeps_it() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    marks = {"finalizers": ["example.com/hook"]}
    world.kube.store({**job, "metadata": {**job["metadata"], **marks}})
    world.service(training={"epochs": 2})
    world.settle()
    world.clock.seconds += 60
    world.settle()
    words = f"waits for the end of Job {job['metadata']['name']}, which is being deleted since 2026-01-01T00:00:00Z"
    assert f"{words} (finalizers: example.com/hook)" in world.condition("Ready")["message"]


def test_a_job_of_the_attempt_that_is_due_is_named_where_it_does_not_go() -> None:
    """As after ``suspend`` that was taken back while a finalizer of somebody else kept the Job."""
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    world.kube.store({**job, "metadata": {**job["metadata"], "finalizers": ["example.com/hook"]}})
    world.service(suspend=True)
    world.settle()
    world.service()
    world.clock.seconds += 60
    world.settle()
    words = f"waits for the end of Job {job['metadata']['name']}, which is being deleted since"
    assert words in world.condition("Ready")["message"]
    assert "(finalizers: example.com/hook)" in world.condition("Ready")["message"]


def test_a_pod_on_a_lost_node_is_named_with_its_node_and_since_when() -> None:
    world = World()
    world.serve()
    lost = {
        "type": "Ready",
        "status": "False",
        "reason": "NodeNotReady",
        "message": "the kubelet stopped posting",
        "lastTransitionTime": "2026-01-01T10:00:00Z",
    }
    world.roll_out(available=0)
    pod = world.serving_pod(ready=False, conditions=[lost])
    world.clock.seconds += 60
    world.settle()
    words = f"pod {pod['metadata']['name']} on node node is not ready since 2026-01-01T10:00:00Z"
    assert f"{words} (NodeNotReady: the kubelet stopped posting)" in world.condition("Ready")["message"]


def test_a_template_that_the_record_does_not_hold_is_stored_before_it_is_served() -> None:
    """So an upgrade restarts nothing, whatever somebody writes beside the Deployment; the one before is pruned."""
    world = World()
    world.serve()
    for epoch in ("a", "b"):
        world.service(serving={"env": [{"name": "EPOCH", "value": epoch}]})
        count = len(world.kube.writes)
        world.settle()
        kinds = [kind for verb, kind, _ in world.writes_since(count) if verb == "apply"]
        assert kinds.index("ControllerRevision") < kinds.index("Deployment")
        world.roll_out()
        world.settle()
    (stored,) = [one for one in world.ours(CONTROLLER_REVISION) if one["data"]["kind"] == "ServingTemplate"]
    template = world.one(DEPLOYMENT)["spec"]["template"]
    assert covers(template, stored["data"]["serving"]["template"])
    count = len(world.kube.writes)
    world.restart_operator(trainer_image="trainer:2", server_image="server:2")
    world.settle()
    assert world.writes_since(count) == [("status", "ModelService", "churn")], "a newer server is said"
    assert len(world.all(JOB)) == 1


def test_a_pod_that_is_ready_now_and_then_is_said_each_time() -> None:
    """A status that says what is must not be held back as if somebody had undone it."""
    world = World()
    world.serve()
    for _ in range(10):
        for available, status in ((0, "False"), (1, "True")):
            world.clock.seconds += 1
            world.roll_out(available)
            world.settle()
            assert world.condition("Available")["status"] == status
