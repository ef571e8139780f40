import io
import json
import socket
import threading
from typing import Any

import httpx
import pytest
from rich.console import Console

from modelservice.contract.progress import Progress
from modelservice.training.loop import Epoch
from modelservice.training.progress import JsonLines, ProgressPage, announce, bar
from modelservice.training.stopwatch import Stopwatch


def epoch(number: int, of: int) -> Epoch:
    return Epoch(number=number, of=of, train_loss=1.0, validation_loss=0.5, validation_accuracy=0.75)


def test_the_time_left_is_estimated_from_the_pace_of_all_epochs_but_the_first() -> None:
    times = iter([100.0, 102.0, 104.0])
    told: list[Progress] = []
    observe = announce([told.append], lambda: next(times))
    for number in (1, 2, 3):
        observe(epoch(number, 10))
    assert [progress.eta_seconds for progress in told] == [None, 16.0, 14.0]
    assert (told[-1].epoch, told[-1].epochs, told[-1].loss, told[-1].accuracy) == (3, 10, 0.5, 0.75)
    assert told[-1].percent == 30


@pytest.mark.parametrize(("epochs", "lines"), [(60, 11), (5, 5), (100_000, 11)])
def test_the_log_has_a_line_for_each_tenth(epochs: Any, lines: Any) -> None:
    out = io.StringIO()
    log = JsonLines(out)
    for number in range(1, epochs + 1):
        log(Progress(epoch=number, epochs=epochs))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(events) == lines
    assert events[-1]["epoch"] == epochs
    assert {event["event"] for event in events} == {"progress"}


def test_the_page_shows_the_newest_progress_and_nothing_else() -> None:
    page = ProgressPage(host="127.0.0.1", port=0)
    try:
        address = f"http://127.0.0.1:{page.port}"
        assert Progress.model_validate_json(httpx.get(f"{address}/progress").content).epoch == 0
        page(Progress(epoch=7, epochs=10, loss=0.1))
        answer = httpx.get(f"{address}/progress")
        assert answer.headers["content-type"] == "application/json"
        assert Progress.model_validate_json(answer.content) == Progress(epoch=7, epochs=10, loss=0.1)
        assert httpx.get(f"{address}/etc/passwd").status_code == 404
        assert httpx.post(f"{address}/progress").status_code == 501
    finally:
        page.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/progress")


def test_a_client_that_drips_its_request_holds_up_neither_the_next_one_nor_the_end() -> None:
    page = ProgressPage(host="127.0.0.1", port=0)
    enough = threading.Event()
    with socket.create_connection(("127.0.0.1", page.port)) as slow:
        slow.sendall(b"GET /")

        def drip() -> None:
            while not enough.wait(0.2):
                slow.sendall(b"x")

        dripping = threading.Thread(target=drip)
        closing = threading.Thread(target=page.close, daemon=True)
        dripping.start()
        try:
            assert httpx.get(f"http://127.0.0.1:{page.port}/progress", timeout=10).status_code == 200
            closing.start()
            closing.join(10)
            assert not closing.is_alive()
        finally:
            enough.set()
            dripping.join()


def test_the_bar_counts_epochs() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with bar(console) as show:
        show(Progress(epoch=3, epochs=4, loss=0.25, accuracy=0.5))
    assert "3/4" in out.getvalue()
    assert "loss 0.2500  accuracy 0.500" in out.getvalue()


def test_steps_measured_twice_add_up() -> None:
    times = iter([0.0, 1.0, 5.0, 7.5])
    watch = Stopwatch(lambda: next(times))
    for _ in range(2):
        with watch.step("read"):
            pass
    assert watch.seconds == {"read": 3.5}
