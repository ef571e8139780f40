"""The client against a small apiserver on loopback: what it sends, what it makes of answers, and what it counts."""

import dataclasses
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.fake_clock import FakeClock

from modelservice_operator.constants import FIELD_MANAGER, LABEL_NAME, REPLICAS_FIELD_MANAGER
from modelservice_operator.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, JOB, LEASE, MODEL_SERVICE, POD
from modelservice_operator.kube.client import KubeClient
from modelservice_operator.kube.discovery import Discovery
from modelservice_operator.kube.events import EventRecorder
from modelservice_operator.kube.lease import LeaseClient
from modelservice_operator.kube.transport import ANSWER_BYTES, Transport, open_transport
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Transient
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Ref
from modelservice_operator.watches import WATCHES

JOB_REF = Ref(JOB, "n", "a-train")


def job(**fields: Any) -> dict[str, Any]:
    metadata = {"namespace": "n", "name": "a-train", **fields}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"suspend": False}}


def stored(version: int = 7, **fields: Any) -> dict[str, Any]:
    return job(uid="u1", resourceVersion=str(version), labels={LABEL_NAME: "a"}, **fields)


@dataclasses.dataclass(frozen=True)
class Sent:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Apiserver:
    """Answers what a test tells it to, and keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.answers: list[tuple[int, Any]] = []
        self.accepts = "first"
        self.headers: dict[str, str] = {}

    def answer(self, *answers: tuple[int, Any]) -> None:
        self.answers.extend(answers)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.sent.append(Sent(request.method, request.path, dict(request.query), dict(request.headers), body))
        if request.headers.get("Authorization") != f"Bearer {self.accepts}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        status, payload = self.answers.pop(0)
        return (
            web.json_response(payload, status=status, headers=self.headers)
            if status
            else web.Response(text=payload, status=200)
        )


@dataclasses.dataclass(frozen=True)
class FakeConnection:
    server: str
    token: str

    def as_ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def as_http_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class World:
    """The client and all that it touches."""

    def __init__(self, apiserver: Apiserver, transport: Transport, metrics: Metrics) -> None:
        self.apiserver = apiserver
        self.transport = transport
        self.metrics = metrics
        self.cache = Cache(WATCHES)
        self.clock = FakeClock()
        self.leads = True
        self.kube = self.client()

    def client(self, *namespaces: str) -> KubeClient:
        return KubeClient(
            transport=self.transport,
            namespaces=namespaces,
            may_write=lambda: self.leads,
            memory=self.cache,
            said=self.cache,
            recorder=EventRecorder(clock=self.clock),
            metrics=self.metrics,
        )

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"modelservice_operator_{name}_total", labels) or 0.0


@pytest.fixture
async def world() -> AsyncIterator[World]:
    apiserver = Apiserver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", apiserver.handle)
    metrics = Metrics()
    async with TestServer(application) as server:
        url = f"http://{server.host}:{server.port}/"

        def connect() -> FakeConnection:
            return FakeConnection(url, apiserver.accepts)

        async with open_transport(connect=connect, metrics=metrics) as transport:
            yield World(apiserver, transport, metrics)


async def test_a_scale_names_the_version_that_was_read(world: World) -> None:
    world.apiserver.answer((200, {"kind": "Scale"}), (409, {"message": "modified"}), (404, {"message": "gone"}))
    ref = Ref(MODEL_SERVICE, "n", "a")
    await world.kube.scale(ref, replicas=3, version="7")
    (sent,) = world.apiserver.sent
    assert (sent.method, sent.path) == ("PATCH", "/apis/modelservice.dev/v1alpha1/namespaces/n/modelservices/a/scale")
    assert sent.query == {"fieldManager": REPLICAS_FIELD_MANAGER}
    assert sent.headers["Content-Type"] == "application/merge-patch+json"
    assert sent.body == {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}}
    for _ in range(2):
        with pytest.raises(Conflict):
            await world.kube.scale(ref, replicas=3, version="7")


async def test_apply_is_a_forced_server_side_apply_whose_answer_is_remembered(world: World) -> None:
    world.apiserver.answer((200, stored()))
    assert await world.kube.apply(job(), uid="u1") == stored()
    (sent,) = world.apiserver.sent
    assert (sent.method, sent.path) == ("PATCH", "/apis/batch/v1/namespaces/n/jobs/a-train")
    assert sent.query == {"fieldManager": FIELD_MANAGER, "force": "true"}
    assert sent.headers["Content-Type"] == "application/apply-patch+yaml"
    assert sent.body == job(uid="u1")
    found = world.cache.get(JOB_REF)
    assert found is not None
    assert (found["metadata"], found["spec"]["suspend"]) == (stored()["metadata"], False)
    assert world.count("writes", verb="patch", kind="Job") == 1
    assert world.count("api_requests", verb="patch", kind="Job", code="200") == 1


async def test_what_must_be_new_asks_for_a_version_that_no_object_has(world: World) -> None:
    world.apiserver.answer((409, {"message": "the object has been modified"}))
    desired = job()
    with pytest.raises(Conflict):
        await world.kube.apply(desired, uid=None)
    assert world.apiserver.sent[0].body["metadata"] == {**desired["metadata"], "resourceVersion": "1"}


async def test_apply_as_another_field_manager(world: World) -> None:
    world.apiserver.answer((200, stored()))
    await world.kube.apply(job(), uid=None, manager=REPLICAS_FIELD_MANAGER)
    assert world.apiserver.sent[0].query["fieldManager"] == REPLICAS_FIELD_MANAGER


async def test_status_is_applied_to_its_subresource(world: World) -> None:
    service = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "3"},
    }
    world.apiserver.answer((200, service))
    await world.kube.apply_status(service)
    assert world.apiserver.sent[0].path == "/apis/modelservice.dev/v1alpha1/namespaces/n/modelservices/a/status"
    assert world.cache.get(Ref(MODEL_SERVICE, "n", "a")) == service


async def test_delete_names_the_uid_and_forgets_the_object(world: World) -> None:
    world.cache.put(JOB, stored())
    world.apiserver.answer((200, {"kind": "Status", "status": "Success"}))
    await world.kube.delete(JOB_REF, uid="u1")
    (sent,) = world.apiserver.sent
    assert sent.method == "DELETE"
    assert sent.body["preconditions"] == {"uid": "u1"}
    assert sent.body["propagationPolicy"] == "Background"
    assert world.cache.get(JOB_REF) is None


async def test_what_a_finalizer_keeps_is_still_there_after_delete(world: World) -> None:
    world.cache.put(JOB, stored())
    world.apiserver.answer((200, stored(8, deletionTimestamp="2026-01-01T00:00:00Z")))
    await world.kube.delete(JOB_REF, uid="u1", propagation="Foreground")
    found = world.cache.get(JOB_REF)
    assert found is not None
    assert found["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"


async def test_deleting_what_is_gone_is_fine_and_forgets_it(world: World) -> None:
    world.cache.put(JOB, stored())
    world.apiserver.answer((404, {"message": "not found"}))
    await world.kube.delete(JOB_REF, uid="u1")
    assert world.cache.get(JOB_REF) is None


async def test_nothing_is_sent_without_the_lease(world: World) -> None:
    world.leads = False
    with pytest.raises(Transient, match="not the leader"):
        await world.kube.apply(job(), uid=None)
    with pytest.raises(Transient, match="not the leader"):
        await world.kube.apply_status(stored())
    with pytest.raises(Transient, match="not the leader"):
        await world.kube.adopt(JOB_REF, uid="u1", metadata={"labels": {}})
    with pytest.raises(Transient, match="not the leader"):
        await world.kube.strip(JOB_REF, uid="u1", version="7", pointers=["/spec/suspend"])
    with pytest.raises(Transient, match="not the leader"):
        await world.kube.delete(JOB_REF, uid="u1")
    await world.kube.record_event(stored(), reason="Training", message="m")
    assert world.apiserver.sent == []
    assert world.count("writes", verb="patch", kind="Job") == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (403, Forbidden),
        (404, Conflict),
        (409, Conflict),
        (413, Invalid),
        (422, Invalid),
        (429, Transient),
        (500, Transient),
        (503, Transient),
        (504, Transient),
    ],
)
async def test_refusals_are_told_apart_with_the_words_of_the_apiserver(
    world: World, status: int, error: type[KubeError]
) -> None:
    world.apiserver.answer((status, {"kind": "Status", "message": "exceeded quota: pods=4"}))
    with pytest.raises(error, match="exceeded quota: pods=4"):
        await world.kube.apply(job(), uid=None)
    assert world.count("api_requests", verb="patch", kind="Job", code=str(status)) == 1
    assert world.cache.get(JOB_REF) is None


@pytest.mark.parametrize(("said", "after"), [("7", 7), ("", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("-1", 0)])
async def test_how_long_the_apiserver_wants_to_be_left_alone_is_kept(world: World, said: str, after: float) -> None:
    world.apiserver.answer((429, {"message": "too many requests"}))
    world.apiserver.headers = {"Retry-After": said}
    with pytest.raises(Transient, match="429 too many requests") as raised:
        await world.kube.get(JOB_REF)
    assert raised.value.after == after


async def test_an_answer_that_is_no_json_is_transient(world: World) -> None:
    world.apiserver.answer((0, "<html>proxy</html>"), (0, "[1]"))
    for _ in range(2):
        with pytest.raises(Transient, match="no JSON"):
            await world.kube.get(JOB_REF)


async def test_no_connection_is_transient_and_counted() -> None:
    metrics = Metrics()
    connection = FakeConnection("http://127.0.0.1:1", "t")
    async with open_transport(connect=lambda: connection, metrics=metrics) as transport:
        with pytest.raises(Transient, match="get Job"):
            await transport.request("get", "GET", JOB, JOB_REF.path)
    labels = {"verb": "get", "kind": "Job", "code": "none"}
    assert metrics.registry.get_sample_value("modelservice_operator_api_requests_total", labels) == 1


async def test_get_gives_the_object_or_none(world: World) -> None:
    world.apiserver.answer((200, stored()), (404, {"message": "not found"}))
    assert await world.kube.get(JOB_REF) == stored()
    assert await world.kube.get(JOB_REF) is None
    assert world.apiserver.sent[0].headers["Accept"] == "application/json"


async def test_metadata_is_asked_for_as_such(world: World) -> None:
    world.apiserver.answer((200, {"metadata": {}}), (404, {}))
    assert await world.kube.get_metadata(Ref(CONFIG_MAP, "n", "data")) == {"metadata": {}}
    assert await world.kube.get_metadata(Ref(CONFIG_MAP, "n", "data")) is None
    assert "as=PartialObjectMetadata;" in world.apiserver.sent[0].headers["Accept"]


async def test_names_are_those_of_one_page_or_nobody_knows(world: World) -> None:
    many = {"metadata": {"continue": "more"}, "items": [stored(1)]}
    large = {"items": [{"metadata": {"name": "x" * 2 * ANSWER_BYTES}}]}
    world.apiserver.answer(
        (200, {"metadata": {}, "items": [stored(1)]}), (200, {"items": None}), (200, many), (200, large)
    )
    name = stored(1)["metadata"]["name"]
    found = [await world.kube.names(JOB, "n") for _ in range(4)]
    assert found == [frozenset({name}), frozenset(), None, None]
    sent = world.apiserver.sent[0]
    assert (sent.path, sent.query) == ("/apis/batch/v1/namespaces/n/jobs", {"limit": "500"})
    assert "as=PartialObjectMetadataList;" in sent.headers["Accept"]


async def test_autoscalers_are_those_of_the_object_and_a_few_of_them(world: World) -> None:
    def autoscaler(called: str, **target: str) -> dict[str, Any]:
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "churn", **target}
        return {"metadata": {"name": called}, "spec": {"scaleTargetRef": reference}}

    others = [
        autoscaler("other", name="iris"),
        autoscaler("above", apiVersion="modelservice.dev/v1alpha1", kind="ModelService"),
        {"metadata": {"name": "too-large-to-be-read"}},
    ]
    first = {"metadata": {"continue": "more"}, "items": [*others, autoscaler("keda-hpa-churn")]}
    rest = {"metadata": {}, "items": [autoscaler(f"a{number}", apiVersion="apps/v1beta1") for number in range(100)]}
    world.apiserver.answer((200, first), (200, rest))
    found = await world.kube.autoscalers_of(Ref(DEPLOYMENT, "n", "churn"))
    assert found == ("keda-hpa-churn", *(f"a{number}" for number in range(7)))
    assert world.apiserver.sent[0].path == "/apis/autoscaling/v2/namespaces/n/horizontalpodautoscalers"


async def test_of_many_autoscalers_in_a_namespace_the_first_ones_are_looked_at(world: World) -> None:
    others = [{"metadata": {"name": f"a{number}"}} for number in range(100)]
    pages = [(200, {"metadata": {"continue": "more"}, "items": others})] * 9
    world.apiserver.answer(*pages)
    assert await world.kube.autoscalers_of(Ref(DEPLOYMENT, "n", "churn")) == ()
    assert len(world.apiserver.sent) == 5


async def test_lists_follow_pages_in_all_namespaces_or_in_the_watched_ones(world: World) -> None:
    first = {"metadata": {"continue": "more"}, "items": [stored(1)]}
    world.apiserver.answer((200, first), (200, {"metadata": {}, "items": [stored(2)]}))
    assert await world.kube.list_metadata(JOB, label_selector="a=b") == [stored(1), stored(2)]
    one, two = world.apiserver.sent
    assert one.path == two.path == "/apis/batch/v1/jobs"
    assert one.query == {"labelSelector": "a=b", "limit": "500"}
    assert two.query == {"labelSelector": "a=b", "limit": "500", "continue": "more"}
    assert "as=PartialObjectMetadataList;" in one.headers["Accept"]
    world.apiserver.answer((200, {"items": [stored(3)]}), (200, {"items": None}))
    assert await world.client("n", "m").list_metadata(JOB) == [stored(3)]
    assert [sent.path for sent in world.apiserver.sent[2:]] == [
        "/apis/batch/v1/namespaces/n/jobs",
        "/apis/batch/v1/namespaces/m/jobs",
    ]


async def test_a_kind_that_is_not_served_says_what_is_missing(world: World) -> None:
    world.apiserver.answer((404, {"message": "the server could not find the requested resource"}))
    with pytest.raises(NotFound, match=r"modelservices\.modelservice\.dev/v1alpha1 is not served"):
        await world.kube.list_metadata(MODEL_SERVICE)


async def test_fresh_credentials_are_read_after_401_and_kept(world: World) -> None:
    world.apiserver.accepts = "second"
    world.apiserver.answer((200, stored()), (200, stored()))
    assert await world.kube.get(JOB_REF) == stored()
    await world.kube.get(JOB_REF)
    tokens = [sent.headers["Authorization"] for sent in world.apiserver.sent]
    assert tokens == ["Bearer first", "Bearer second", "Bearer second"]


async def test_credentials_that_stay_wrong_are_transient(world: World) -> None:
    connection = FakeConnection(world.transport._server, "wrong")
    async with open_transport(connect=lambda: connection, metrics=Metrics()) as transport:
        with pytest.raises(Transient, match="Unauthorized"):
            await transport.request("get", "GET", JOB, JOB_REF.path)
    assert len(world.apiserver.sent) == 2


async def test_events_are_one_page_and_come_oldest_first(world: World) -> None:
    def seen(second: int) -> dict[str, Any]:
        return {"lastTimestamp": f"2026-01-01T00:00:{second:02d}Z"}

    page = {"metadata": {"continue": "more"}, "items": [seen(second) for second in range(49, -1, -1)]}
    world.apiserver.answer((200, page))
    assert await world.kube.last_events("n", "u1") == [seen(second) for second in range(50)]
    (sent,) = world.apiserver.sent
    assert sent.query == {"fieldSelector": "involvedObject.uid=u1", "limit": "50"}


async def test_of_events_that_are_too_large_fewer_are_read_or_none(world: World) -> None:
    large = {"message": "x" * 300_000}
    world.apiserver.answer((200, {"items": [large] * 5}), (200, {"items": [large]}))
    assert await world.kube.last_events("n", "u1") == [large]
    assert [sent.query["limit"] for sent in world.apiserver.sent] == ["50", "5"]
    world.apiserver.answer((200, {"items": [large] * 5}), (200, {"items": [large] * 5}))
    assert await world.kube.last_events("n", "u1") == []


async def test_workloads_are_listed_in_the_version_that_the_cluster_prefers(world: World) -> None:
    found = {"metadata": {"name": "job-churn"}}
    world.apiserver.answer((200, {"preferredVersion": {"version": "v1beta9"}}), (200, {"items": [found]}))
    assert await world.kube.workloads("n", "u1") == [found]
    group, listed = world.apiserver.sent
    assert (group.path, listed.path) == (
        "/apis/kueue.x-k8s.io",
        "/apis/kueue.x-k8s.io/v1beta9/namespaces/n/workloads",
    )
    assert listed.query == {"labelSelector": "kueue.x-k8s.io/job-uid=u1", "limit": "4"}


async def test_a_cluster_without_kueue_has_no_workloads_at_all(world: World) -> None:
    world.apiserver.answer((404, {"message": "the server could not find the requested resource"}))
    assert await world.kube.workloads("n", "u1") is None


async def test_an_adoption_writes_labels_and_owners_of_that_uid_only(world: World) -> None:
    world.apiserver.answer((200, stored()), (409, {"message": "Precondition failed: UID in precondition"}))
    metadata = {"labels": {"a": "b"}, "ownerReferences": [], "name": "x", "annotations": {"c": "d"}}
    assert await world.kube.adopt(JOB_REF, uid="u1", metadata=metadata) == stored()
    (sent,) = world.apiserver.sent
    assert (sent.method, sent.path, sent.query) == ("PATCH", JOB_REF.path, {"fieldManager": FIELD_MANAGER})
    assert sent.headers["Content-Type"] == "application/merge-patch+json"
    assert sent.body == {"metadata": {"uid": "u1", "labels": {"a": "b"}, "ownerReferences": []}}
    assert world.cache.get(JOB_REF) is not None
    with pytest.raises(Conflict):
        await world.kube.adopt(JOB_REF, uid="u1", metadata=metadata)


async def test_a_strip_removes_fields_of_exactly_that_version(world: World) -> None:
    world.apiserver.answer((200, stored(8)))
    await world.kube.strip(JOB_REF, uid="u1", version="7", pointers=["/spec/a~1b", "/spec/c/0"])
    (sent,) = world.apiserver.sent
    assert sent.headers["Content-Type"] == "application/json-patch+json"
    assert sent.body == [
        {"op": "test", "path": "/metadata/uid", "value": "u1"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/spec/a~1b"},
        {"op": "remove", "path": "/spec/c/0"},
    ]
    found = world.cache.get(JOB_REF)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "8"


@pytest.mark.parametrize(
    "message",
    [
        'Operation cannot be fulfilled: metadata.uid: Invalid value: "u1": field is immutable',
        "the server rejected our request due to an error in our request",
    ],
)
async def test_another_object_of_that_name_is_a_conflict_though_the_apiserver_calls_it_invalid(
    world: World, message: str
) -> None:
    world.apiserver.answer((422, {"message": message}))
    with pytest.raises(Conflict):
        await world.kube.apply(job(), uid="u1")


async def test_a_status_names_the_version_that_it_was_made_from(world: World) -> None:
    with pytest.raises(ValueError, match="resourceVersion"):
        await world.kube.apply_status(job())
    world.apiserver.answer((409, {"message": "the object has been modified"}))
    with pytest.raises(Conflict):
        await world.kube.apply_status(stored())


async def test_an_event_is_applied_under_a_name_of_its_own(world: World) -> None:
    world.apiserver.answer((201, {}))
    await world.kube.record_event(stored(), reason="Training", message="epoch 1", warning=True)
    (sent,) = world.apiserver.sent
    assert sent.path.startswith("/api/v1/namespaces/n/events/a-train.")
    assert (sent.body["reason"], sent.body["message"], sent.body["type"]) == ("Training", "epoch 1", "Warning")
    assert sent.body["involvedObject"]["uid"] == "u1"
    assert world.count("writes", verb="patch", kind=EVENT.kind) == 1


async def test_an_event_that_is_refused_is_no_failure_and_tried_again_later(world: World) -> None:
    world.apiserver.answer((403, {"message": "no"}), (201, {}))
    for _ in range(3):
        await world.kube.record_event(stored(), reason="Training", message="m")
    assert len(world.apiserver.sent) == 2


async def test_leases_need_no_lease_and_no_write_is_counted(world: World) -> None:
    world.leads = False
    leases = LeaseClient(transport=world.transport)
    ref = Ref(LEASE, "n", "operator")
    lease = {
        "apiVersion": LEASE.api_version,
        "kind": "Lease",
        "metadata": {"namespace": "n", "name": "operator", "resourceVersion": "1"},
    }
    world.apiserver.answer((404, {}), (201, lease), (200, lease), (409, {"message": "modified"}), (404, {}))
    assert await leases.get(ref) is None
    await leases.create(lease)
    await leases.replace(lease)
    with pytest.raises(Conflict):
        await leases.replace(lease)
    with pytest.raises(Conflict):
        await leases.replace(lease)
    methods = [(sent.method, sent.path.rpartition("/")[2]) for sent in world.apiserver.sent[1:3]]
    assert methods == [("POST", "leases"), ("PUT", "operator")]
    assert world.count("writes", verb="update", kind="Lease") == 0


async def test_a_kind_is_served_when_discovery_lists_group_and_resource(world: World) -> None:
    discovery = Discovery(transport=world.transport)
    with_group = {"groups": [{"name": "apps"}, {"name": "modelservice.dev"}]}
    services, others = {"resources": [{"name": "modelservices"}]}, {"resources": [{"name": "others"}]}
    world.apiserver.answer((200, {"groups": [{"name": "apps"}]}))
    assert await discovery.served([MODEL_SERVICE]) == frozenset()
    world.apiserver.answer((200, with_group), (404, {}))
    assert await discovery.served([MODEL_SERVICE]) == frozenset()
    world.apiserver.answer((200, with_group), (200, others))
    assert await discovery.served([MODEL_SERVICE]) == frozenset()
    world.apiserver.answer((200, with_group), (200, services))
    assert await discovery.served([MODEL_SERVICE]) == {MODEL_SERVICE}


async def test_discovery_asks_once_for_each_version_of_a_group(world: World) -> None:
    groups = {"groups": [{"name": "apps"}, {"name": "batch"}]}
    core = {"resources": [{"name": "configmaps"}, {"name": "pods"}]}
    apps, batch = {"resources": [{"name": "deployments"}]}, {"resources": [{"name": "cronjobs"}]}
    world.apiserver.answer((200, groups), (200, core), (200, apps), (200, batch))
    served = await Discovery(transport=world.transport).served([JOB, POD, DEPLOYMENT, CONFIG_MAP, MODEL_SERVICE])
    assert served == {POD, DEPLOYMENT, CONFIG_MAP}
    assert [sent.path for sent in world.apiserver.sent] == ["/apis", "/api/v1", "/apis/apps/v1", "/apis/batch/v1"]


async def test_discovery_that_fails_is_no_answer(world: World) -> None:
    world.apiserver.answer((503, {"message": "down"}))
    with pytest.raises(Transient, match="down"):
        await Discovery(transport=world.transport).served([JOB])


async def test_objects_of_foreign_kinds_are_refused_before_anything_is_sent(world: World) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "n", "name": "s"}}
    with pytest.raises(ValueError, match="v1/Secret"):
        await world.kube.apply(secret, uid=None)
    with pytest.raises(ValueError, match=r"metadata\.namespace"):
        await world.kube.apply({"apiVersion": "apps/v1", "kind": DEPLOYMENT.kind, "metadata": {"name": "a"}}, uid=None)
