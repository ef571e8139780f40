"""The reconciler's stories. From a resource to a served model, and then nothing more to do."""

from tests.support.world import World, ends

from modelservice_operator.crd.status import ModelServiceStatus
from modelservice_operator.kinds import CHILD_KINDS, DEPLOYMENT, MODEL_SERVICE, POD
from modelservice_operator.objects import Object, Ref


def test_smallest_resource_is_trained_and_served() -> None:
    world = World()
    key = world.serve()
    assert world.ready() == ("True", "Serving")
    status = ModelServiceStatus.model_validate(world.status())
    assert (status.stage, status.revision, status.key, status.replicas) == ("Serving", 1, key, 1)
    assert status.observed_generation == 1
    assert status.url == "http://churn.default.svc"
    assert status.example == (
        "curl -s http://churn.default.svc/v1/models/churn:predict -H 'content-type: application/json' "
        '-d \'{"instances": [{"a": 1.5}]}\''
    )
    assert [r.phase for r in status.revisions] == ["Serving"]
    assert world.condition("DataReady")["message"] == "150 rows, 4 features, 3 classes"
    assert world.condition("ArtifactsPortable")["reason"] == "ReadWriteOnce"


def test_events_tell_each_step_once() -> None:
    world = World()
    world.serve()
    assert [reason for reason, _ in world.kube.recorded] == ["Training", "Deploying", "Serving"]


def test_a_converged_service_sees_no_write_and_no_read() -> None:
    world = World()
    world.serve()
    writes, reads = len(world.kube.writes), len(world.kube.reads)
    for _ in range(3):
        world.clock.seconds += 60
        assert world.reconcile() is None, "it waits for events"
    assert world.writes_since(writes) == []
    assert world.kube.reads[reads:] == [], "what changes is told by watches"


def test_an_operator_restart_or_upgrade_changes_nothing() -> None:
    """An upgrade is said in the status alone: that a newer server is there."""
    world = World()
    world.serve()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    for settings, said in (
        ({}, []),
        ({"trainer_image": "trainer:2", "server_image": "server:2"}, [("status", "ModelService", "churn")]),
    ):
        writes = len(world.kube.writes)
        world.restart_operator(**settings)
        world.settle()
        assert world.writes_since(writes) == said
    assert world.one(DEPLOYMENT)["spec"]["template"] == template


def test_status_wiped_by_hand_comes_back_without_training() -> None:
    world = World()
    world.serve()
    before = world.status()
    world.kube.objects[Ref(MODEL_SERVICE, *world.key)].pop("status")
    world.kube.store(world.kube.objects[Ref(MODEL_SERVICE, *world.key)])
    writes = len(world.kube.writes)
    world.settle()
    assert world.writes_since(writes) == [("status", "ModelService", "churn")]
    after = world.status()
    assert {**after, "conditions": []} == {**before, "conditions": []}


def test_values_equal_to_their_defaults_train_nothing() -> None:
    world = World()
    world.serve()
    writes = len(world.kube.writes)
    world.service(
        training={"optimizer": {"adam": {"learningRate": 0.01}}, "epochs": 60}, model={"mlp": {"dropout": 0.1}}
    )
    world.settle()
    assert {kind for _, kind, _ in world.writes_since(writes)} == {"ModelService"}


def test_it_may_be_stopped_before_or_after_any_write_and_goes_on_where_it_was() -> None:
    undisturbed, names = story()
    assert len(names) >= 15
    for number, written in ends(len(names)):
        assert story(stopped_at=number, written=written)[0] == undisturbed, (names[number], written)


def story(*, stopped_at: int | None = None, written: bool = False) -> tuple[dict[Ref, Object], list[str]]:
    """Train, compress and serve; what is there at the end, and the writes on the way.

    The process ends at one of them, before or after the apiserver took it.
    """
    world = World()
    world.config_map()
    world.service(compression={"steps": [{"quantize": {}}]}, serving={"autoscaling": {"maxReplicas": 2}})
    world.kube.stop_at(stopped_at, written=written)
    for _ in range(30):
        world.reconcile_or_restart()
        if world.running_jobs():
            world.end_stage()
        if world.ours(DEPLOYMENT):
            world.roll_out()
        if world.kube.stop is None and world.condition("Ready").get("reason") == "Serving":
            world.settle()
            break
    assert world.kube.stop is None, "it was stopped"
    assert world.ready() == ("True", "Serving")
    children = {ref: obj for ref, obj in world.kube.objects.items() if ref.kind in CHILD_KINDS and ref.kind != POD}
    said = {ref: {name: part for name, part in obj.items() if name != "metadata"} for ref, obj in children.items()}
    return said, [f"{verb} {kind} {name}" for verb, kind, name in world.kube.writes]
