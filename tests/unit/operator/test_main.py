"""The process before it has a cluster to work on: it says what it waits for, and ends when it is told to."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes.config import kube_config

from modelservice_operator import main
from modelservice_operator.config import Settings
from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.context import Context
from modelservice_operator.kinds import JOB, MODEL_SERVICE, POD
from modelservice_operator.kube.transport import Transport
from modelservice_operator.machinery.manager import Manager
from modelservice_operator.machinery.queue import WorkQueue
from modelservice_operator.machinery.reflector import Reflectors
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Key, Object
from modelservice_operator.reconciler import Reconciler

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def start(**environment: str) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    paths = os.pathsep.join((str(ROOT / "operator"), str(ROOT / "runtime")))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modelservice_operator"),
        env={**inherited, "PYTHONPATH": paths, **environment},
        stderr=asyncio.subprocess.PIPE,
    )


def kubeconfig_of_nobody(path: Path) -> Path:
    """A kubeconfig whose apiserver does not answer."""
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    return path


async def readiness(port: int) -> str:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as response:
            return f"{response.status} {await response.text()}"
    except aiohttp.ClientConnectionError:
        return ""


async def test_a_setting_that_is_missing_is_named() -> None:
    process = await start(MODELSERVICE_SERVER_IMAGE="server:1")
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().startswith("MODELSERVICE_TRAINER_IMAGE: must be set; expected: Image that trains")


async def test_without_an_apiserver_it_waits_says_so_and_ends_when_told_to(tmp_path: Path) -> None:
    port = free_port()
    process = await start(
        KUBECONFIG=str(kubeconfig_of_nobody(tmp_path / "kubeconfig")),
        MODELSERVICE_TRAINER_IMAGE="trainer:1",
        MODELSERVICE_SERVER_IMAGE="server:1",
        MODELSERVICE_HTTP_PORT=str(port),
    )
    try:
        async with asyncio.timeout(60):
            while process.returncode is None and "does not answer" not in await readiness(port):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, log.decode()
    assert "the apiserver does not answer" in log.decode()


async def test_without_credentials_it_ends_and_says_what_to_do(tmp_path: Path) -> None:
    process = await start(
        KUBECONFIG=str(tmp_path / "absent"),
        MODELSERVICE_TRAINER_IMAGE="trainer:1",
        MODELSERVICE_SERVER_IMAGE="server:1",
        MODELSERVICE_HTTP_PORT=str(free_port()),
    )
    _, log = await process.communicate()
    assert process.returncode == 1
    assert "set KUBECONFIG" in log.decode()


def test_sigterm_is_handled_from_the_first_import_on() -> None:
    """As process 1 of a container has to; without a handler the code would be -15, ignored it would be 3."""
    code = """
import os, runpy, signal, sys, types
class Imported(types.ModuleType):
    def __getattr__(self, name):
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(3)
sys.modules["modelservice_operator.main"] = Imported("main")
runpy.run_module("modelservice_operator", run_name="__main__")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_whatever_depth_an_apiserver_takes_is_parsed_within_the_stack_of_a_process() -> None:
    """In a process of its own, with a quarter of the usual stack: the limit holds for the whole process."""
    code = """
import json, threading
from modelservice_operator.main import parse_deep_answers
threading.stack_size(2 << 20)
parse_deep_answers()
fields = '{"f:a":' * 10_000 + "{}" + "}" * 10_000
def parse():
    json.loads('{"items":[{"metadata":{"managedFields":[{"fieldsV1":' + fields + "}]}}]}")
    print("parsed")
thread = threading.Thread(target=parse)
thread.start()
thread.join()
"""
    paths = os.pathsep.join((str(ROOT / "operator"), str(ROOT / "runtime")))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "parsed\n", "")


async def test_what_is_looked_up_beside_the_passes_runs_while_the_manager_leads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without it no ModelService would ever hear of its data, and every pass would go on waiting for that."""
    made, managers = list[Reconciler](), list[Manager]()

    class Recorded(Reconciler):
        def __init__(self, **parts: Any) -> None:
            super().__init__(**parts)
            made.append(self)

    async def served(watches: Sequence[Watch], **_: Any) -> tuple[Watch, ...]:
        return tuple(watches)

    async def run_kopf(context: Context, watches: Sequence[Watch], manager: Manager) -> None:
        del context, watches
        managers.append(manager)

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig_of_nobody(tmp_path / "kubeconfig")))
    monkeypatch.setattr(main, "Reconciler", Recorded)
    monkeypatch.setattr(main, "wait_until_served", served)
    monkeypatch.setattr(main, "run_kopf", run_kopf)
    await main.run(Settings(trainer_image="trainer:1", server_image="server:1", http_port=free_port()))
    (reconciler,), (manager,) = made, managers
    assert len(reconciler.lookups) == 5
    *lookups, data = manager.beside
    assert tuple(lookups) == reconciler.lookups
    assert isinstance(data, Reflectors), "the watch of all ConfigMaps"


async def test_what_people_change_is_looked_at_in_no_time_and_what_controllers_change_once_a_burst_is_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig_of_nobody(tmp_path / "kubeconfig")))
    async with main.open_context(Settings(trainer_image="trainer:1", server_image="server:1")) as context:
        for version in range(1, 4):
            context.children.put(JOB, job_of_churn(version))
        assert len(context.queue) == 0
        assert await asyncio.wait_for(context.queue.get(), 60) == Key("default", "churn")
        context.queue.done(Key("default", "churn"))
        assert len(context.queue) == 0, "one pass for all of it"
        context.feed.put(
            MODEL_SERVICE, {**job_of_churn(4), "metadata": {**job_of_churn(4)["metadata"], "name": "iris"}}
        )
        assert len(context.queue) == 1


async def test_of_a_status_of_ours_only_heads_are_told_and_details_wait_for_what_sums_them_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig_of_nobody(tmp_path / "kubeconfig")))
    added: list[tuple[Key, float]] = []
    monkeypatch.setattr(WorkQueue, "add_after", lambda _, key, seconds: added.append((key, seconds)))
    async with main.open_context(Settings(trainer_image="trainer:1", server_image="server:1")) as context:
        service = {**job_of_churn(1), "apiVersion": MODEL_SERVICE.api_version, "kind": MODEL_SERVICE.kind}
        answers = [{**service, "status": {"key": "k"}}, job_of_churn(2)]

        async def request(*_: Any, **__: Any) -> Object:
            return answers.pop(0)

        monkeypatch.setattr(Transport, "request", request)
        monkeypatch.setattr(context.kube, "_may_write", lambda: True)
        metadata = {"name": "head", "namespace": "default", "uid": "h", "resourceVersion": "1"}
        asks = {"model": {"encoder": {"service": {"name": service["metadata"]["name"]}}}}
        context.cache.put(MODEL_SERVICE, {"metadata": metadata, "spec": asks})
        await context.kube.apply_status(service)
        await context.kube.apply(job_of_churn(2), uid=None)
        context.children.put(POD, job_of_churn(3))
    churn, head = Key("default", "churn"), Key("default", "head")
    assert added == [(head, main.SAID_SECONDS), (churn, main.BURST_SECONDS), (churn, main.DETAIL_SECONDS)]
    assert main.DETAIL_SECONDS > main.BURST_SECONDS


def job_of_churn(version: int) -> Object:
    """A Job of the ModelService ``churn``."""
    labels = {LABEL_NAME: "churn", "app.kubernetes.io/managed-by": "modelservice-operator"}
    metadata = {"name": "churn-train", "namespace": "default", "uid": "u", "resourceVersion": str(version)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {**metadata, "labels": labels}, "spec": {}}
