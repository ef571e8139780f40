"""The reconciler's stories. An encoder that stands as a service, and heads that ask it and no other one.

Two ModelServices on one small Kubernetes; hands play Job and Deployment controllers for the one that acts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.world import NAMESPACE, World, success

from modelservice.contract.base import MAX_NAME_LENGTH
from modelservice.contract.digests import sha256
from modelservice.contract.manifest import SharedEncoder
from modelservice_operator.constants import LABEL_NAME, LABEL_STAGE, STAGE_KEEP
from modelservice_operator.domain.names import canary_name, encoder_name
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB, MODEL_SERVICE, POD, SERVICE
from modelservice_operator.objects import Key, Kind, Object, Ref

ENCODER, HEAD, OTHER = "minilm", "tickets", "mails"
PRETRAINED = {"data": None, "model": {"pretrained": {"uri": "s3://models/minilm"}}}
NEWER = {"data": None, "model": {"pretrained": {"uri": "s3://models/minilm", "maxLength": 64}}}


def head(**service: Any) -> Object:
    return {
        "data": {"configMap": {"name": "churn"}, "target": "kind", "text": {"column": "a"}},
        "model": {"encoder": {"service": {"name": ENCODER, **service}}},
    }


class Two(World):
    """Several ModelServices; ``acts`` says whose turn it is."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.config_map()

    @contextmanager
    def acts(self, name: str) -> Iterator[None]:
        before, self.key = self.key, Key(NAMESPACE, name)
        try:
            yield
        finally:
            self.key = before

    def all(self, kind: Kind) -> list[Object]:
        every = super().all(kind)
        own = [obj for obj in every if obj["metadata"].get("labels", {}).get(LABEL_NAME) == self.key.name]
        return every if kind == MODEL_SERVICE else own

    def one(self, kind: Kind) -> Object:
        (obj,) = [obj for obj in self.ours(kind) if obj["metadata"]["name"] == self.key.name]
        return obj

    def told(self, name: str, **spec: Any) -> None:
        """Apply a ModelService, and look at it."""
        with self.acts(name):
            self.service(**spec)
            self.settle()

    def made(self, name: str, **changes: Any) -> str:
        """Its Job ends well. Answers with its key."""
        with self.acts(name):
            self.bind_claims()
            order = self.order(self.job())
            stage = order["work"]["stage"]
            result = success(order["key"], stage=stage, digest=sha256(order["key"].encode()), **changes)
            self.end_stage(result)
            self.settle()
            return result.key

    def rolled(self, name: str) -> None:
        with self.acts(name):
            self.roll_out()
            self.settle()

    def looked(self, name: str) -> float | None:
        with self.acts(name):
            self.settle()
            return self.reconcile()

    def encodes(self, **spec: Any) -> str:
        """An encoder that answers. Answers with its digest."""
        self.told(ENCODER, **{**PRETRAINED, **spec})
        self.made(ENCODER)
        self.rolled(ENCODER)
        return str(self.of(ENCODER, "digest"))

    def heads(self, name: str = HEAD, *, width: int = 384) -> str:
        """A head that answers, trained with what the encoder is now. Answers with its digest."""
        self.looked(name)
        digest = str(self.of(ENCODER, "digest"))
        self.made(name, encoder=SharedEncoder(name=ENCODER, digest=digest, width=width))
        self.rolled(name)
        return digest

    def of(self, name: str, field: str) -> Any:
        with self.acts(name):
            return self.status().get(field)

    def said(self, name: str, kind: str = "Ready") -> tuple[str, str, str]:
        with self.acts(name):
            found = self.condition(kind)
            return (found.get("status", ""), found.get("reason", ""), found.get("message", ""))

    def named(self, kind: Kind, name: str) -> Object | None:
        return self.kube.objects.get(Ref(kind, NAMESPACE, name))

    def keeper(self, digest: str) -> Object | None:
        return self.named(DEPLOYMENT, encoder_name(ENCODER, digest))

    def keeper_answers(self, digest: str) -> None:
        found = self.keeper(digest)
        assert found is not None
        numbers = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": found["spec"]["replicas"]}
        self.kube.store({**found, "status": {"observedGeneration": found["metadata"]["generation"], **numbers}})


def arguments(deployment: Object) -> list[str]:
    args: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return args


def test_a_head_is_trained_with_what_the_encoder_is_and_asks_that_alone() -> None:
    world = Two()
    digest = world.encodes()
    world.told(HEAD, **head())
    with world.acts(HEAD):
        work = world.order(world.job())["work"]
    url = f"http://{encoder_name(ENCODER, digest)}.{NAMESPACE}.svc"
    assert work["encoder"] == url
    assert work["model"]["encoder"]["service"] == {"name": ENCODER, "digest": digest}
    assert world.said(HEAD, "EncoderReady") == ("True", "Answering", f"{ENCODER} answers as {digest}")
    world.looked(ENCODER)
    led = world.named(SERVICE, encoder_name(ENCODER, digest))
    assert led is not None
    with world.acts(ENCODER):
        (pod,) = world.all(POD)[-1:]
    assert led["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert led["spec"]["ports"][0]["targetPort"] == "http"
    assert world.keeper(digest) is None, "the pods that serve are enough"
    world.heads()
    with world.acts(HEAD):
        assert f"--encoder={url}" in arguments(world.one(DEPLOYMENT))
        assert all(
            not argument.startswith("--encoder") for argument in arguments(world.named(DEPLOYMENT, ENCODER) or {})
        )
    assert world.said(HEAD)[:2] == ("True", "Serving")
    assert world.of(HEAD, "encoder") == {"name": ENCODER, "digest": digest, "width": 384}
    world.looked(ENCODER)
    assert (world.of(ENCODER, "usedBy"), world.of(ENCODER, "encoder"), world.of(HEAD, "usedBy")) == ([HEAD], None, None)


def test_a_head_waits_for_its_encoder_and_says_so() -> None:
    world = Two()
    world.told(HEAD, **head())
    status, reason, message = world.said(HEAD)
    assert (status, reason) == ("False", "EncoderNotFound")
    assert "there is no such ModelService in this namespace" in message
    assert world.said(HEAD, "EncoderReady")[:2] == ("False", "EncoderNotFound")
    assert world.said(HEAD, "Trained")[:2] == ("False", "EncoderNotReady")
    assert world.said(HEAD, "Stalled")[:2] == ("False", "NotStalled"), "it may come in the same apply"
    world.told(ENCODER, **PRETRAINED)
    world.looked(HEAD)
    assert world.said(HEAD)[1:] == (
        "EncoderAway",
        f"the encoder {ENCODER} does not answer (Fetching): it is waited for (kubectl get mdsvc {ENCODER})",
    )
    with world.acts(HEAD):
        assert not world.all(JOB)
    world.made(ENCODER)
    world.rolled(ENCODER)
    world.looked(HEAD)
    with world.acts(HEAD):
        assert world.job()
    # A training that is under way goes on while the encoder is away: it waits, too.
    with world.acts(ENCODER):
        for pod in world.all(POD):
            world.remove(Ref(POD, NAMESPACE, pod["metadata"]["name"]))
    world.looked(ENCODER)
    world.looked(HEAD)
    assert world.said(HEAD)[1] == "EncoderAway"
    with world.acts(HEAD):
        assert world.job()


def test_each_is_looked_at_when_the_other_changes() -> None:
    world = Two()
    world.told(ENCODER, **PRETRAINED)
    world.told(HEAD, **head())
    world.told(OTHER, **{**head(), "model": {"svm": {}}, "data": {"configMap": {"name": "churn"}, "target": "kind"}})
    world.sync()
    encoder, asks, apart = (Key(NAMESPACE, name) for name in (ENCODER, HEAD, OTHER))
    requests = {
        key: world.cache.requests(MODEL_SERVICE, world.kube.objects[Ref(MODEL_SERVICE, *key)])
        for key in (encoder, asks, apart)
    }
    assert requests == {encoder: {encoder, asks}, asks: {encoder, asks}, apart: {apart}}


def test_an_update_keeps_what_heads_ask_until_they_have_gone_on() -> None:
    """Gapless: the old revision is there a second time before the encoder goes on, and goes when nobody asks it."""
    world = Two()
    first = world.encodes()
    for name in (HEAD, OTHER):
        world.told(name, **head())
        world.heads(name)
    world.looked(ENCODER)
    world.told(ENCODER, **NEWER)
    key = world.made(ENCODER)
    # The new revision is there, and what serves stays until the old one is kept elsewhere.
    keeper = world.keeper(first)
    assert keeper is not None
    labels = keeper["spec"]["template"]["metadata"]["labels"]
    assert labels[LABEL_STAGE] == STAGE_KEEP
    assert keeper["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert f"--digest={first}" in arguments(keeper)
    with world.acts(ENCODER):
        serving = world.one(DEPLOYMENT)
        assert f"--digest={first}" in arguments(serving)
        assert not serving["spec"]["selector"]["matchLabels"].items() <= labels.items(), "requests reach no old pod"
    assert world.said(ENCODER)[0] == "True"
    waits = f"the model of key {key} waits: Deployment {encoder_name(ENCODER, first)} has to be available first, which"
    assert f"{waits} keeps revision 1 for {OTHER}, {HEAD}" in world.said(ENCODER)[2]
    led = world.named(SERVICE, encoder_name(ENCODER, first))
    assert led is not None
    assert led["spec"]["selector"].items() <= labels.items(), "heads reach both"
    world.keeper_answers(first)
    world.looked(ENCODER)
    world.rolled(ENCODER)
    second = world.of(ENCODER, "digest")
    assert second != first
    _heads_go_on(world, first, second)


def test_a_canary_of_an_encoder_begins_once_what_heads_ask_is_kept() -> None:
    """Heads are answered by the old revision alone, from before the first step until they have gone on."""
    world = Two()
    serving = {"rollout": {"canary": {"steps": [{"weight": 50, "holdSeconds": 60}]}}}
    first = world.encodes(serving=serving)
    world.told(HEAD, **head())
    world.heads()
    world.told(ENCODER, **NEWER, serving=serving)
    world.made(ENCODER)
    assert world.keeper(first) is not None
    assert world.named(DEPLOYMENT, canary_name(ENCODER)) is None, "it waits for what heads ask"
    world.keeper_answers(first)
    world.looked(ENCODER)
    canary = world.named(DEPLOYMENT, canary_name(ENCODER))
    assert canary is not None
    assert world.said(ENCODER)[1] == "Canary"
    led = world.named(SERVICE, encoder_name(ENCODER, first))
    assert led is not None
    tried = canary["spec"]["template"]["metadata"]["labels"]
    assert not led["spec"]["selector"].items() <= tried.items(), "no head reaches the candidate"
    with world.acts(ENCODER):
        world.roll_out(name=canary_name(ENCODER))
        world.clock.seconds += 30
        world.settle()
    assert world.keeper(first) is not None, "it stays as long as the canary lasts"
    assert world.of(ENCODER, "digest") == first
    world.looked(HEAD)
    assert world.said(HEAD)[1] == "Serving", "heads are trained with what serves, not with what is tried"
    with world.acts(ENCODER):
        world.clock.seconds += 60
        world.settle()
    world.rolled(ENCODER)
    assert world.named(DEPLOYMENT, canary_name(ENCODER)) is None
    assert world.of(ENCODER, "digest") != first
    assert world.keeper(first) is not None, "the head asks it still"
    world.heads()
    world.looked(ENCODER)
    assert world.keeper(first) is None
    assert world.said(ENCODER)[:2] == ("True", "Serving")


def test_a_head_that_is_trained_goes_on_though_but_a_candidate_of_its_encoder_is_ready() -> None:
    world = Two()
    serving = {"rollout": {"canary": {"steps": [{"weight": 50, "holdSeconds": 600}]}}}
    first = world.encodes(serving=serving)
    world.told(HEAD, **head())
    with world.acts(HEAD):
        (job,) = world.running_jobs()
    world.told(ENCODER, **NEWER, serving=serving)
    world.made(ENCODER)
    world.looked(ENCODER)
    with world.acts(ENCODER):
        world.roll_out(name=canary_name(ENCODER))
        world.roll_out(available=0)
        world.settle()
    assert (world.of(ENCODER, "revision"), world.of(ENCODER, "digest")) == (2, None)
    world.looked(HEAD)
    assert world.said(HEAD, "EncoderReady")[:2] == ("False", "EncoderAway")
    with world.acts(HEAD):
        assert [one["metadata"]["name"] for one in world.running_jobs()] == [job["metadata"]["name"]]
        assert f"http://{encoder_name(ENCODER, first)}." in world.order(job)["work"]["encoder"]


def _heads_go_on(world: Two, first: str, second: str) -> None:
    """One head after the other trains again; meanwhile each asks what it was trained with."""
    world.looked(HEAD)
    assert world.said(HEAD)[1] == "Training"
    assert world.of(HEAD, "encoder")["digest"] == first
    with world.acts(HEAD):
        assert world.order(world.job())["work"]["encoder"].startswith(f"http://{encoder_name(ENCODER, second)}.")
        assert f"--encoder=http://{encoder_name(ENCODER, first)}.{NAMESPACE}.svc" in arguments(world.one(DEPLOYMENT))
    assert world.named(SERVICE, encoder_name(ENCODER, second)) is not None
    world.heads(HEAD, width=768)
    assert world.of(HEAD, "encoder") == {"name": ENCODER, "digest": second, "width": 768}
    status, reason, message = world.said(HEAD, "EncoderReady")
    assert (status, reason) == ("True", "WidthChanged")
    assert message.endswith("it makes 768 numbers of a row, and made 384 in revision 1")
    again = world.looked(ENCODER)
    assert world.keeper(first) is not None, f"{OTHER} asks it still"
    assert again is not None
    assert again <= 30, "that heads have gone on is told by no event of the encoder's own"
    world.heads(OTHER)
    world.looked(ENCODER)
    assert world.keeper(first) is None
    assert world.named(SERVICE, encoder_name(ENCODER, first)) is None
    assert world.named(SERVICE, encoder_name(ENCODER, second)) is not None
    assert world.said(ENCODER)[:2] == ("True", "Serving")


def test_what_is_asked_is_kept_beyond_the_limit_of_revisions() -> None:
    world = Two()
    first = world.encodes(revisionHistoryLimit=1)
    world.told(HEAD, **head())
    world.heads()
    for length in (64, 32):
        spec = {"data": None, "model": {"pretrained": {"uri": "s3://models/minilm", "maxLength": length}}}
        world.told(ENCODER, **spec, revisionHistoryLimit=1)
        world.made(ENCODER)
        if length == 64:
            world.keeper_answers(first)
        world.looked(ENCODER)
        world.rolled(ENCODER)
    with world.acts(ENCODER):
        numbers = sorted(record["revision"] for record in world.records())
    assert numbers == [1, 3]
    assert world.keeper(first) is not None


def test_a_rollback_of_the_encoder_needs_nothing_kept() -> None:
    """It serves the old revision itself again: once its pods are there, what was kept goes."""
    world = Two()
    first = world.encodes()
    world.told(HEAD, **head())
    world.heads()
    world.told(ENCODER, **NEWER)
    world.made(ENCODER)
    world.keeper_answers(first)
    world.looked(ENCODER)
    world.rolled(ENCODER)
    world.told(ENCODER, **PRETRAINED)
    assert world.keeper(first) is not None, "its own pods are not there yet"
    world.rolled(ENCODER)
    assert world.of(ENCODER, "digest") == first
    assert world.keeper(first) is None
    world.looked(HEAD)
    assert world.said(HEAD)[:2] == ("True", "Serving")


def test_a_head_that_asks_another_encoder_by_now_is_answered_while_it_does() -> None:
    """Who asks is told by what serves, not by what the spec says now."""
    world = Two()
    first = world.encodes()
    world.told(HEAD, **head())
    world.heads()
    inside = {**head(), "model": {"encoder": {"uri": "s3://models/minilm"}}}
    world.told(HEAD, **inside)
    world.told(ENCODER, **NEWER)
    world.made(ENCODER)
    assert world.keeper(first) is not None
    world.made(HEAD)
    world.rolled(HEAD)
    world.looked(ENCODER)
    assert world.keeper(first) is None
    assert (world.of(ENCODER, "usedBy"), world.of(HEAD, "encoder")) == (None, None)


def test_what_is_kept_for_heads_and_scaled_to_nothing_is_started_again_before_the_encoder_goes_on() -> None:
    world = Two()
    first = world.encodes()
    world.told(HEAD, **head())
    world.heads()
    world.told(ENCODER, **NEWER)
    world.made(ENCODER)
    keeper = world.keeper(first)
    assert keeper is not None
    numbers = {"replicas": 0, "observedGeneration": keeper["metadata"]["generation"] + 1}
    world.kube.store({**keeper, "spec": {**keeper["spec"], "replicas": 0}, "status": numbers})
    world.looked(ENCODER)
    keeper = world.keeper(first)
    assert keeper is not None
    assert keeper["spec"]["replicas"] == 1
    with world.acts(ENCODER):
        assert f"--digest={first}" in arguments(world.one(DEPLOYMENT)), "it waits"
    world.keeper_answers(first)
    world.looked(ENCODER)
    with world.acts(ENCODER):
        assert f"--digest={first}" not in arguments(world.one(DEPLOYMENT))
    kept = world.keeper(first)
    assert kept is not None
    assert kept["metadata"]["generation"] == keeper["metadata"]["generation"], "nothing more is written"


@pytest.mark.parametrize("wanted", ["inside", "another"])
def test_what_a_head_asks_is_kept_though_its_pods_are_not_ready_and_it_asks_for_another_model(wanted: str) -> None:
    """With nothing but what it serves to tell of it, and a limit under which the encoder's record would go, too."""
    world = Two()
    first = _went_on(world, revisionHistoryLimit=1)
    model = {"uri": "s3://models/minilm"} if wanted == "inside" else {"service": {"name": "mpnet"}}
    world.told(HEAD, **{**head(), "model": {"encoder": model}})
    with world.acts(HEAD):
        world.roll_out(available=0)
        world.settle()
    assert world.of(HEAD, "revision") is None
    world.looked(ENCODER)
    assert _led_and_kept(world, first)
    with world.acts(ENCODER):
        assert sorted(record["revision"] for record in world.records()) == [1, 2]


@pytest.mark.parametrize("ready", [False, True])
def test_what_pods_of_a_head_ask_is_kept_until_the_last_of_them_is_gone(ready: bool) -> None:
    """Its Deployment has a model that asks nobody by now; the new pod is ready or not, the old one is not."""
    world = Two()
    first = _went_on(world)
    world.told(HEAD, **{**head(), "model": {"encoder": {"uri": "s3://models/minilm"}}})
    world.made(HEAD)
    with world.acts(HEAD):
        asking = next(pod for pod in world.all(POD) if f"--encoder={_url(first)}" in str(pod["spec"]))
        unready = {"conditions": [{"type": "Ready", "status": "False"}], "phase": "Running"}
        world.kube.store({**asking, "status": unready})
        world.serving_pod(ready=ready)
        world.settle()
    assert world.of(HEAD, "encoder")["digest"] == first
    world.looked(ENCODER)
    assert _led_and_kept(world, first)
    world.rolled(HEAD)
    world.looked(ENCODER)
    assert world.of(HEAD, "encoder") is None
    assert world.keeper(first) is None


@pytest.mark.parametrize("moves", [False, True])
def test_what_a_head_asks_is_kept_though_its_record_cannot_be_read(moves: bool) -> None:
    """As after a downgrade; its status says what its pods ask, though it be asked to become something else."""
    world = Two()
    first = _went_on(world)
    _of_a_newer_release(world, HEAD, number=1)
    if moves:
        world.told(HEAD, **{**head(), "model": {"encoder": {"uri": "s3://models/minilm"}}})
    world.looked(HEAD)
    world.looked(ENCODER)
    assert world.said(HEAD, "RecordsReadable")[0] == "False"
    assert world.of(HEAD, "encoder")["digest"] == first
    assert _led_and_kept(world, first)


def test_heads_are_led_to_an_encoder_whose_record_cannot_be_read_or_is_lost() -> None:
    world = Two()
    first = world.encodes()
    world.told(HEAD, **head())
    world.heads()
    world.looked(ENCODER)
    record = _of_a_newer_release(world, ENCODER, number=1)
    world.looked(ENCODER)
    assert world.named(SERVICE, encoder_name(ENCODER, first))
    world.remove(record)
    with world.acts(ENCODER):
        world.reconcile()
    assert world.named(SERVICE, encoder_name(ENCODER, first))


def test_what_is_kept_for_heads_stays_though_its_record_cannot_be_read_and_goes_when_nobody_asks_it() -> None:
    world = Two()
    first = _went_on(world)
    _of_a_newer_release(world, ENCODER, number=1)
    world.looked(ENCODER)
    assert world.said(ENCODER, "RecordsReadable")[0] == "False"
    assert _led_and_kept(world, first)
    world.heads()
    world.looked(ENCODER)
    assert world.keeper(first) is None
    assert world.named(SERVICE, encoder_name(ENCODER, first)) is None


def _went_on(world: Two, **spec: Any) -> str:
    """An encoder that went on, and keeps what a head asks. Answers with the digest of that."""
    first = world.encodes(**spec)
    world.told(HEAD, **head())
    world.heads()
    world.told(ENCODER, **NEWER, **spec)
    world.made(ENCODER)
    world.keeper_answers(first)
    world.looked(ENCODER)
    world.rolled(ENCODER)
    assert _led_and_kept(world, first)
    return first


def _led_and_kept(world: Two, digest: str) -> bool:
    return bool(world.keeper(digest) and world.named(SERVICE, encoder_name(ENCODER, digest)))


def _url(digest: str) -> str:
    return f"http://{encoder_name(ENCODER, digest)}.{NAMESPACE}.svc"


def _of_a_newer_release(world: Two, name: str, *, number: int) -> Ref:
    """As if a newer release had written a record."""
    with world.acts(name):
        record = next(one for one in world.records() if one["revision"] == number)
    world.kube.store({**record, "data": {**record["data"], "schemaVersion": "2.0"}})
    return Ref(CONTROLLER_REVISION, NAMESPACE, record["metadata"]["name"])


def test_an_encoder_that_becomes_something_else_is_kept_for_its_heads() -> None:
    world = Two()
    first = world.encodes()
    world.told(HEAD, **head())
    world.heads()
    world.told(ENCODER, data={"configMap": {"name": "churn"}, "target": "kind"}, model={"svm": {}})
    world.made(ENCODER)
    world.keeper_answers(first)
    world.looked(ENCODER)
    world.rolled(ENCODER)
    world.looked(HEAD)
    assert world.said(HEAD)[:2] == ("False", "EncoderUnsuited")
    with world.acts(HEAD):
        assert world.condition("Available")["status"] == "True"
    assert world.keeper(first) is not None
    assert world.named(SERVICE, encoder_name(ENCODER, world.of(ENCODER, "digest"))) is None, "nobody could ask it"


def test_an_encoder_that_is_deleted_while_it_is_asked_is_said_on_its_heads() -> None:
    world = Two()
    world.encodes()
    world.told(HEAD, **head())
    world.heads()
    ref = Ref(MODEL_SERVICE, NAMESPACE, ENCODER)
    metadata = world.kube.objects[ref]["metadata"]
    world.kube.store(
        {
            **world.kube.objects[ref],
            "metadata": {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a"]},
        }
    )
    world.looked(HEAD)
    assert world.said(HEAD, "EncoderReady")[:2] == ("False", "EncoderNotFound")
    assert f"names {ENCODER}, which is being deleted: make it again, or name another" in world.said(HEAD)[2]
    world.remove(ref)
    world.looked(HEAD)
    assert world.said(HEAD)[0] == "False"
    assert "without it this model answers with 503" in world.said(HEAD)[2]
    with world.acts(HEAD):
        assert world.one(DEPLOYMENT), "what serves stays"
        assert world.condition("Available")["status"] == "True"


@pytest.mark.parametrize(
    ("changes", "asked", "reason", "words"),
    [
        (
            {"data": {"configMap": {"name": "churn"}, "target": "kind"}, "model": {"svm": {}}},
            {},
            "EncoderUnsuited",
            "is no encoder",
        ),
        (
            {"serving": {"auth": {"apiKeys": {"secretRef": {"name": "k"}}}}},
            {},
            "EncoderClosed",
            "has serving.auth, and heads",
        ),
        ({"serving": {"tls": {"secretRef": {"name": "k"}}}}, {}, "EncoderClosed", "has serving.tls, and heads"),
        (
            {"serving": {"allowFrom": {"scope": "None"}}},
            {},
            "EncoderClosed",
            "lets nobody in (serving.allowFrom): add the peer",
        ),
        ({}, {"digest": f"sha256:{'0' * 64}"}, "EncoderChanged", "name that, or leave it out"),
    ],
    ids=["no-encoder", "keys", "tls", "nobody", "another"],
)
def test_what_only_a_change_mends_is_said(changes: Object, asked: Object, reason: str, words: str) -> None:
    world = Two()
    world.encodes()
    if changes:
        world.told(ENCODER, **{**PRETRAINED, **changes})
    world.told(HEAD, **head(**asked))
    assert world.said(HEAD)[:2] == ("False", reason)
    assert words in world.said(HEAD)[2]
    assert world.said(HEAD, "Stalled")[0] == "True"


def test_a_peer_of_the_encoder_lets_its_heads_in() -> None:
    world = Two()
    peers = [{"podSelector": {"matchLabels": {LABEL_NAME: HEAD}}}]
    world.encodes(serving={"allowFrom": {"scope": "None", "peers": peers}})
    for name, ready in ((HEAD, "True"), (OTHER, "False")):
        world.told(name, **head())
        assert world.said(name, "EncoderReady")[0] == ready


def test_a_key_that_is_named_is_that_of_the_digest() -> None:
    """The digest may as well be written down: it is the same model."""
    world = Two()
    digest = world.encodes()
    world.told(HEAD, **head())
    world.heads()
    world.looked(ENCODER)
    world.told(HEAD, **head(digest=digest))
    assert world.said(HEAD)[:2] == ("True", "Serving")
    with world.acts(HEAD):
        assert len(world.records()) == 1


def test_what_is_kept_is_named_after_the_digest() -> None:
    name = encoder_name("a" * MAX_NAME_LENGTH, f"sha256:{'0123456789abcdef' * 4}")
    assert name == f"{'a' * MAX_NAME_LENGTH}-0123456789"
    assert len(name) <= 63
