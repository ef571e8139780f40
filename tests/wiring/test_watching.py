"""Watches against an apiserver of this test's own, which is stopped, started again and given an older backup."""

import asyncio
import gc
import json
import os
import shutil
import ssl
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from kubernetes.config import kube_config
from tests.bench.kwok.controlplane import apiserver_command, running_etcd, write_kubeconfig
from tests.bench.kwok.process import free_port, running
from tests.support.fake_clock import eventually

from modelservice_operator.config import Settings
from modelservice_operator.constants import LABEL_NAME, MANAGED_BY, MANAGED_BY_LABEL
from modelservice_operator.context import Context
from modelservice_operator.kinds import CONFIG_MAP, MODEL_SERVICE, ref_of
from modelservice_operator.machinery.reflector import HistoryRewoundError, Reflectors
from modelservice_operator.main import build_reflectors, build_verifier, open_context
from modelservice_operator.objects import Object, Ref
from modelservice_operator.watches import WATCHES

pytestmark = pytest.mark.cluster

NAMESPACE = "default"
TOKENS = {"test": "token"}
LARGE = 4
"""Objects of which each is too much for one answer."""


class Cluster:
    """etcd and an apiserver, alone, with their state in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._running = ExitStack()

    def ask(self, method: str, path: str, body: Object | None = None) -> Object:
        """One request; a PATCH is a merge patch."""
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {TOKENS['test']}", "Content-Type": content},
        )
        trusted = ssl.create_default_context(cafile=str(self.folder / "pki" / "apiserver.crt"))
        with urllib.request.urlopen(request, context=trusted, timeout=30) as answer:  # noqa: S310 - https, to the loopback
            text: str = answer.read().decode()
        return json.loads(text) if text.startswith("{") else {}

    def is_ready(self) -> bool:
        """Whether the apiserver serves."""
        with suppress(OSError):
            self.ask("GET", "/readyz")
            return True
        return False

    def start(self) -> None:
        """Start both, with what the folder holds."""
        url = self._running.enter_context(running_etcd(self.folder))
        command = apiserver_command(self.folder, self.port, url, TOKENS)
        apiserver = self._running.enter_context(running("kube-apiserver", command, folder=self.folder))
        certificate = self.folder / "pki" / "apiserver.crt"
        apiserver.wait_until(certificate.exists, what="the apiserver's certificate", seconds=60)
        apiserver.wait_until(self.is_ready, what="the apiserver", seconds=60)

    def stop(self) -> None:
        """Stop both."""
        self._running.close()

    def kubeconfig(self) -> Path:
        return write_kubeconfig(self.folder, "test", self.port, TOKENS["test"], self.folder / "pki" / "apiserver.crt")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    one = Cluster(tmp_path_factory.mktemp("watching"))
    try:
        one.start()
        kubeconfig = str(one.kubeconfig())
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(os.environ, "KUBECONFIG", kubeconfig)
            patch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig)  # read at its import
            yield one
    finally:
        one.stop()


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    """It is without ConfigMaps."""
    yield started
    started.ask("DELETE", CONFIG_MAP.path(NAMESPACE))


@asynccontextmanager
async def closed_connections(port: int) -> AsyncIterator[None]:
    """End the connections to a port that the block left open.

    Reflectors that are stopped while they connect leave some: Python 3.11 goes on with the handshake of a connection
    whose task was cancelled before its first byte, and nobody has it then. It would be a warning in another test.
    """
    yield
    for one in gc.get_objects():
        # isinstance would ask it for its class, and some libraries warn who asks that of what they hold.
        if issubclass(type(one), asyncio.Transport) and not one.is_closing():
            peer = one.get_extra_info("peername")
            if isinstance(peer, tuple) and peer[1] == port:
                one.abort()
    await asyncio.sleep(0)


@asynccontextmanager
async def reflecting(cluster: Cluster) -> AsyncIterator[tuple[Context, asyncio.Task[None]]]:
    """The reflectors of an operator, when they have listed once, and their task."""
    settings = Settings(trainer_image="none", server_image="none", http_port=free_port(), pod_namespace=NAMESPACE)
    stop = asyncio.Event()
    async with closed_connections(cluster.port), open_context(settings) as context:
        verifier = build_verifier(context)
        owned = build_reflectors(context, [watch for watch in WATCHES if watch.owned], sink=verifier)
        reflectors = Reflectors(owned, beside=[verifier])
        task = asyncio.create_task(reflectors.run(stop))
        try:
            async with asyncio.timeout(60):
                await reflectors.listed(stop)
            yield context, task
        finally:
            stop.set()
            await asyncio.wait({task})


def config_map(name: str, **data: str) -> Object:
    labels = {MANAGED_BY_LABEL: MANAGED_BY, LABEL_NAME: "a"}
    metadata = {"namespace": NAMESPACE, "name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def make(cluster: Cluster, obj: Object) -> Object:
    return cluster.ask("POST", ref_of(obj).kind.path(NAMESPACE), obj)


async def test_watches_outlive_the_apiserver_and_end_with_the_history_that_they_know(cluster: Cluster) -> None:
    make(cluster, config_map("first"))
    async with reflecting(cluster) as (context, task):
        assert context.cache.get(Ref(CONFIG_MAP, NAMESPACE, "first")) is not None

        await asyncio.to_thread(cluster.stop)
        shutil.copytree(cluster.folder / "etcd", cluster.folder / "backup")
        await asyncio.to_thread(cluster.start)
        make(cluster, config_map("second"))
        await eventually(lambda: context.cache.get(Ref(CONFIG_MAP, NAMESPACE, "second")) is not None, seconds=90)
        assert not task.done()

        for number in range(50):
            make(cluster, config_map(f"later-{number}"))
        await eventually(lambda: context.cache.get(Ref(CONFIG_MAP, NAMESPACE, "later-49")) is not None, seconds=90)

        await asyncio.to_thread(cluster.stop)
        shutil.rmtree(cluster.folder / "etcd")
        (cluster.folder / "backup").rename(cluster.folder / "etcd")
        await asyncio.to_thread(cluster.start)
        async with asyncio.timeout(120):
            with pytest.raises(HistoryRewoundError, match="was a backup of etcd restored"):
                await asyncio.shield(task)


async def test_what_lost_its_label_is_known_while_its_service_is(cluster: Cluster) -> None:
    metadata = {"namespace": NAMESPACE, "name": "a", "uid": "m", "resourceVersion": "1"}
    owner = {"apiVersion": MODEL_SERVICE.api_version, "kind": "ModelService", "name": "a", "uid": "m"}
    child = config_map("a-1")
    child["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    make(cluster, child)
    ref = Ref(CONFIG_MAP, NAMESPACE, "a-1")
    async with reflecting(cluster) as (context, _):
        context.cache.put(MODEL_SERVICE, {"metadata": metadata})
        await asyncio.to_thread(cluster.ask, "PATCH", ref.path, {"metadata": {"labels": None}})

        def labels() -> object:
            known = context.cache.get(ref)
            return None if known is None else known["metadata"].get("labels", {})

        await eventually(lambda: labels() == {})
        assert [obj["metadata"]["name"] for obj in context.cache.children(NAMESPACE, "a")[CONFIG_MAP]] == ["a-1"]


async def test_large_objects_are_listed_and_watched_in_bounded_answers(cluster: Cluster) -> None:
    """Each has 900 kB of a character that JSON spells with six bytes: more than is read of one object."""
    for number in range(LARGE):
        make(cluster, config_map(f"large-{number}", a="\x01" * 450_000))
        cluster.ask("PATCH", config_map_path(f"large-{number}"), {"data": {"b": "\x01" * 450_000}})
    make(cluster, config_map("small"))
    async with reflecting(cluster) as (context, _):
        names = {key.name for key in context.cache.keys(CONFIG_MAP)}
        assert names == {*(f"large-{number}" for number in range(LARGE)), "small"}
        await asyncio.to_thread(cluster.ask, "PATCH", config_map_path("large-0"), {"data": {"c": "x"}})
        make(cluster, config_map("later"))
        await eventually(lambda: context.cache.get(Ref(CONFIG_MAP, NAMESPACE, "later")) is not None)


def config_map_path(name: str) -> str:
    return Ref(CONFIG_MAP, NAMESPACE, name).path
