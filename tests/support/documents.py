"""The shell commands of all documents, each with the test that types it, or why nobody does.

A test takes what it types from here (``typed_by``), so what ``RUNS`` says of a command is what is done with it; a
command that no line of ``RUNS`` is about fails tests/contract/test_docs_commands.py.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from textwrap import dedent
from typing import NamedTuple

from tests.support.document_runs import RUNS, Run
from tests.support.helm import ROOT

PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "charts").rglob("*.md")),
)
SHELLS = frozenset({"sh", "bash", "shell", "console"})
_FENCE = re.compile(r"^ *(?:[-*] |\d+\. )?```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FILE = re.compile(r"# ([\w.-]+\.(?:yaml|py))\n")
_HEREDOC = re.compile(r"<<-?'?(\w+)'?")


class Command(NamedTuple):
    """What somebody types at once, perhaps of several lines.

    Attributes:
        page: path of the document, from the root of the repository.
        section: the heading that it stands under.
        line: number of its first line there.
        text: as it stands there, without the prompt.
        shown: the lines of its answer that the document shows.
    """

    page: str
    section: str
    line: int
    text: str
    shown: tuple[str, ...] = ()


class File(NamedTuple):
    """A block that begins with the name of the file which it is: ``# churn.yaml``."""

    page: str
    name: str
    content: str


class Block(NamedTuple):
    """A fenced block, the heading that it stands under, and the number of its first line."""

    section: str
    line: int
    language: str
    content: str


def fenced(page: str) -> Iterator[Block]:
    """All fenced blocks of a document."""
    text, begins, section = (ROOT / page).read_text(encoding="utf-8"), 0, ""
    for found in _FENCE.finditer(text):
        section = next(reversed(_HEADING.findall(text, begins, found.start())), section)
        begins = found.end()
        language, content = found.groups()
        yield Block(section, text.count("\n", 0, found.start()) + 2, language, dedent(content))


@cache
def steps(page: str) -> tuple[Command | File, ...]:
    """Commands and named files of a document, in order."""
    found: list[Command | File] = []
    for block in fenced(page):
        if block.language in SHELLS:
            found += _commands(page, block)
        elif named := _FILE.match(block.content):
            found.append(File(page, named[1], block.content))
    return tuple(found)


def all_commands() -> list[Command]:
    """The commands of all documents."""
    pages = [str(page.relative_to(ROOT)) for page in PAGES]
    return [step for page in pages for step in steps(page) if isinstance(step, Command)]


def run_of(command: Command) -> Run | None:
    """The first line of ``RUNS`` that is about a command."""
    return next((run for run in RUNS if _is_about(run, command)), None)


def _is_about(run: Run, command: Command) -> bool:
    here = run.page == command.page and run.section in {"", command.section}
    return here and re.match(run.begins, command.text) is not None


def typed_by(test: str, page: str) -> tuple[Command | File, ...]:
    """What a test types of a document, with the files that its commands need, in order.

    Raises:
        LookupError: there is nothing for it.
    """
    chosen = tuple(step for step in steps(page) if isinstance(step, File) or _is_typed_by(step, test))
    if not any(isinstance(step, Command) for step in chosen):
        raise LookupError(f"no command of {page} is for {test}")
    return chosen


def _is_typed_by(command: Command, test: str) -> bool:
    run = run_of(command)
    return run is not None and run.test == test


def _commands(page: str, block: Block) -> Iterator[Command]:
    """What is typed; in a console only what stands after a ``$``."""
    lines = [*enumerate(block.content.splitlines(), start=block.line)]
    prompts = block.language == "console"
    while lines:
        number, line = lines.pop(0)
        if not line.strip() or line.startswith("#"):
            continue
        text = line.removeprefix("$ ") if prompts else line
        while not _is_whole(text):
            if not lines:
                raise ValueError(f"{page}:{number}: a command that has no end: {text[:80]}")
            text += f"\n{lines.pop(0)[1]}"
        shown: list[str] = []
        while prompts and lines and not lines[0][1].startswith("$ "):
            shown.append(lines.pop(0)[1])
        yield Command(page, block.section, number, text, tuple(shown))


def _is_whole(text: str) -> bool:
    """Whether quotes are closed, loops done, and a here-document is at its end."""
    first, _, rest = text.partition("\n")
    if end := _HEREDOC.search(first):
        return rest.endswith(f"\n{end[1]}")
    if text.endswith("\\"):
        return False
    with suppress(ValueError):
        words = shlex.split(text, comments=True)
        return sum(word == "do" for word in words) == sum(word.rstrip(";") == "done" for word in words)
    return False
