"""README and docs say what is true: links, targets, snippets, and the reasons that people will search for."""

import ast
import re
import tomllib
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.bench.record import BENCHMARKS, SHOWN, UNDER_ATTACK, excerpt, replace_block
from tests.support.cases import check_each
from tests.support.helm import CHART, ROOT

from modelservice import __version__
from modelservice.contract.resource import API_VERSION, KIND, ModelService
from modelservice_operator.metrics import Metrics

README = ROOT / "README.md"
PAGES = sorted(path for folder in (ROOT / "docs", ROOT / "docs" / "how-to") for path in folder.glob("*.md"))
DECISIONS_INDEX = ROOT / "docs" / "decisions" / "README.md"
DECISIONS = sorted(DECISIONS_INDEX.parent.glob("[0-9]*.md"))
COMMUNITY = [ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")]
_DEVELOPMENT = ROOT / "docs" / "development.md"
RELEASED = ROOT / "tests" / "data" / "released" / "README.md"
DOCUMENTS = [README, *COMMUNITY, *PAGES, DECISIONS_INDEX, *DECISIONS, RELEASED]
SOURCES = [*(ROOT / "operator").rglob("*.py"), *(ROOT / "runtime").rglob("*.py")]

KUBERNETES_REASONS = {
    "BackoffLimitExceeded",
    "FailedCreate",
    "FailedCreatePodSandBox",
    "FailedMount",
    "FailedScheduling",
    "PodFailurePolicy",
    "ProvisioningFailed",
}
"""Passed on as Kubernetes words them, so nowhere in the code."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_SPAN = re.compile(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)")
_REASON = re.compile(r"[A-Z]+[a-z][A-Za-z0-9]*")
_MINIMAL: dict[str, Any] = {"data": {"configMap": {"name": "d"}, "target": "y"}, "model": {"mlp": {}}}


def check_documents(check: Callable[[Path], None]) -> None:
    """Check each document."""
    check_each(DOCUMENTS, check, name=lambda path: path.relative_to(ROOT))


@cache
def parsed(path: Path) -> list[ast.AST]:
    """All nodes of a module."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def prose(document: Path) -> str:
    """The text without fenced blocks."""
    return _FENCE.sub("", document.read_text(encoding="utf-8"))


def fenced(document: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return [body for found, body in _FENCE.findall(document.read_text(encoding="utf-8")) if found == language]


def anchors(document: Path) -> set[str]:
    """Headings as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(text: str) -> Iterator[list[str]]:
    """Cells of all table rows, headings included."""
    for line in text.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|\-: ]+", line):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def links(document: Path) -> list[str]:
    """Targets of all links; code that looks like one is none."""
    return _LINK.findall(_SPAN.sub("", prose(document)))


def test_links_lead_somewhere() -> None:
    check_documents(check_links)


def check_links(document: Path) -> None:
    for link in links(document):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), f"{document.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{document.name}: {link}"


def linked_from(document: Path) -> set[Path]:
    """Files that a document links to."""
    return {(document.parent / link.partition("#")[0]).resolve() for link in links(document)}


def test_every_document_is_linked_from_the_readme() -> None:
    assert {*PAGES, *COMMUNITY, DECISIONS_INDEX} <= linked_from(README)


def test_decisions_are_numbered_listed_and_whole() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]
    index = DECISIONS_INDEX.read_text(encoding="utf-8")
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        number, _, title = text.partition("\n")[0].removeprefix("# ").partition(". ")
        assert int(number) == int(path.name[:4])
        assert f"[{number}. {title}]({path.name})" in index
        parts = re.findall(r"^\*\*(\w+)\.\*\* \S", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], path.name


@pytest.mark.parametrize(("document", "block", "figures"), SHOWN, ids=[block for _, block, _ in SHOWN])
def test_figures_are_those_of_the_benches(document: Path, block: str, figures: tuple[tuple[str, str], ...]) -> None:
    benchmarks = BENCHMARKS.read_text(encoding="utf-8")
    text = document.read_text(encoding="utf-8")
    assert replace_block(text, block, excerpt(benchmarks, figures)) == text
    shown = [tuple(cells[:2]) for cells in list(rows(excerpt(benchmarks, figures)))[1:]]
    assert shown == list(figures), "run the benches with --readme, and `make readme`"


def test_figures_under_attack_are_within_their_limits() -> None:
    for _, figure, value, _, limit, _ in list(rows(excerpt(BENCHMARKS.read_text(encoding="utf-8"), UNDER_ATTACK)))[1:]:
        assert limit.startswith("<= "), figure
        assert float(value.replace(",", "")) <= float(limit.removeprefix("<= ")), figure


def test_every_target_is_described() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    named = {word for line in re.findall(r"`make ([a-z -]+)", _development()) for word in line.split()}
    assert targets - named == {"help"}


def test_every_dependency_says_why_it_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    declared = [("everywhere", project["project"]["dependencies"]), *extras.items(), *groups.items()]
    names = [(room, canonicalize_name(Requirement(one).name)) for room, listed in declared for one in listed]
    block = _development().partition("<!-- dependencies -->")[2].partition("<!-- /dependencies -->")[0]
    room, shown = "", []
    for name, why, licence in list(rows(block))[1:]:
        if heading := re.match(r"\*\*(\w+)\*\*", name):
            room = heading[1]
        else:
            assert why, name
            assert licence, name
            shown.append((room, name))
    assert shown == [(room, name) for room, name in names if name != "modelservice"]


def _development() -> str:
    return _DEVELOPMENT.read_text(encoding="utf-8")


def test_the_version_is_said_once() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    named = {version for document in DOCUMENTS for version in _IMAGE_VERSION.findall(document.read_text("utf-8"))}
    assert named == {__version__}
    assert f"## [{__version__}]" in _changelog() or f"What will be {__version__}" in _changelog()


_IMAGE_VERSION = re.compile(r"\b(?:operator|trainer|server):([0-9]+\.[0-9]+\.[0-9]+)\b")


def _changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_stored_document_is_in_the_policy() -> None:
    policy = (ROOT / "docs" / "api-compatibility.md").read_text(encoding="utf-8")
    block = policy.partition("<!-- documents -->")[2].partition("<!-- /documents -->")[0]
    kinds = [kind for path in SOURCES for kind in _document_kinds(path)]
    assert [cells[0].strip("`") for cells in rows(block)][1:] == sorted(kinds)


_STORED = {"Document", "ExactDocument", "SharedPreprocessing"}


def _document_kinds(path: Path) -> Iterator[str]:
    """The kinds of the stored documents that a module declares."""
    for node in parsed(path):
        if isinstance(node, ast.ClassDef) and _STORED & {getattr(base, "id", "") for base in node.bases}:
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and getattr(field.target, "id", "") == "kind":
                    assert isinstance(field.value, ast.Constant), f"{path.name}: {node.name}"
                    yield str(field.value.value)


def test_named_targets_are_targets() -> None:
    check_documents(check_targets)


def check_targets(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z%-]+):", makefile, re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    named = [
        word for line in re.findall(r"(?:`|^)make (?:-s )?([a-z -]+)", text, re.MULTILINE) for word in line.split()
    ]
    assert [name for name in named if name not in targets and not name.startswith("bench-")] == []
    folder = ROOT / "tests" / "bench"
    benches = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__main__.py")}
    assert {name[6:].replace("-", "_") for name in named if name.startswith("bench-")} <= benches


def test_snippets_are_yaml_and_model_services_are_valid() -> None:
    check_documents(check_snippets)


def check_snippets(document: Path) -> None:
    for snippet in fenced(document, "yaml"):
        for one in yaml.load_all(snippet, Loader=yaml.CSafeLoader):
            if one.get("kind") == KIND:
                ModelService.model_validate(one)


def test_examples_of_the_readme_are_valid() -> None:
    snippets = [yaml.safe_load(cells[1].strip("`")) for cells in rows(prose(README)) if _is_example(cells)]
    assert len(snippets) > 5
    for snippet in snippets:
        spec = {**_MINIMAL, **snippet}
        if "target" not in spec["data"]:
            spec["data"] = {**_MINIMAL["data"], **spec["data"]}
        ModelService.model_validate({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "a"}, "spec": spec})


def _is_example(cells: list[str]) -> bool:
    return (
        len(cells) == 3
        and re.match(r"`(data|task|model|training|compression|serving|artifacts|suspend): ", cells[1]) is not None
    )


class TestReasons:
    def test_those_in_tables_are_in_the_code(self) -> None:
        known = {node.value for path in SOURCES for node in parsed(path) if isinstance(node, ast.Constant)}

        def check(document: Path) -> None:
            assert documented_reasons(document) - known - KUBERNETES_REASONS == set()

        check_documents(check)

    def test_those_in_the_code_are_in_tables(self) -> None:
        documented = set[str]().union(*map(documented_reasons, DOCUMENTS))
        raised = {reason for path in SOURCES for reason in _raised(path)}
        assert {"TargetNotFound", "StorageFull", "NameConflict", "ConfigMapNotFound"} <= raised
        assert (raised | KUBERNETES_REASONS) - documented == set()

    def test_those_of_conditions_are_in_the_page_of_the_status(self) -> None:
        named = set(_CODE.findall((ROOT / "docs" / "status.md").read_text(encoding="utf-8")))
        said = {reason for path in SOURCES for reason in _raised(path, _VERDICTS, ())}
        assert {"Compressed", "BudgetMissed", "ReadWriteOnce"} <= said
        assert said - named == set()


def documented_reasons(document: Path) -> set[str]:
    """Reasons between the markers, each in backticks."""
    marked = re.findall(r"<!-- reasons -->(.*?)<!-- /reasons -->", prose(document), re.DOTALL)
    return {code for part in marked for code in _CODE.findall(part) if _REASON.fullmatch(code)}


_RAISERS = {
    "DataError",
    "DataUnavailableError",
    "PassingError",
    "StageError",
    "StorageError",
    "StorageUnavailableError",
    "_problem",
    "_storage_failure",
}
_SAYERS = {"Failure", "Problem", "_check_name"}
_VERDICTS = {"Finding", "Portability", "Verdict"}


def _raised(path: Path, sayers: Collection[str] = _SAYERS, raisers: Collection[str] = _RAISERS) -> Iterator[str]:
    """Reasons given to errors, failures and problems: the first argument, or the keyword ``reason``."""
    for node in parsed(path):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        said = [one.value for one in node.keywords if one.arg == "reason" and name in sayers]
        said += node.args[:1] if name in raisers else []
        branches = [part for one in said for part in ((one.body, one.orelse) if isinstance(one, ast.IfExp) else (one,))]
        yield from (one.value for one in branches if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_layers_are_shown_as_they_are_kept() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {one["containers"][0]: one for one in project["tool"]["importlinter"]["contracts"] if "layers" in one}
    shown = re.findall(r"^(operator|runtime) +(.*(?:\n +>.*)*)", "\n".join(fenced(_DEVELOPMENT, "")), re.MULTILINE)
    kept = {
        "operator": contracts["modelservice_operator"]["layers"],
        "runtime": contracts["modelservice"]["layers"],
    }
    assert {name: _layers(text) for name, text in shown} == {
        name: [layer for layer in layers if layer != "__main__"] for name, layers in kept.items()
    }


def _layers(text: str) -> list[str]:
    return [" ".join(layer.split()) for layer in text.split(">")]


def test_metrics_in_the_documents_are_counted() -> None:
    counted = {metric.name for metric in Metrics().registry.collect()}
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    named = {name.removesuffix("_total") for name in re.findall(r"\bmodelservice_operator_[a-z_]+", text)}
    assert named == {name for name in counted if name.startswith("modelservice_operator_")}
