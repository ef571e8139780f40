"""A transport of one's own: one member, bound, started and served by ``serve`` without a change in it."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.unit.runtime.serving.fakes import PATIENT, numeric_model

from modelservice.contract.exit_codes import ExitCode
from modelservice.serving import main, switching
from modelservice.serving.budget import Budget
from modelservice.serving.calls import Call
from modelservice.serving.core import Models
from modelservice.serving.errors import NotServedError, RequestError
from modelservice.serving.main import serve
from modelservice.serving.switching import Source, Switch
from modelservice.serving.transports import TRANSPORTS


@pytest.fixture(autouse=True)
def collections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often all garbage was asked to be collected: a second in a process that holds all tests and torch."""
    asked: list[str] = []
    monkeypatch.setattr(switching, "collect_all", partial(asked.append, "all"))
    monkeypatch.setattr(main, "calm_garbage_collector", partial(asked.append, "calm"))
    return asked


class Carrier:
    """Asks the model one row by itself, once all transports have started, and makes the server leave."""

    name = "carrier"

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self._log = log

    def bind(self, host: str, port: int) -> "Carrier":
        if port == 1:
            raise PermissionError(13, "Permission denied")
        self._log.append((self.name, "bound", host, port))
        return self

    def where(self) -> str:
        return self.name

    async def start(self, models: Models) -> None:
        self._models = models
        self._log.append((self.name, "started"))

    async def prepare(self, models: Models) -> Callable[[], None]:
        return partial(setattr, self, "_models", models)

    async def serve(self) -> None:
        core = self._models.first
        rows = core.model.encoder.from_instances([[3, 3]])
        call: Call[int] = Call(rows, lambda error: RequestError(str(error)), lambda found: int(found.raw.argmax()))
        self._log.append(
            (self.name, "answered", await core.inference.answer(lambda _: call, b"", large=False, held=Budget().hold()))
        )
        core.common.lifecycle.leave()

    def close(self) -> None:
        self._log.append((self.name, "closed"))


def test_a_new_transport_is_one_member(collections: list[str]) -> None:
    log: list[Any] = []
    carriers = (Carrier("pigeon", log), Carrier("raven", log), Carrier("owl", log))
    ports = {"pigeon": 7, "owl": 0}
    code = serve(
        Source("iris", numeric_model),
        host="::",
        ports=ports,
        batching=PATIENT,
        transports=(*TRANSPORTS, *carriers),
    )
    assert code == ExitCode.DONE
    assert log == [
        ("pigeon", "bound", "::", 7),
        ("owl", "bound", "::", 0),
        ("pigeon", "started"),
        ("owl", "started"),
        ("pigeon", "answered", 2),
        ("owl", "answered", 2),
        ("owl", "closed"),
        ("pigeon", "closed"),
    ]
    assert collections == ["calm"], "once all have started"


def test_what_was_bound_is_released_when_another_cannot_be() -> None:
    log: list[Any] = []
    carriers = (Carrier("pigeon", log), Carrier("owl", log))
    with pytest.raises(
        NotServedError,
        match=r"^cannot listen on :: port 1: Permission denied; name one by --owl-port ",
    ):
        serve(
            Source("iris", numeric_model),
            host="::",
            ports={"pigeon": 7, "owl": 1},
            batching=PATIENT,
            transports=carriers,
        )
    assert log == [("pigeon", "bound", "::", 7), ("pigeon", "closed")]


def test_members_have_names_of_their_own() -> None:
    assert len({transport.name for transport in TRANSPORTS}) == len(TRANSPORTS)


def test_the_port_for_probes_is_one_of_them_and_leaves_with_the_others() -> None:
    log: list[Any] = []
    ports = {"http": 0, "status": 0, "pigeon": 7}

    class Leaving(Carrier):
        async def serve(self) -> None:
            signal.raise_signal(signal.SIGINT)

    code = serve(
        Source("iris", numeric_model),
        host="127.0.0.1",
        ports=ports,
        batching=PATIENT,
        transports=(*TRANSPORTS, Leaving("pigeon", log)),
    )
    assert code == ExitCode.DONE


def test_a_transport_answers_by_another_model_once_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Switch.keep_newest, "__kwdefaults__", {"seconds": 0, "again": 0})
    log: list[Any] = []
    other = numeric_model(("small", "large"))
    other.digest = "sha256:" + "cd" * 32

    class Waiting(Carrier):
        async def start(self, models: Models) -> None:
            self._turned = asyncio.Event()
            await super().start(models)

        async def prepare(self, models: Models) -> Callable[[], None]:
            turn = await super().prepare(models)

            def turn_and_tell() -> None:
                turn()
                self._turned.set()

            return turn_and_tell

        async def serve(self) -> None:
            await asyncio.wait_for(self._turned.wait(), 60)
            await super().serve()

    code = serve(
        Source("iris", lambda: other if log[1:] else numeric_model(), lambda: True),
        host="::",
        ports={"pigeon": 7},
        batching=PATIENT,
        transports=(Waiting("pigeon", log),),
    )
    assert code == ExitCode.DONE
    assert log[-2:] == [("pigeon", "answered", 1), ("pigeon", "closed")]
