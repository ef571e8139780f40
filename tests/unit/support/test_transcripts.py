"""Documents are held to what commands printed, whatever was made up for a run."""

from pathlib import Path

import pytest
from tests.support.transcripts import UPDATES, hold

DOCUMENT = "before\n<!-- bench:said -->\nold\n<!-- /bench:said -->\nafter\n"


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that shows what a command printed once."""
    found = tmp_path / "document.md"
    found.write_text(DOCUMENT)
    monkeypatch.setenv(UPDATES, "1")
    hold(found, "said", [("status iris", "iris-7f9   Ready   0.93\nin space-x1\n")], names={"space-x1": "team-a"})
    monkeypatch.delenv(UPDATES)
    return found


def test_what_was_printed_is_put_between_the_marks(document: Path) -> None:
    shown = "```console\n$ status iris\niris-7f9   Ready   0.93\nin team-a\n```"
    assert document.read_text() == DOCUMENT.replace("old", shown)


def test_numbers_names_and_widths_may_differ_and_words_may_not(document: Path) -> None:
    hold(document, "said", [("status iris", "iris-8a1 Ready 0.871\nin other")], names={"other": "team-a"})
    made_up = "Pod/iris-bcd Ready (abcdefgh),\nin team-a"
    hold(document, "said", [("status iris", made_up)], names={})
    with pytest.raises(AssertionError, match="write said anew with UPDATE_TRANSCRIPTS=1"):
        hold(document, "said", [("status iris", "iris-8a1 Failed 0.871\nin other")], names={"other": "team-a"})
