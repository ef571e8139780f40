"""A store that is away is said to be, while it is asked again."""

import threading

import pytest

from modelservice.artifact import patience
from modelservice.artifact.patience import told_when_slow


def test_a_store_that_does_not_answer_is_told_of_while_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    said: list[str] = []

    def warning(text: str, *values: object) -> None:
        said.append(text % values)
        told.set()

    monkeypatch.setattr(patience._LOG, "warning", warning)
    with told_when_slow("s3://models/iris", after=0):
        assert told.wait(60)
    assert said == ["s3://models/iris does not answer so far; it is asked again for up to 60 s"]


def test_of_one_that_answers_nothing_is_told() -> None:
    before = threading.active_count()
    with told_when_slow("s3://models/iris", after=3600):
        (timer,) = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    timer.join(60)
    assert not timer.is_alive()
    assert threading.active_count() == before
