import io
import json
import socket
import threading
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from modelservice.contract.evaluation import Metric
from modelservice.contract.progress import Progress
from modelservice.training.progress import JsonLines, ProgressPage, announce, bar, bar_for_people, parts_of

ACCURACY = Metric(name="accuracy", value=0.75)


def test_the_time_left_is_estimated_from_the_pace_of_all_epochs_but_the_first() -> None:
    times = iter([100.0, 102.0, 104.0])
    told: list[Progress] = []
    observe = announce([told.append], lambda: next(times))
    for number in (1, 2, 3):
        observe(Progress(done=number, total=10, loss=0.5, metric=ACCURACY))
    assert [progress.eta_seconds for progress in told] == [None, 16.0, 14.0]
    assert told[-1] == Progress(done=3, total=10, loss=0.5, metric=ACCURACY, eta_seconds=14.0)
    assert told[-1].percent == 30


def test_another_stage_has_a_pace_of_its_own() -> None:
    times = iter([0.0, 50.0, 100.0, 103.0])
    told: list[Progress] = []
    observe = announce([told.append, told.append], lambda: next(times))
    for stage in ("train", "compress"):
        for done in (0, 1):
            observe(Progress(stage=stage, done=done, total=3))
    assert [progress.eta_seconds for progress in told[::2]] == [None, 100.0, None, 6.0]


@pytest.mark.parametrize(("epochs", "lines"), [(60, 11), (5, 5), (100_000, 11)])
def test_the_log_has_a_line_for_each_tenth(epochs: Any, lines: Any) -> None:
    out = io.StringIO()
    log = JsonLines(out)
    for number in range(1, epochs + 1):
        log(Progress(done=number, total=epochs))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(events) == lines
    assert events[-1]["done"] == epochs
    assert {event["event"] for event in events} == {"progress"}


def scraped(url: str) -> dict[tuple[str, ...], float]:
    """Samples by name and values of labels, in the order of the names of these, as Prometheus reads them."""
    families = text_string_to_metric_families(httpx.get(url).text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_the_page_shows_the_newest_progress_and_nothing_else() -> None:
    page = ProgressPage(host="127.0.0.1", port=0)
    try:
        address = f"http://127.0.0.1:{page.port}"
        assert Progress.model_validate_json(httpx.get(f"{address}/progress").content).done == 0
        page(Progress(done=7, total=10, loss=0.1, metric=ACCURACY))
        answer = httpx.get(f"{address}/progress")
        assert answer.headers["content-type"] == "application/json"
        assert Progress.model_validate_json(answer.content) == Progress(done=7, total=10, loss=0.1, metric=ACCURACY)
        samples = scraped(f"{address}/metrics")
        assert {key: samples[key] for key in samples if key[0].startswith("modelservice_")} == {
            ("modelservice_stage_done", "train"): 7,
            ("modelservice_stage_total", "train"): 10,
            ("modelservice_stage_loss", "train"): 0.1,
            ("modelservice_stage_metric", "accuracy", "train"): 0.75,
        }
        assert samples[("process_cpu_seconds_total",)] > 0
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


def test_a_line_of_the_log_leaves_out_what_is_not_known() -> None:
    out = io.StringIO()
    JsonLines(out)(Progress(done=1, total=2, metric=ACCURACY))
    assert json.loads(out.getvalue()) == {
        "event": "progress",
        "stage": "train",
        "done": 1,
        "total": 2,
        "metric": {"name": "accuracy", "value": 0.75},
    }


def test_the_bar_counts_steps() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with bar(console) as show:
        show(Progress(done=3, total=4, loss=0.25, metric=ACCURACY))
    assert "3/4" in out.getvalue()
    assert "loss 0.2500  accuracy 0.750" in out.getvalue()


def test_the_bar_names_the_stage_and_needs_no_figures() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with bar(console) as show:
        show(Progress(stage="compress", done=1, total=2))
    assert "compress" in out.getvalue()
    assert "1/2" in out.getvalue()
    assert "loss" not in out.getvalue()


class Terminal(io.StringIO):
    """Somebody looks."""

    def isatty(self) -> bool:
        return True


def test_people_get_a_bar_on_a_terminal_and_sentences_above_it() -> None:
    with bar_for_people(io.StringIO()) as nobody:
        assert nobody is None
    terminal = Terminal()
    with bar_for_people(terminal) as shown:
        assert shown is not None
        shown.say("went on from epoch [3]")
        shown.bar(Progress(done=2, total=4))
    assert "went on from epoch [3]" in terminal.getvalue()
    assert "train" in terminal.getvalue()


def test_fits_that_follow_each_other_are_one_progress() -> None:
    told: list[Progress] = []
    for number, observe in enumerate(parts_of(told.append, [4, 8, 4]), start=1):
        observe(Progress(done=number, total=4))
    assert [(one.done, one.total) for one in told] == [(1, 16), (8, 16), (15, 16)]
