"""The operator's edges against a real apiserver: kopf, the client, the Lease, the process."""

import asyncio
import json
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes.config import kube_config
from tests.support.cluster import kubectl
from tests.support.fake_clock import eventually

from modelservice_operator.config import Settings
from modelservice_operator.constants import LABEL_NAME, MANAGED_BY, MANAGED_BY_LABEL, OPERATOR_SELECTOR
from modelservice_operator.context import Context
from modelservice_operator.handlers.login import connect
from modelservice_operator.kinds import CONFIG_MAP, DEPLOYMENT, LEASE, MODEL_SERVICE, SERVICE
from modelservice_operator.kube.lease import LeaseClient
from modelservice_operator.kube.transport import Transport, open_transport
from modelservice_operator.machinery.clock import SystemClock
from modelservice_operator.machinery.errors import Conflict, Invalid, NotFound, Transient
from modelservice_operator.machinery.lease import Durations, Elector
from modelservice_operator.machinery.watch import Watch, own_key
from modelservice_operator.main import open_context, operate
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key, Kind, Ref
from modelservice_operator.watches import WATCHES

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]


def run(*args: str | Path, document: Object | None = None) -> str:
    done = kubectl(*args, input=None if document is None else json.dumps(document))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def namespace(crd: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A fresh namespace of a cluster that knows ModelServices."""
    monkeypatch.setenv("KUBECONFIG", str(crd))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(crd))  # read at its import
    name = f"wiring-{uuid.uuid4().hex[:8]}"
    run("create", "namespace", name)
    yield name
    run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


ROUTE = Kind("gateway.example.com", "v1", "Route", "routes")
"""A kind that no cluster of these tests serves."""


def settings_for(namespace: str) -> Settings:
    return Settings(
        trainer_image="none",
        server_image="none",
        watch_namespaces=(namespace,),
        pod_namespace=namespace,
        http_port=free_port(),
    )


@pytest.fixture
async def context(namespace: str) -> AsyncIterator[Context]:
    async with open_context(settings_for(namespace)) as opened:
        yield opened


@pytest.fixture
async def transport(namespace: str) -> AsyncIterator[Transport]:
    async with open_transport(connect=connect, metrics=Metrics()) as opened:
        yield opened


@pytest.fixture
async def leading(context: Context) -> Context:
    assert await context.elector.acquire(asyncio.Event())
    return context


def config_map(namespace: str, name: str, *, ours: bool = True, **data: str) -> Object:
    labels = {MANAGED_BY_LABEL: MANAGED_BY, LABEL_NAME: "nobody"} if ours else {}
    metadata = {"namespace": namespace, "name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def model_service(namespace: str, name: str) -> Object:
    spec = {"suspend": True, "data": {"configMap": {"name": "absent"}, "target": "y"}, "model": {"mlp": {}}}
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": MODEL_SERVICE.api_version, "kind": "ModelService", "metadata": metadata, "spec": spec}


class Recorder:
    """Reconciles nothing and remembers what it was asked to."""

    def __init__(self) -> None:
        self.keys: list[Key] = []

    async def reconcile(self, key: Key) -> float | None:
        self.keys.append(key)
        return None


async def test_kopf_fills_the_cache_and_writes_nothing(context: Context, namespace: str) -> None:
    run("create", "-f", "-", document=config_map(namespace, "before", text="x"))
    run("create", "-f", "-", document=config_map(namespace, "foreign", ours=False))
    run("create", "-f", "-", document=model_service(namespace, "a"))
    versions = metadata_of(namespace, "configmaps")
    recorder = Recorder()
    task = asyncio.create_task(operate(context, recorder))
    try:
        await eventually(context.lifecycle.synced.is_set, seconds=60)
        before = context.cache.get(Ref(CONFIG_MAP, namespace, "before"))
        assert before is not None
        assert "managedFields" not in before["metadata"]
        assert (before["apiVersion"], before["kind"]) == ("v1", "ConfigMap")
        assert context.cache.get(Ref(CONFIG_MAP, namespace, "foreign")) is None
        await eventually(lambda: Key(namespace, "a") in recorder.keys)

        recorder.keys.clear()
        run("create", "-f", "-", document=config_map(namespace, "later"))
        await eventually(lambda: context.cache.get(Ref(CONFIG_MAP, namespace, "later")) is not None)
        await eventually(lambda: Key(namespace, "nobody") in recorder.keys)

        recorder.keys.clear()
        run("delete", "configmap", "-n", namespace, "later")
        await eventually(lambda: context.cache.get(Ref(CONFIG_MAP, namespace, "later")) is None)
        await eventually(lambda: Key(namespace, "nobody") in recorder.keys)

        run("label", "configmap", "-n", namespace, "before", f"{MANAGED_BY_LABEL}-")
        await eventually(lambda: context.cache.get(Ref(CONFIG_MAP, namespace, "before")) is None)
        run("label", "configmap", "-n", namespace, "before", f"{MANAGED_BY_LABEL}={MANAGED_BY}")
        await eventually(lambda: context.cache.get(Ref(CONFIG_MAP, namespace, "before")) is not None)
    finally:
        context.lifecycle.stop.set()
        await task
    assert metadata_of(namespace, "configmaps")["foreign"] == versions["foreign"]
    service = json.loads(run("get", "modelservice", "-n", namespace, "a", "-o", "json"))
    assert "finalizers" not in service["metadata"]
    assert "annotations" not in service["metadata"]
    assert run("get", "events", "-n", namespace, "--field-selector=source=kopf", "-o", "name") == ""
    lease = json.loads(run("get", "lease", "-n", namespace, "modelservice-operator", "-o", "json"))
    assert lease["spec"]["holderIdentity"] == "", "a graceful stop releases the lease"


async def test_a_kind_that_is_not_served_is_named_by_the_probe(namespace: str) -> None:
    watches = (*WATCHES, Watch(kind=ROUTE, request=own_key))
    async with open_context(settings_for(namespace), watches=watches) as context:
        task = asyncio.create_task(operate(context, Recorder(), watches=watches))
        url = f"http://127.0.0.1:{context.settings.http_port}/readyz"
        try:
            async with asyncio.timeout(60), aiohttp.ClientSession() as session:
                while "not serve routes.gateway.example.com/v1" not in await body_of(session, url):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert not context.lifecycle.synced.is_set()
        finally:
            context.lifecycle.stop.set()
            await task


async def body_of(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(url) as response:
            return await response.text()
    except aiohttp.ClientConnectionError:
        return ""


async def test_listing_what_is_not_served_says_so(context: Context) -> None:
    with pytest.raises(NotFound, match=r"routes\.gateway\.example\.com/v1 is not served"):
        await context.kube.list_metadata(ROUTE)


def metadata_of(namespace: str, plural: str) -> dict[str, str]:
    items = json.loads(run("get", plural, "-n", namespace, "-o", "json"))["items"]
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}


async def test_an_equal_apply_changes_nothing(leading: Context, namespace: str) -> None:
    wanted = config_map(namespace, "a", text="x")
    first = await leading.kube.apply(wanted, uid=None)
    second = await leading.kube.apply(wanted, uid=first["metadata"]["uid"])
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert leading.cache.get(Ref(CONFIG_MAP, namespace, "a")) is not None


async def test_what_must_be_new_is_made_once(leading: Context, namespace: str) -> None:
    made = await leading.kube.apply(config_map(namespace, "a", text="x"), uid=None)
    with pytest.raises(Conflict):
        await leading.kube.apply(config_map(namespace, "a", text="y"), uid=None)
    found = await leading.kube.get(Ref(CONFIG_MAP, namespace, "a"))
    assert found is not None
    assert (found["data"], found["metadata"]["uid"]) == (made["data"], made["metadata"]["uid"])


async def test_a_second_field_manager_holds_what_the_first_leaves_out(leading: Context, namespace: str) -> None:
    def deployment(**fields: Any) -> Object:
        labels = {"app": "a"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
        spec = {"selector": {"matchLabels": labels}, "template": template, **fields}
        metadata = {"namespace": namespace, "name": "a"}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}

    held = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": namespace, "name": "a"}}
    uid = (await leading.kube.apply(deployment(replicas=5, paused=True), uid=None))["metadata"]["uid"]
    await leading.kube.apply({**held, "spec": {"replicas": 5}}, uid=uid, manager="holder")
    kept = await leading.kube.apply(deployment(paused=True), uid=uid)
    assert kept["spec"]["replicas"] == 5
    await leading.kube.apply(held, uid=uid, manager="holder")
    found = await leading.kube.get(Ref(DEPLOYMENT, namespace, "a"))
    assert found is not None
    assert found["spec"]["replicas"] == 1, "given back by all managers it falls to its default"


async def test_refusals_are_told_apart(leading: Context, namespace: str) -> None:
    ref = Ref(CONFIG_MAP, namespace, "a")
    service = model_service(namespace, "a")
    no_source = {**service, "spec": {**service["spec"], "data": {"target": "y"}}}
    with pytest.raises(Invalid, match="exactly one of"):
        await leading.kube.apply(no_source, uid=None)
    with pytest.raises(Invalid, match="Invalid value"):
        await leading.kube.apply({**config_map(namespace, "a"), "data": {"not a key": "x"}}, uid=None)
    with pytest.raises(Conflict, match="not found"):
        await leading.kube.apply(config_map("wiring-absent", "a"), uid=None)
    absent = model_service(namespace, "absent")
    absent["metadata"]["resourceVersion"] = "7"
    with pytest.raises(Conflict, match="not found"):
        await leading.kube.apply_status({**absent, "status": {}})
    stored = await leading.kube.apply(config_map(namespace, "a"), uid=None)
    with pytest.raises(Conflict, match="precondition"):
        await leading.kube.delete(ref, uid="another")
    await leading.kube.delete(ref, uid=stored["metadata"]["uid"])
    await leading.kube.delete(ref, uid=stored["metadata"]["uid"])
    assert await leading.kube.get(ref) is None


async def test_without_the_lease_nothing_is_written(context: Context, namespace: str) -> None:
    with pytest.raises(Transient, match="not the leader"):
        await context.kube.apply(config_map(namespace, "a"), uid=None)
    assert await context.kube.get(Ref(CONFIG_MAP, namespace, "a")) is None


async def test_metadata_reads_carry_no_data(leading: Context, namespace: str) -> None:
    stored = await leading.kube.apply(config_map(namespace, "a", text="x" * 100_000), uid=None)
    await leading.kube.apply(config_map(namespace, "b"), uid=None)
    found = await leading.kube.get_metadata(Ref(CONFIG_MAP, namespace, "a"))
    assert found is not None
    assert "data" not in found
    assert found["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
    assert await leading.kube.get_metadata(Ref(SERVICE, namespace, "absent")) is None
    listed = await leading.kube.list_metadata(CONFIG_MAP, label_selector=OPERATOR_SELECTOR)
    assert sorted(item["metadata"]["name"] for item in listed) == ["a", "b"]
    assert all("data" not in item for item in listed)


async def test_events_are_recorded_once_and_found_by_uid(leading: Context, namespace: str) -> None:
    stored = await leading.kube.apply(model_service(namespace, "a"), uid=None)
    for _ in range(3):
        await leading.kube.record_event(stored, reason="Wiring", message="tested", warning=True)
    events = await leading.kube.last_events(namespace, stored["metadata"]["uid"])
    ours = [event for event in events if event["reason"] == "Wiring"]
    assert [(event["message"], event["type"], event["count"]) for event in ours] == [("tested", "Warning", 1)]
    assert "tested" in run("describe", "modelservice", "-n", namespace, "a")


async def test_of_many_candidates_exactly_one_leads(transport: Transport, namespace: str) -> None:
    store = LeaseClient(transport=transport)

    def candidate(number: int) -> Elector:
        ref = Ref(LEASE, namespace, "race")
        return Elector(store=store, ref=ref, identity=f"c{number}", clock=SystemClock(), durations=Durations(retry=0.1))

    candidates = [candidate(number) for number in range(10)]
    assert sum(await asyncio.gather(*(one.attempt() for one in candidates))) == 1
    (leader,) = (one for one in candidates if one.may_write())
    assert await leader.attempt(), "it renews"
    assert sum(await asyncio.gather(*(one.attempt() for one in candidates))) == 1
    await leader.release()
    async with asyncio.timeout(60):
        others = [one for one in candidates if one is not leader]
        stop = asyncio.Event()
        waiting = [asyncio.create_task(one.acquire(stop)) for one in others]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        assert sum(await asyncio.gather(*waiting)) == 1


async def test_the_process_starts_gets_ready_and_ends_in_order(namespace: str, kubeconfig: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "MODELSERVICE_TRAINER_IMAGE": "none",
        "MODELSERVICE_SERVER_IMAGE": "none",
        "MODELSERVICE_WATCH_NAMESPACES": json.dumps([namespace]),
        "MODELSERVICE_HTTP_PORT": str(port),
        "POD_NAME": "wiring",
        "POD_NAMESPACE": namespace,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "operator"), str(ROOT / "runtime"))),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "modelservice_operator", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            while process.returncode is None and await http_status(session, "/readyz") != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            runs = process.returncode is None
            assert runs, (await process.communicate())[1].decode()
            await eventually(lambda: "modelservice-operator" in run("get", "lease", "-n", namespace, "-o", "name"))
            assert await http_status(session, "/healthz") == 200
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, log.decode()
    assert all(json.loads(line)["level"] == "info" for line in log.decode().splitlines())
    lease = json.loads(run("get", "lease", "-n", namespace, "modelservice-operator", "-o", "json"))
    assert lease["spec"]["holderIdentity"] == ""


async def http_status(session: aiohttp.ClientSession, path: str) -> int:
    try:
        async with session.get(path) as response:
            return response.status
    except aiohttp.ClientConnectionError:
        return 0
