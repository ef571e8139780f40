"""The log: for people on a terminal, for machines elsewhere."""

import io
import json
import logging
from typing import Any

import pytest

from modelservice.serving.logs import configure_log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *arguments: Any, taken: tuple[Any, ...] = (), **more: Any
) -> str:
    """What is written of a line, where the handlers in ``taken`` take the log already."""
    root = logging.getLogger()
    with monkeypatch.context() as patch:
        patch.setattr(root, "handlers", list(taken))
        patch.setattr(root, "level", root.level)
        configure_log(stream)
        logging.getLogger("modelservice.a").warning(*arguments, **more)
    return stream.getvalue()


def test_a_line_for_people_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert logged(monkeypatch, Terminal(), "serving %s", "iris") == "WARNING serving iris\n"


def test_json_elsewhere_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.loads(logged(monkeypatch, io.StringIO(), "two\nlines of %s", "iris\ud800"))
    assert said.pop("timestamp")[-1] == "Z"
    assert said == {"level": "warning", "logger": "modelservice.a", "event": "two\nlines of iris\ud800"}


def test_an_exception_is_a_part_of_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ValueError("out of order")
    line = logged(monkeypatch, io.StringIO(), "that", exc_info=error)
    assert line.count("\n") == 1
    assert json.loads(line)["exception"] == "ValueError: out of order"


def test_who_takes_the_log_already_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert logged(monkeypatch, io.StringIO(), "that", taken=(logging.NullHandler(),)) == ""
