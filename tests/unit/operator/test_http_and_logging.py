"""Probes, metrics and log lines: what people and machines look at."""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import structlog
from prometheus_client.exposition import generate_latest

from modelservice_operator.exposition import Exposition
from modelservice_operator.http import serve_http
from modelservice_operator.logging import configure
from modelservice_operator.metrics import ConditionCollector, Metrics


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_probes_say_what_is_wrong_and_metrics_are_shown() -> None:
    problems: dict[str, str | None] = {"alive": None, "ready": "the cache is being filled"}
    metrics = Metrics()
    metrics.writes.labels("patch", "Job").inc()
    page, port = Exposition(metrics.registry, list), free_port()
    async with (
        serve_http(port=port, alive=lambda: problems["alive"], ready=lambda: problems["ready"], metrics=page.render),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):

        async def get(path: str) -> tuple[int, str]:
            async with session.get(path) as response:
                return response.status, await response.text()

        assert await get("/healthz") == (200, "ok\n")
        assert await get("/readyz") == (503, "the cache is being filled\n")
        problems.update(alive="hanging: n/a", ready=None)
        assert await get("/healthz") == (503, "hanging: n/a\n")
        assert await get("/readyz") == (200, "ok\n")
        status, text = await get("/metrics")
        assert status == 200
        assert 'modelservice_operator_writes_total{kind="Job",verb="patch"} 1.0' in text
        assert "process_resident_memory_bytes" in text


async def test_metrics_that_take_long_keep_nobody_waiting() -> None:
    begun, goes_on, port = threading.Semaphore(0), threading.Event(), free_port()

    def render() -> bytes:
        begun.release()
        assert goes_on.wait(60)
        return b""

    async with (
        serve_http(port=port, alive=lambda: None, ready=lambda: None, metrics=render),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        collecting = [asyncio.create_task(session.get("/metrics")) for _ in range(3)]
        assert await asyncio.to_thread(begun.acquire, timeout=60)
        async with session.get("/healthz") as response:
            assert await response.text() == "ok\n"
        assert not begun.acquire(blocking=False), "one at a time"
        goes_on.set()
        for one in collecting:
            async with await one as response:
                assert response.status == 200


@pytest.fixture
def configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("kopf", "aiohttp.access", "asyncio")}
    configure("info")
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_all_logs_are_json_lines_of_one_form(configured: None, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers[0].setStream(capsys_stream := __import__("sys").stderr)  # type: ignore[attr-defined]
    with structlog.contextvars.bound_contextvars(key="n/a", reconcile="1234"):
        structlog.get_logger("modelservice_operator.machinery.worker").warning("to be repeated", retry_seconds=1.5)
    logging.getLogger("kopf.objects").warning("from kopf", extra={"k8s_ref": {"namespace": "n", "name": "b"}})
    structlog.get_logger("x").error("reconcile failed", exc_info=ValueError("a defect"))
    structlog.get_logger("x").debug("not shown")
    logging.getLogger("kopf").info("not shown either")
    capsys_stream.flush()
    own, kopf, defect = map(json.loads, capsys.readouterr().err.splitlines())
    assert (own["key"], own["reconcile"], own["retry_seconds"]) == ("n/a", "1234", 1.5)
    assert (own["level"], own["logger"], own["event"]) == (
        "warning",
        "modelservice_operator.machinery.worker",
        "to be repeated",
    )
    assert own["timestamp"].endswith("Z")
    assert (kopf["event"], kopf["key"]) == ("from kopf", "n/b")
    assert "ValueError: a defect" in json.dumps(defect)


def test_conditions_are_told_as_metrics() -> None:
    conditions = [{"type": "Ready", "status": "True", "reason": "Serving"}, {"type": "Stalled", "status": "False"}]
    service = {"metadata": {"namespace": "n", "name": "a"}, "status": {"conditions": conditions}}
    fresh = {"metadata": {"namespace": "n", "name": "b"}}
    unready = {"type": "Ready", "status": "False", "reason": "PromotionRefused"}
    refused = {"metadata": {"namespace": "n", "name": "c"}, "status": {"conditions": [unready]}}
    metrics = Metrics()
    metrics.registry.register(ConditionCollector(lambda: [service, fresh, refused]))

    def told(name: str, kind: str) -> float | None:
        return metrics.registry.get_sample_value(
            "modelservice_condition", {"namespace": "n", "name": name, "type": kind}
        )

    assert [told("a", kind) for kind in ConditionCollector.TYPES] == [1, 0, 0]
    assert [told("b", kind) for kind in ConditionCollector.TYPES] == [0, 0, 0]
    told_of = next(one for one in metrics.registry.collect() if one.name == "modelservice_not_ready")
    assert [(sample.labels, sample.value) for sample in told_of.samples] == [
        ({"namespace": "n", "name": "c", "reason": "PromotionRefused"}, 1)
    ]


class Looked(dict[str, Any]):
    """A ModelService that counts how often its status was looked at."""

    looks = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.looks += name == "status"
        return super().get(name, default)


def service(namespace: str, *, version: int, ready: str, image: str = "") -> Looked:
    metadata = {"namespace": namespace, "name": "a", "uid": f"of {namespace}", "resourceVersion": str(version)}
    conditions = [{"type": "Ready", "status": ready, "reason": "Because"}]
    return Looked(metadata=metadata, status={"conditions": conditions, "serverImage": image})


def test_the_page_is_that_of_the_library_and_a_version_is_rendered_once() -> None:
    metrics, services = Metrics(), dict[str, Looked]()
    page = Exposition(metrics.registry, services.values)

    def check() -> None:
        expected = generate_latest(ConditionCollector(lambda: [dict(one) for one in services.values()]))
        assert page.render().endswith(b"\n" + expected), "families of the process come first"

    check()
    services["m"] = service("m", version=1, ready="True", image='odd "image"\n# HELP \\')
    services["n"] = service("n", version=2, ready="False")
    check()
    seen = services["m"].looks, services["n"].looks
    check()
    assert (services["m"].looks, services["n"].looks) == seen, "as it was told"
    services["n"] = service("n", version=3, ready="True")
    check()
    assert b'modelservice_condition{name="a",namespace="n",type="Ready"} 1.0' in page.render()
    assert services["m"].looks == seen[0]
    del services["m"]
    check()
    assert b'"m"' not in page.render()


def test_a_service_that_cannot_be_told_of_is_an_error_each_time_and_costs_nobody_a_line() -> None:
    whole = service("m", version=1, ready="True")
    services = [whole, Looked(metadata={**service("n", version=2, ready="True")["metadata"]}, status=None)]
    page = Exposition(Metrics().registry, lambda: services)
    for _ in range(2):
        with pytest.raises(AttributeError):
            page.render()
    services[1] = service("n", version=3, ready="True")
    assert page.render().count(b'type="Ready"') == len(services)
