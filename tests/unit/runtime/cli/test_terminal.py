"""How far a transfer is: shown to whom looks, once it takes long."""

import io

import pytest
from rich.console import Console

from modelservice.cli.terminal import SHOWN_AFTER, transfer


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *, seconds: float) -> str:
    times = iter([0.0, seconds / 2, seconds, seconds])
    with transfer("revision 3", stream=stream, clock=lambda: next(times)) as told:
        told(10, 100)
        told(50, 100)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_transfer_that_takes_long_shows_how_far_it_is() -> None:
    said = shown(Screen(), seconds=SHOWN_AFTER + 1)
    assert "revision 3" in said
    assert "50/100 bytes" in said


def test_a_short_one_and_one_that_nobody_looks_at_show_nothing() -> None:
    assert shown(Screen(), seconds=SHOWN_AFTER - 1) == ""
    assert shown(io.StringIO(), seconds=SHOWN_AFTER + 1) == ""
    assert Console(file=io.StringIO()).is_terminal is False
