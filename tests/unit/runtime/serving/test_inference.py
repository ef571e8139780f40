"""What is large is worked on off the event loop, and a little of it at a time."""

import asyncio
import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.unit.runtime.serving.fakes import CHEAP, FakeModel, numeric_model

from modelservice.contract.serving import Batching
from modelservice.serving.batcher import Batcher
from modelservice.serving.inference import LARGE_ANSWER, LARGE_AT_ONCE, LARGE_BODY, Inference
from modelservice.serving.main import compute_of

PREDICT = "/v1/models/iris:predict"


def inference_of(model: FakeModel) -> Inference:
    batcher = Batcher(
        compute=compute_of(model),
        costs=CHEAP,
        batching=Batching(),
        executor=ThreadPoolExecutor(max_workers=1),
        clock=lambda: 0.0,
        observe=lambda _rows, _seconds: None,
    )
    return Inference(model=model, name="iris", batcher=batcher)


async def test_only_so_many_large_bodies_are_parsed_at_once() -> None:
    """One more than allowed would meet at the barrier; those that are allowed wait there in vain."""
    inference = inference_of(numeric_model())
    parse, _ = inference.routes[PREDICT]
    barrier = threading.Barrier(LARGE_AT_ONCE + 1)
    met: list[int] = []

    def meet(body: bytes, header_length: bytes | None) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            met.append(barrier.wait(timeout=0.5))
        return parse(body, header_length)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"instances": [[1, 2]]}' + b" " * LARGE_BODY}

    answers = await asyncio.gather(*(inference.answer(meet, [], receive) for _ in range(LARGE_AT_ONCE + 1)))
    assert [answer and answer.status for answer in answers] == [200] * (LARGE_AT_ONCE + 1)
    assert met == []


async def test_a_large_answer_to_a_small_body_is_rendered_off_the_loop() -> None:
    inference = inference_of(numeric_model())
    parse, _ = inference.routes[PREDICT]
    threads: list[int] = []

    def watched(body: bytes, header_length: bytes | None) -> Any:
        call = parse(body, header_length)

        def render(probabilities: Any) -> Any:
            threads.append(threading.get_ident())
            return call.render(probabilities)

        return call._replace(render=render)

    for count in (1, LARGE_ANSWER // 3 + 1):
        body = json.dumps({"instances": [[1, 2]] * count}, separators=(",", ":")).encode()
        assert len(body) < LARGE_BODY

        async def receive(body: bytes = body) -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        answer = await inference.answer(watched, [], receive)
        assert answer is not None
        assert answer.status == 200
    assert [thread == threading.get_ident() for thread in threads] == [True, False]
