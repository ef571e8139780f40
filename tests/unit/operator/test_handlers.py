"""The edge to kopf: events fill the cache and the queue, and kopf is told to write nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kopf
import pytest
from kubernetes.config import kube_config
from tests.support.fake_clock import FakeClock

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.handlers import login
from modelservice_operator.handlers.startup import build_settings
from modelservice_operator.handlers.watch import build_handler, register_watches
from modelservice_operator.kinds import JOB, MODEL_SERVICE
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.machinery.queue import Backoff, WorkQueue
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key, Ref
from modelservice_operator.watches import WATCHES

ROOT = Path(__file__).parents[3]


class World:
    """What events go into."""

    def __init__(self) -> None:
        self.cache = Cache(WATCHES)
        self.queue: WorkQueue[Key] = WorkQueue(clock=FakeClock(), metrics=Metrics(), backoff=Backoff())
        self.feed = Feed(cache=self.cache, on_change=lambda _, key: self.queue.add(key))


@pytest.fixture
def world() -> World:
    return World()


def job(version: int, *, uid: str = "u1", owner: str = "a") -> dict[str, Any]:
    metadata = {"namespace": "n", "name": "a-train", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": {LABEL_NAME: owner}}}


def version(world: World) -> str | None:
    """Version of the Job that is known."""
    known = world.cache.get(Ref(JOB, "n", "a-train"))
    return None if known is None else str(known["metadata"]["resourceVersion"])


async def drain(world: World) -> list[Key]:
    keys = [await world.queue.get() for _ in range(len(world.queue))]
    for key in keys:
        world.queue.done(key)
    return keys


async def test_an_event_of_a_child_is_cached_and_its_owner_queued(world: World) -> None:
    handler = build_handler(JOB, world.feed)
    await handler(event={"type": "ADDED", "object": job(1)}, anything="else")
    assert version(world) == "1"
    assert await drain(world) == [Key("n", "a")]
    await handler(event={"type": "DELETED", "object": job(2)})
    assert version(world) is None
    assert await drain(world) == [Key("n", "a")]


async def test_an_event_of_a_service_queues_itself(world: World) -> None:
    service = {"metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "1"}}
    await build_handler(MODEL_SERVICE, world.feed)(event={"type": None, "object": service})
    assert await drain(world) == [Key("n", "a")]


async def test_an_echo_of_our_own_write_and_a_repeated_list_say_nothing_new(world: World) -> None:
    world.feed.put(JOB, job(1))
    assert await drain(world) == [Key("n", "a")], "our own write is followed by one more pass"
    handler = build_handler(JOB, world.feed)
    await handler(event={"type": None, "object": job(1)})
    await handler(event={"type": "ADDED", "object": job(1)})
    world.feed.drop(JOB, "n", "a-train", "u1")
    assert await drain(world) == [Key("n", "a")]
    await handler(event={"type": "DELETED", "object": job(2)})
    assert await drain(world) == []


async def test_a_child_that_changes_hands_queues_both_owners(world: World) -> None:
    world.cache.put(JOB, job(1, owner="a"))
    await build_handler(JOB, world.feed)(event={"type": "MODIFIED", "object": job(2, owner="b")})
    assert set(await drain(world)) == {Key("n", "a"), Key("n", "b")}


async def test_a_late_deleted_keeps_the_new_object(world: World) -> None:
    world.cache.put(JOB, job(5, uid="new"))
    await build_handler(JOB, world.feed)(event={"type": "DELETED", "object": job(4, uid="old")})
    assert version(world) == "5"


def test_all_kinds_are_watched_without_finalizers_and_annotations(world: World) -> None:
    registry = kopf.OperatorRegistry()
    register_watches(registry, WATCHES, world.feed)
    assert len(registry._watching.get_all_handlers()) == len(WATCHES)
    for other in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert other.get_all_handlers() == []


def test_kopf_lists_little_at_a_time_and_writes_nothing() -> None:
    settings = build_settings()
    assert settings.watching.chunk_size == 10
    assert settings.watching.label_selectors == {}, "a ModelService carries no label of ours"
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


def test_elsewhere_an_exec_plugin_gives_a_token_each_time_that_one_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t-"}}
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        f"import json, pathlib\n"
        f"count = pathlib.Path({str(count)!r})\n"
        f"count.write_text(count.read_text() + 'x' if count.exists() else 'x')\n"
        f"credential = {credential!r}\n"
        f"credential['status']['token'] += str(len(count.read_text()))\n"
        f"print(json.dumps(credential))\n"
    )
    kubeconfig = tmp_path / "kubeconfig"
    execute = {"apiVersion": credential["apiVersion"], "command": sys.executable, "args": [str(plugin)]}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"exec": {**execute, "interactiveMode": "Never"}}}],
            }
        )
    )
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))  # read at its import
    assert [login.connect().as_http_headers()["Authorization"] for _ in range(2)] == ["Bearer t-1", "Bearer t-2"]


def test_no_credentials_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "absent"))
    with pytest.raises(kopf.LoginError, match="set KUBECONFIG"):
        login.connect()


def test_without_the_client_outside_of_a_cluster_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    monkeypatch.setattr(kopf, "login_via_client", lambda **_: None)
    with pytest.raises(kopf.LoginError, match=r"pip install .\.\[operator\]. in the checkout"):
        login.connect()


def test_the_kubernetes_client_costs_nothing_where_it_is_not_used() -> None:
    program = (
        "import sys, modelservice_operator.main as operator; import kopf; "
        "print([name for name in sys.modules if name.partition('.')[0] == 'kubernetes']); "
        "import kubernetes.client; print(kubernetes.client.CoreV1Api.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'runtime'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["[]", "CoreV1Api"], done.stderr
