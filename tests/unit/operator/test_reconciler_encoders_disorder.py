"""The reconciler's stories. An encoder with heads while it is tried in steps, goes back, or is changed by others."""

from tests.support.canaries import SERVING
from tests.support.world import NAMESPACE, success
from tests.unit.operator.test_reconciler_encoders import ENCODER, HEAD, NEWER, Two, arguments, head
from tests.unit.operator.test_reconciler_last_good import UNDER_WAY, crashing

from modelservice.contract.manifest import SharedEncoder
from modelservice_operator.constants import LABEL_STAGE, STAGE_KEEP
from modelservice_operator.domain.names import canary_name, encoder_name
from modelservice_operator.domain.verdict import RESTARTS
from modelservice_operator.kinds import DEPLOYMENT, MODEL_SERVICE, SERVICE
from modelservice_operator.objects import Key, Ref

CANARY = canary_name(ENCODER)


def updated(serving: dict[str, object]) -> tuple[Two, str]:
    """An encoder with a head that has a newer revision, which waits for what keeps the first one. With its digest."""
    world = Two()
    first = world.encodes(serving=serving)
    world.told(HEAD, **head())
    world.heads()
    world.looked(ENCODER)
    world.told(ENCODER, **NEWER, serving=serving)
    world.made(ENCODER)
    return world, first


def stepped(world: Two, seconds: int) -> None:
    """All pods of the step are ready for so long."""
    with world.acts(ENCODER):
        world.roll_out(name=CANARY)
        world.clock.seconds += seconds
        world.settle()


def tried(world: Two) -> int | None:
    """Pods of the canary."""
    found = world.named(DEPLOYMENT, CANARY)
    return found["spec"]["replicas"] if found else None


def test_an_encoder_is_tried_in_steps_once_its_heads_are_kept_and_they_go_on_after_it() -> None:
    world, first = updated(SERVING)
    assert tried(world) is None
    world.keeper_answers(first)
    world.looked(ENCODER)
    assert tried(world) == 1
    for seconds in (60, 120):
        assert (world.of(ENCODER, "digest"), world.keeper(first) is not None) == (first, True)
        world.looked(HEAD)
        assert world.said(HEAD)[:2] == ("True", "Serving"), "a head is not trained with what is only tried"
        stepped(world, seconds)
    world.rolled(ENCODER)
    assert (tried(world), world.of(ENCODER, "digest") == first) == (None, False)
    world.heads()
    world.looked(ENCODER)
    assert world.keeper(first) is None


def test_what_keeps_a_revision_may_be_away_in_mid_canary() -> None:
    world, first = updated(SERVING)
    world.keeper_answers(first)
    world.looked(ENCODER)
    stepped(world, 60)
    keeper = world.keeper(first)
    assert keeper is not None
    world.kube.store({**keeper, "status": {**keeper["status"], "availableReplicas": 0}})
    world.looked(ENCODER)
    assert tried(world) == 4
    assert world.said(ENCODER)[2].endswith("stays until what heads ask is kept elsewhere")
    world.keeper_answers(first)
    stepped(world, 120)
    with world.acts(ENCODER):
        assert f"--digest={first}" not in arguments(world.one(DEPLOYMENT)), "it goes on where it was"


def test_what_fails_is_taken_back_although_a_head_asks_it_already() -> None:
    """To wait for pods of what fails would be to wait for ever."""
    world, first = updated({"replicas": 2})
    world.keeper_answers(first)
    world.looked(ENCODER)
    with world.acts(ENCODER):
        world.serving_pod()
        world.settle()
    second = world.heads()
    assert second != first
    world.looked(ENCODER)
    with world.acts(ENCODER):
        world.serving_pod(suffix="1", ready=False, **crashing(RESTARTS))
        deployment = world.deployment(ENCODER)
        numbers = {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 2, "conditions": [UNDER_WAY]}
        generation = deployment["metadata"]["generation"]
        world.kube.store({**deployment, "status": {"observedGeneration": generation, **numbers}})
        world.settle()
        assert f"--digest={first}" in arguments(world.one(DEPLOYMENT))
    assert world.said(ENCODER)[1] == "RolledBack"
    assert world.keeper(second) is not None


def test_what_keeps_a_revision_is_known_by_its_name_and_its_label_comes_back() -> None:
    world, first = updated({})
    world.keeper_answers(first)
    keeper = world.keeper(first)
    assert keeper is not None
    del keeper["metadata"]["labels"][LABEL_STAGE]
    world.kube.store(keeper)
    world.looked(ENCODER)
    mended = world.keeper(first)
    assert mended is not None
    assert mended["metadata"]["labels"][LABEL_STAGE] == STAGE_KEEP
    with world.acts(ENCODER):
        assert f"--digest={first}" not in arguments(world.one(DEPLOYMENT)), "its pods are counted all the same"


def test_the_service_that_leads_heads_to_a_revision_is_put_back() -> None:
    world, first = updated({})
    led = world.named(SERVICE, encoder_name(ENCODER, first))
    assert led is not None
    wanted = led["spec"]["selector"]
    world.kube.store({**led, "spec": {**led["spec"], "selector": {"app": "mine"}}})
    world.looked(ENCODER)
    found = world.named(SERVICE, encoder_name(ENCODER, first))
    assert found is not None
    assert found["spec"]["selector"] == wanted


def test_two_revisions_of_one_artifact_have_one_service() -> None:
    world = Two()
    first = world.encodes()
    world.told(HEAD, **head())
    world.heads()
    world.looked(ENCODER)
    world.told(ENCODER, **NEWER)
    with world.acts(ENCODER):
        world.bind_claims()
        world.end_stage(success(world.order(world.job())["key"], stage="fetch", digest=first))
        world.settle()
    world.keeper_answers(first)
    world.looked(ENCODER)
    world.rolled(ENCODER)
    assert world.of(ENCODER, "revision") == 2
    led, keeper = world.named(SERVICE, encoder_name(ENCODER, first)), world.keeper(first)
    assert led is not None
    assert keeper is not None
    assert led["spec"]["selector"].items() <= keeper["spec"]["template"]["metadata"]["labels"].items()


def test_heads_are_looked_at_for_each_child_of_an_encoder_that_goes() -> None:
    """The garbage collector takes the Service that they ask after the encoder itself, and nothing else would tell."""
    world = Two()
    world.encodes()
    world.told(HEAD, **head())
    world.heads()
    world.remove(Ref(MODEL_SERVICE, NAMESPACE, ENCODER))
    world.asked.clear()
    with world.acts(ENCODER):
        world.reconcile()
    assert Key(NAMESPACE, HEAD) in world.asked


def test_what_serves_and_asks_an_encoder_that_is_not_there_any_more_is_not_ready() -> None:
    """Another one has its name by now, and answers, but not as what was asked."""
    world = Two()
    first = world.encodes()
    world.told(HEAD, **head())
    world.heads()
    for ref in [ref for ref in world.kube.objects if ref.name.startswith(ENCODER)]:
        world.remove(ref)
    world.collect_garbage()
    world.told(ENCODER, **NEWER)
    world.made(ENCODER)
    world.rolled(ENCODER)
    world.looked(HEAD)
    words = f"revision 1 asks {ENCODER} for numbers of {first}, which is not kept there any more: it answers with 503"
    status, reason, message = world.said(HEAD)
    assert (status, reason, words in message) == ("False", "Training", True)
    world.told(HEAD, **head(), serving={"paused": True})
    second = str(world.of(ENCODER, "digest"))
    world.made(HEAD, encoder=SharedEncoder(name=ENCODER, digest=second, width=384))
    for kind in ("Ready", "EncoderReady"):
        status, reason, message = world.said(HEAD, kind)
        assert (status, reason, words in message) == ("False", "EncoderGone", True)
    world.told(HEAD, **head())
    world.rolled(HEAD)
    assert [world.said(HEAD, kind)[0] for kind in ("Ready", "EncoderReady")] == ["True", "True"]
