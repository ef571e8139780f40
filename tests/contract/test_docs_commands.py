"""Commands that the documents show: ours are taken by our own command line, and every target of make exists.

The tutorial, the walk through the server, the demo and what ``kubectl modelservice`` prints are run, too
(tests/wiring, tests/e2e); the others want a registry, a hub or a cluster that is somebody's own.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.helm import ROOT

from modelservice.cli import build_parser

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
_BETWEEN = {"|", "||", "&&", "&", ";"}
"""Words of a shell behind which another command begins."""


def commands_of(line: str) -> list[list[str]]:
    """The commands of a line as words, without files that they are sent to."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word in _BETWEEN:
            found.append([])
        elif word not in {">", "<", "2>"}:
            found[-1].append(word)
    return found


def commands(page: Path) -> Iterator[list[str]]:
    """Commands of a page as words."""
    for block in _FENCE.findall(page.read_text(encoding="utf-8")):
        lines = iter(block.replace("\\\n", " ").splitlines())
        shown = "\n$ " in f"\n{block}"  # what a command prints stands below it
        for line in lines:
            if shown and not line.startswith("$ "):
                continue
            text = line.removeprefix("$ ").strip()
            while True:  # a quote may be closed further down
                with suppress(ValueError):
                    yield from commands_of(text)
                    break
                if (more := next(lines, None)) is None:
                    raise AssertionError(f"{page.name}: a quote that nobody closes: {text[:80]}")
                text += f"\n{more}"


SHOWN = [(page.name, words) for page in PAGES for words in commands(page) if words]
OURS = [
    (name, words[1:] if words[0] == "modelservice" else ["cluster", *words[2:]])
    for name, words in SHOWN
    if words[0] == "modelservice" or words[:2] == ["kubectl", "modelservice"]
]


def test_there_are_some() -> None:
    assert len(OURS) > 25
    assert {"train", "serve", "pack", "inspect", "explain", "cluster"} <= {words[0] for _, words in OURS}


@pytest.mark.parametrize(("page", "words"), OURS, ids=[f"{page} {' '.join(words)}"[:80] for page, words in OURS])
def test_our_commands_are_taken(page: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        build_parser().parse_args(words)
    assert capsys.readouterr().err == "", page


@pytest.mark.parametrize(
    ("page", "target"), [(name, words[1]) for name, words in SHOWN if words[0] == "make" and len(words) > 1]
)
def test_targets_of_make_exist(page: str, target: str) -> None:
    assert target in _TARGETS, page
