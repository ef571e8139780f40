"""A head that is served: it asks its encoder for all that came together, and says whose fault it is when it cannot."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.families.berts import TEXTS
from tests.unit.runtime.served import Counting, bert, served
from tests.unit.runtime.serving.fakes import client_of, front_of
from tests.unit.runtime.stages.test_shared_rows import HEAD, gone, resource, table

import modelservice
from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.serving import Batching
from modelservice.inference import encoder_wire
from modelservice.inference.predictor import Predictor
from modelservice.modalities.base import Features
from modelservice.serving.alone import answer_alone
from modelservice.serving.errors import EncoderError
from modelservice.serving.main import warm_up
from modelservice.tasks.base import Array

BATCHING = Batching(max_size=16)
PATH = "/v1/models/moods:predict"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Predictor]:
    """The folder of a head, and its encoder."""
    folder = tmp_path_factory.mktemp("heads")
    encoder = bert(folder / "bert")
    with served(encoder) as address:
        modelservice.train(resource(HEAD), table(folder / "data"), folder / "head", encoder=address)
    return folder / "head", encoder


def heads_front(folder: Path, address: str, **more: Any) -> Any:
    head = Predictor.load(folder, encoder=address)
    with ThreadPoolExecutor(1) as executor:
        costs = warm_up(head, batching=BATCHING, executor=executor, threads=1)
    return front_of(head, name="moods", costs=costs, batching=BATCHING, **more)


async def test_requests_that_come_together_are_asked_together(
    trained: tuple[Path, Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, encoder = trained
    counting = Counting(encoder.engine)
    monkeypatch.setattr(encoder, "engine", counting)
    with served(encoder) as address:
        async with client_of(heads_front(folder, address)) as client:
            counting.batches.clear()  # its examples
            answers = await asyncio.gather(*(client.post(PATH, json={"instances": [text]}) for text in TEXTS))
        batches = [*counting.batches]
    labels = [answer.json()["predictions"][0]["label"] for answer in answers]
    with served(encoder) as address:
        assert labels == Predictor.load(folder, encoder=address).predict(TEXTS)
    assert sum(batches) == len(TEXTS)
    assert len(batches) <= 3


async def test_an_encoder_that_is_away_is_said_at_once_to_all(trained: tuple[Path, Predictor]) -> None:
    """It starts without its encoder, and each request that waits gets the sentence; afterwards it answers again."""
    folder, encoder = trained
    address = gone()
    async with client_of(heads_front(folder, address)) as client:
        answers = await asyncio.gather(*(client.post(PATH, json={"instances": [text]}) for text in TEXTS))
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        sentences = {answer.json()["error"] for answer in answers}
        assert all(sentence.startswith(f"the encoder minilm at {address} ") for sentence in sentences)
        ready = await client.get("/v2/health/ready")
        assert ready.status_code == 200
        with served(encoder, port=int(address.rpartition(":")[2])):
            await asyncio.sleep(encoder_wire.REST_SECONDS)
            answer = await client.post(PATH, json={"instances": ["the soup was great"]})
            assert answer.json()["predictions"][0]["label"] == "good"


async def test_another_encoder_is_no_answer(trained: tuple[Path, Predictor], tmp_path: Path) -> None:
    folder, encoder = trained
    other = bert(tmp_path / "other", intermediate_size=20)
    with served(other) as address:
        async with client_of(heads_front(folder, address)) as client:
            answer = await client.post(PATH, json={"instances": ["the soup was great"]})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert encoder.digest in answer.json()["error"]
    assert other.digest in answer.json()["error"]


class Slow:
    """An engine that waits for a word."""

    name = "ONNX"

    def __init__(self, engine: Any) -> None:
        self.engine, self.may = engine, threading.Event()

    def run(self, features: Features) -> Array:
        self.may.wait(10)
        answer: Array = self.engine.run(features)
        return answer

    def use_threads(self, threads: int) -> None: ...


async def test_a_request_is_not_computed_after_its_time(trained: tuple[Path, Predictor], tmp_path: Path) -> None:
    """The encoder is told how long the answer is waited for, and the head's thread is free again by then."""
    folder, _ = trained
    encoder = bert(tmp_path / "bert")
    slow = Slow(encoder.engine)
    slow.may.set()
    encoder.engine = slow
    with served(encoder) as address:
        client = client_of(heads_front(folder, address))
        slow.may.clear()
        began = time.monotonic()
        answer = await client.post(PATH, json={"instances": ["the soup was great"], "timeout": 50_000})
        assert answer.status_code == 504
        slow.may.set()
        answer = await client.post(PATH, json={"instances": ["the soup was great"]})
        assert answer.json()["predictions"][0]["label"] == "good"
        assert time.monotonic() - began < encoder_wire.ANSWER_SECONDS
        await client.aclose()


async def test_nothing_is_asked_on_the_event_loop(trained: tuple[Path, Predictor]) -> None:
    folder, encoder = trained
    with served(encoder) as address:
        head = Predictor.load(folder, encoder=address)
        with ThreadPoolExecutor(1) as executor:
            costs = warm_up(head, batching=BATCHING, executor=executor, threads=1)
        assert (costs.inline, costs.inline_rows, costs.encodes_on_loop) == (False, 0, False)
        assert 1 < costs.batch_size <= BATCHING.max_size
        # What columns are unlike those of training is asked of columns, and a text is none that could be.
        async with client_of(front_of(head, name="moods", costs=costs)) as client:
            body = {"instances": ["the soup was great"], "unseen": True, "far": True}
            answer = await client.post(PATH, json=body)
    assert answer.json()["unseen"] == answer.json()["far"] == [[]]


def test_the_command_asks_whom_it_is_told(
    trained: tuple[Path, Predictor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, encoder = trained
    rows = tmp_path / "rows.json"
    rows.write_text('["the soup was great"]')
    with served(encoder) as address:
        assert main(["predict", str(folder), str(rows), "--encoder", address]) == ExitCode.DONE
    assert '"label":"good"' in capsys.readouterr().out
    assert main(["predict", str(folder), str(rows)]) == ExitCode.ORDER_INVALID
    sentence = f"this head asks the encoder minilm ({encoder.digest}) for the numbers of rows: say where that answers"
    assert sentence in capsys.readouterr().err
    assert main(["serve", "--model", str(folder), "--name", "moods"]) == ExitCode.ORDER_INVALID
    assert sentence in capsys.readouterr().err
    assert main(["inspect", str(folder)]) == ExitCode.DONE
    with pytest.raises(EncoderError, match="this head asks the encoder minilm"):
        answer_alone(Predictor.load(folder), b'{"instances": ["a"]}', explains=False)
