"""Tables that take long to read and trainings that are slow to say how far they are: whose change waits for them?"""

import asyncio
import base64
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from tests.bench.attacks.base import ATTACKER, VICTIM, Attack, serve_victim, victim
from tests.bench.kwok.api import Api
from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import (
    apply_service,
    build_object,
    collection,
    is_ready,
    make_namespace,
    prepare,
    service_name,
    services_path,
)
from tests.bench.kwok.process import BenchError
from tests.bench.kwok.stages import endless_stages
from tests.bench.kwok.subject import Subject, operator_on
from tests.bench.record import Figure, at_most, figure

from modelservice.contract.places import PROGRESS_PORT
from modelservice.contract.progress import Progress

TABLES, PAGES = 10, 20
TOUCH_SECONDS = 10.0
ANSWER_SECONDS = 0.9
CHANGES = 20
LIMIT_SECONDS = 0.5
READY_SECONDS = 60.0
_INFLATED = 250 << 20
_KEYS = ("table.csv", "more-1", "more-2")
"""Of which the spec names the first."""

_ADDRESSES = {service_name(number): f"127.19.0.{number + 1}" for number in range(PAGES)}


def _measure(plane: ControlPlane, folder: Path) -> list[Figure]:
    prepare(plane.api, volumes=2 * PAGES)
    make_namespace(plane.api, ATTACKER)
    with operator_on(plane, folder) as subject, _slow_pages() as asked:
        serve_victim(plane, subject.process)
        alone = _slowest(subject, attack=lambda: None)
        attack = _begin(plane.api)
        running = f"{collection('pods', ATTACKER)}?fieldSelector=status.phase%3DRunning"
        subject.process.wait_until(
            lambda: len(plane.api.get(running)["items"]) == PAGES and bool(asked),
            what=f"{PAGES} trainings that are asked how far they are",
            seconds=120,
            every=1,
        )
        attacked = _slowest(subject, attack=attack)
        pages = len(asked)
    what = "another tenant's change to its status"
    return [
        figure(f"{what}, slowest of {CHANGES}, nobody attacks", alone, "s"),
        at_most(
            f"{what}, slowest of {CHANGES}, beside {TABLES} tables of 250 MiB and {PAGES} slow trainings",
            attacked,
            "s",
            LIMIT_SECONDS,
        ),
        figure("slow answers of trainings meanwhile", pages, "answers"),
    ]


def _begin(api: Api) -> Callable[[], None]:
    """Make the attacker's ModelServices; gives what is to be called all the while, and touches the tables in time."""
    packed = base64.b64encode(gzip.compress(bytes(_INFLATED))).decode()
    for number in range(PAGES):
        name = service_name(number)
        apply_service(api, name, namespace=ATTACKER)
        if number < TABLES:
            table = build_object("v1", "ConfigMap", f"{name}-large", namespace=ATTACKER)
            table["binaryData"] = dict.fromkeys(_KEYS, packed)
            api.create(collection("configmaps", ATTACKER), table)
            source = {"name": f"{name}-large", "key": _KEYS[0]}
            api.merge(f"{services_path(ATTACKER)}/{name}", {"spec": {"data": {"configMap": source}}})
    touched = time.monotonic()

    def touch() -> None:
        nonlocal touched
        if time.monotonic() - touched < TOUCH_SECONDS:
            return
        touched = time.monotonic()
        for number in range(TABLES):
            path = f"{collection('configmaps', ATTACKER)}/{service_name(number)}-large"
            api.merge(path, {"metadata": {"annotations": {"example.com/touched": str(touched)}}})

    return touch


def _slowest(subject: Subject, *, attack: Callable[[], None]) -> float:
    """The longest of some changes; the attack goes on while the other tenant waits to be Ready again."""
    longest = 0.0
    for number in range(CHANGES):
        # The same number six times in a minute would be put off, as a fight over the Deployment.
        longest = max(longest, _seconds_to_status(subject, {"replicas": 2 + number % 6}))

        def settled() -> bool:
            attack()
            return is_ready(victim(subject.plane))

        subject.process.wait_until(settled, what=f"{VICTIM} is Ready again", seconds=READY_SECONDS, every=0.2)
        rest = time.monotonic() + TOUCH_SECONDS / 4
        while time.monotonic() < rest:  # changes come at all phases of the attack
            attack()
            time.sleep(0.2)
    return longest


def _seconds_to_status(subject: Subject, serving: dict[str, int]) -> float:
    """From a stored change to the status that knows it, as the apiserver's audit log has them."""
    audit, known = subject.plane.audit, len(subject.requests())
    subject.plane.api.merge(f"{services_path()}/{VICTIM}", {"spec": {"serving": serving}})
    changed = audit.requests("bench")[-1]

    def answered() -> float | None:
        for request in subject.requests()[known:]:
            if (request.resource, request.name) == (
                "modelservices/status",
                VICTIM,
            ) and request.received > changed.answered:
                return (request.answered - changed.answered) / timedelta(seconds=1)
        return None

    subject.process.wait_until(lambda: answered() is not None, what="a status", seconds=READY_SECONDS, every=0.1)
    after = victim(subject.plane)
    if after["status"].get("observedGeneration") != after["metadata"]["generation"]:
        raise BenchError(f"the first status of {VICTIM} after its change does not know the change")
    return answered() or 0.0


@contextmanager
def _slow_pages() -> Iterator[list[float]]:
    """Pages of progress at the trainings' addresses, in a thread; the list has the time of each answer."""
    loop, answered = asyncio.new_event_loop(), list[float]()
    body = Progress(done=1, total=100).model_dump_json(exclude_none=True)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(ANSWER_SECONDS)
            writer.write(f"{head}{body}".encode())
            await writer.drain()
            answered.append(time.monotonic())
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # who asked has given up, or the attack is over: Python 3.11 prints a traceback of what was cancelled
        finally:
            writer.close()

    thread = threading.Thread(target=loop.run_forever, name="slow pages", daemon=True)
    thread.start()
    serving = asyncio.start_server(answer, list(_ADDRESSES.values()), PROGRESS_PORT)
    server = asyncio.run_coroutine_threadsafe(serving, loop).result()
    try:
        yield answered
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_cancelled(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancelled() -> None:
    """End the answers that are still on their way."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


SLOW_LOOKUPS = Attack(name="slow-lookups", stages=endless_stages(ATTACKER, _ADDRESSES), measure=_measure)
