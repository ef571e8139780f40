"""Warming up, and how a server that cannot start says so."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.unit.runtime.serving.fakes import FakeEngine, FakeModel, numeric_model

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import PassingError, StorageError
from modelservice.contract.serving import Batching
from modelservice.serving.costs import Costs
from modelservice.serving.errors import NotServedError
from modelservice.serving.main import serve, warm_up
from modelservice.serving.switching import Source


class SlowEngine(FakeEngine):
    """Takes a second with one thread, and ``factor`` of it with more; it is the clock, too."""

    factor = 1.0
    now = 0.0

    def run(self, features: Any) -> Any:
        self.now += 1.0 if self.threads[-1] == 1 else self.factor
        return super().run(features)

    def clock(self) -> float:
        return self.now


def warmed(model: FakeModel, *, threads: int, clock: Any = lambda: 0.0) -> Costs:
    with ThreadPoolExecutor(max_workers=1) as executor:
        return warm_up(model, batching=Batching(max_size=2), executor=executor, threads=threads, clock=clock)


def test_a_cheap_model_keeps_one_thread() -> None:
    model = numeric_model()
    assert warmed(model, threads=4).inline
    assert model.engine.threads == [1]


@pytest.mark.parametrize(("factor", "threads"), [(0.25, [1, 4]), (1.5, [1, 4, 1])])
def test_a_costly_model_gets_more_threads_where_they_help(factor: float, threads: list[int]) -> None:
    model = numeric_model()
    model.engine = engine = SlowEngine(model.encoder.shape, model.signature.labels)
    engine.factor = factor
    costs = warmed(model, threads=4, clock=engine.clock)
    assert engine.threads == threads
    assert not costs.inline
    assert costs.row_seconds == min(1.0, factor)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ArtifactError("model.onnx is not what the manifest lists"), ExitCode.ORDER_INVALID),
        (OSError("the disk is gone"), ExitCode.ORDER_INVALID),
        (StorageError("NoSuchBucket", "bucket b is not there"), ExitCode.ORDER_INVALID),
        (PassingError("StoreFailed", "the store does not answer"), ExitCode.TRY_AGAIN),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(error: Exception, code: ExitCode) -> None:
    def load() -> Any:
        raise error

    with pytest.raises(NotServedError) as raised:
        serve(Source("iris", load), host="127.0.0.1", ports={"http": 0}, batching=Batching())
    assert (str(raised.value), raised.value.exit_code) == (f"iris cannot be served: {error}", code)


def test_an_address_that_cannot_be_had_is_said() -> None:
    said = r"^cannot listen on 203\.0\.113\.1 port 0: .+; name an address of this machine by --host$"
    with pytest.raises(NotServedError, match=said) as raised:
        serve(Source("iris", numeric_model), host="203.0.113.1", ports={"http": 0}, batching=Batching())
    assert raised.value.exit_code == ExitCode.ORDER_INVALID


@pytest.mark.parametrize(
    ("transport", "flag"), [("http", "--port"), ("grpc", "--grpc-port"), ("status", "--status-port")]
)
def test_a_port_that_is_taken_is_said_with_the_option_that_names_another(transport: str, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotServedError) as raised:
            serve(Source("iris", numeric_model), host="127.0.0.1", ports={transport: port}, batching=Batching())
    said = f"cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert str(raised.value) == f"{said}; name another one by {flag}, or 0 for a free one"
