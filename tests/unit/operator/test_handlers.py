"""The edge to kopf: events fill the cache and the queue, and kopf is told to write nothing."""

from pathlib import Path
from typing import Any

import kopf
import pytest
from kubernetes.config import kube_config
from tests.support.fake_clock import FakeClock
from tests.unit.operator.machinery.test_lease import FakeLeases, candidate
from tests.unit.operator.machinery.test_sync import Lists

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.config import Settings
from modelservice_operator.constants import LABEL_NAME, OPERATOR_SELECTOR
from modelservice_operator.context import Context
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.handlers import login
from modelservice_operator.handlers.startup import build_settings
from modelservice_operator.handlers.watch import build_handler, register_watches
from modelservice_operator.kinds import CHILD_KINDS, JOB, MODEL_SERVICE, WATCHED_KINDS, Key, Ref
from modelservice_operator.metrics import Metrics
from modelservice_operator.machinery.queue import Backoff, WorkQueue


@pytest.fixture
def context() -> Context:
    clock, metrics, cache = FakeClock(), Metrics(), Cache()
    unused: Any = Lists()
    queue: WorkQueue[Key] = WorkQueue(clock=clock, metrics=metrics, backoff=Backoff())
    return Context(
        settings=Settings(runtime_image="r"),
        clock=clock,
        metrics=metrics,
        cache=cache,
        queue=queue,
        feed=Feed(cache=cache, on_change=queue.add),
        kube=unused,
        progress=unused,
        elector=candidate(FakeLeases(), clock),
    )


def job(version: int, *, uid: str = "u1", owner: str = "a") -> dict[str, Any]:
    metadata = {"namespace": "n", "name": "a-train", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": {LABEL_NAME: owner}}}


async def drain(context: Context) -> list[Key]:
    keys = [await context.queue.get() for _ in range(len(context.queue))]
    for key in keys:
        context.queue.done(key)
    return keys


async def test_an_event_of_a_child_is_cached_and_its_owner_queued(context: Context) -> None:
    handler = build_handler(JOB, context.feed)
    await handler(event={"type": "ADDED", "object": job(1)}, anything="else")
    assert context.cache.get(Ref(JOB, "n", "a-train")) == job(1)
    assert await drain(context) == [Key("n", "a")]
    await handler(event={"type": "DELETED", "object": job(2)})
    assert context.cache.get(Ref(JOB, "n", "a-train")) is None
    assert await drain(context) == [Key("n", "a")]


async def test_an_event_of_a_service_queues_itself(context: Context) -> None:
    service = {"metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "1"}}
    await build_handler(MODEL_SERVICE, context.feed)(event={"type": None, "object": service})
    assert await drain(context) == [Key("n", "a")]


async def test_an_echo_of_our_own_write_and_a_repeated_list_say_nothing_new(context: Context) -> None:
    context.feed.put(JOB, job(1))
    assert await drain(context) == [Key("n", "a")], "our own write is followed by one more pass"
    handler = build_handler(JOB, context.feed)
    await handler(event={"type": None, "object": job(1)})
    await handler(event={"type": "ADDED", "object": job(1)})
    context.feed.drop(JOB, "n", "a-train", "u1")
    assert await drain(context) == [Key("n", "a")]
    await handler(event={"type": "DELETED", "object": job(2)})
    assert await drain(context) == []


async def test_a_child_that_changes_hands_queues_both_owners(context: Context) -> None:
    context.cache.put(JOB, job(1, owner="a"))
    await build_handler(JOB, context.feed)(event={"type": "MODIFIED", "object": job(2, owner="b")})
    assert set(await drain(context)) == {Key("n", "a"), Key("n", "b")}


async def test_a_late_deleted_keeps_the_new_object(context: Context) -> None:
    context.cache.put(JOB, job(5, uid="new"))
    await build_handler(JOB, context.feed)(event={"type": "DELETED", "object": job(4, uid="old")})
    assert context.cache.get(Ref(JOB, "n", "a-train")) == job(5, uid="new")


def test_all_kinds_are_watched_without_finalizers_and_annotations(context: Context) -> None:
    registry = kopf.OperatorRegistry()
    register_watches(registry, context.feed)
    assert len(registry._watching.get_all_handlers()) == len(WATCHED_KINDS)
    for other in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert other.get_all_handlers() == []


def test_children_are_selected_on_the_server(context: Context) -> None:
    settings = build_settings()
    selectors = settings.watching.label_selectors
    for kind in CHILD_KINDS:
        assert selectors[kind.group, kind.version, kind.plural] == OPERATOR_SELECTOR
    assert len(selectors) == len(CHILD_KINDS), "a ModelService carries no label of ours"
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert not settings.posting.enabled


def test_in_a_pod_the_service_account_is_used_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    info = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t")  # noqa: S106 - opens nothing
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: info)
    for host, server in (("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")):
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
        assert login.connect().server == server
        assert login.connect().as_http_headers() == {"Authorization": "Bearer t"}


def test_elsewhere_the_kubeconfig_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {token: secret}}]\n"
    )
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))  # read at its import
    info = login.connect()
    assert (info.server, info.as_http_headers()) == ("https://127.0.0.1:1", {"Authorization": "Bearer secret"})


def test_without_the_kubernetes_client_the_kubeconfig_is_read_by_kopf(monkeypatch: pytest.MonkeyPatch) -> None:
    info = kopf.ConnectionInfo(server="https://127.0.0.1:1")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    monkeypatch.setattr(kopf, "login_via_client", lambda **_: None)
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: info)
    assert login.connect() is info


def test_no_credentials_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    monkeypatch.setattr(kopf, "login_via_client", lambda **_: None)
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: None)
    with pytest.raises(kopf.LoginError, match="set KUBECONFIG"):
        login.connect()
