"""Commands that the documents show: each is run by a test that is named, or it is said why not.

What is not typed by a test is looked at here: ours are taken by our own command line, and targets of make exist. So are
those that stand in the middle of a sentence.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.support.cases import check_each
from tests.support.document_runs import RUNS, Run
from tests.support.documents import PAGES, Command, all_commands, fenced, run_of
from tests.support.helm import ROOT

from modelservice.cli import build_parser

_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
_BETWEEN = {"|", "||", "&&", "&", ";"}
"""Words of a shell behind which another command begins."""
_BEGINS = re.compile(r"^(?:\$ )?(?:kubectl|helm|make|modelservice|curl|pip|docker|skopeo|sudo|python) ", re.MULTILINE)
"""How a command begins, to find some in blocks that do not say that they have any."""
_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

SHOWN = all_commands()
EXCEPTIONS = [(command, run) for command in SHOWN if (run := run_of(command)) and run.why]


def words_of(text: str) -> list[list[str]]:
    """The commands of a line as words, without files that they are sent to."""
    found: list[list[str]] = [[]]
    for word in shlex.split(text.replace("\\\n", " "), comments=True):
        if word in _BETWEEN:
            found.append([])
        elif word not in {">", "<", "2>"}:
            found[-1].append(word)
    return [words for words in found if words]


def in_sentences() -> Iterator[tuple[str, list[str]]]:
    """Targets of make that stand in the middle of a sentence."""
    for name in _NAMES:
        for code in re.findall(r"`(make [^`\n]+)`", (ROOT / name).read_text(encoding="utf-8")):
            with suppress(ValueError):
                yield from ((name, words) for words in words_of(code))


TYPED = [(command.page, words) for command in SHOWN for words in words_of(command.text)]
OURS = [
    (page, words[1:] if words[0] == "modelservice" else ["cluster", *words[2:]])
    for page, words in TYPED
    if words[0] == "modelservice" or words[:2] == ["kubectl", "modelservice"]
]


def test_there_are_some() -> None:
    assert len(SHOWN) > 120
    assert len(OURS) > 25
    assert {"train", "serve", "pack", "inspect", "explain", "cluster"} <= {words[0] for _, words in OURS}


def test_each_command_is_run_by_a_test_or_it_is_said_why_not() -> None:
    assert [f"{one.page}:{one.line}: {one.text}" for one in SHOWN if run_of(one) is None] == []


@pytest.mark.parametrize(
    ("page", "text"),
    [("docs/how-to/new.md", "kubectl get pods"), ("README.md", "helm list"), ("docs/kubectl.md", "curl -s localhost")],
)
def test_a_new_command_is_found(page: str, text: str) -> None:
    assert run_of(Command(page, "New", 1, text)) is None


def test_each_line_of_the_list_is_about_a_command_and_says_one_thing() -> None:
    used = {run_of(command) for command in SHOWN}
    assert [run for run in RUNS if run not in used] == []
    assert [run for run in RUNS if bool(run.test) == bool(run.why) or (run.by and not run.test)] == []


@pytest.mark.parametrize("run", [run for run in RUNS if run.test], ids=lambda run: f"{run.page} {run.begins}".strip())
def test_tests_that_are_named_exist_and_read_the_document(run: Run) -> None:
    file, _, name = run.test.partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)
    if not run.by:
        assert re.search(rf"typed_by\(\w+, \w+\)|typed_by\(\w+, \"{re.escape(run.page)}\"\)", source)


@pytest.mark.parametrize(
    ("command", "run"), EXCEPTIONS, ids=[f"{one.page} {one.text.split('  ')[0]}: {run.why}" for one, run in EXCEPTIONS]
)
def test_exceptions_are_few_and_each_says_why(command: Command, run: Run) -> None:
    assert len(EXCEPTIONS) <= 10
    assert len(run.why) > 20, command


def test_no_command_hides_in_a_block_of_another_language() -> None:
    hidden = [
        f"{name}:{block.line}"
        for name in _NAMES
        for block in fenced(name)
        if block.language in {"", "text"} and _BEGINS.search(block.content)
    ]
    assert hidden == []


def test_our_commands_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    def check(shown: tuple[str, list[str]]) -> None:
        with suppress(SystemExit):
            build_parser().parse_args(shown[1])
        assert capsys.readouterr().err == ""

    check_each(OURS, check)


def test_targets_of_make_exist() -> None:
    lines = [*TYPED, *in_sentences()]
    check_each(sorted({(name, words[1]) for name, words in lines if words[0] == "make" and words[1:]}), check_target)


def check_target(shown: tuple[str, str]) -> None:
    _, target = shown
    bench = ROOT / "tests" / "bench" / f"{target.removeprefix('bench-').replace('-', '_')}.py"
    assert target in _TARGETS or (target.startswith("bench-") and bench.is_file())
