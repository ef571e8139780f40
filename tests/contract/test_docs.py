"""README and docs say what is true: links, targets, snippets, and the reasons that people will search for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.helm import ROOT

from modelservice.contract.resource import API_VERSION, KIND, ModelService
from modelservice_operator.metrics import Metrics

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [*(ROOT / "operator").rglob("*.py"), *(ROOT / "runtime").rglob("*.py")]

KUBERNETES_REASONS = {
    "BackoffLimitExceeded",
    "FailedCreate",
    "FailedMount",
    "FailedScheduling",
    "PodFailurePolicy",
    "ProvisioningFailed",
}
"""Passed on as Kubernetes words them, so nowhere in the code."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_REASON = re.compile(r"[A-Z]+[a-z][A-Za-z0-9]*")
_MINIMAL: dict[str, Any] = {"data": {"configMap": {"name": "d"}, "target": "y"}, "model": {"mlp": {}}}

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


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


@documents
def test_links_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), f"{document.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{document.name}: {link}"


def test_every_document_is_linked_from_the_readme() -> None:
    links = {(ROOT / link.partition("#")[0]).resolve() for link in _LINK.findall(prose(DOCUMENTS[0]))}
    assert set(DOCUMENTS[1:]) <= links


@documents
def test_named_targets_are_targets(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z%-]+):", makefile, re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    named = [
        word for line in re.findall(r"(?:`|^)make (?:-s )?([a-z -]+)", text, re.MULTILINE) for word in line.split()
    ]
    assert [name for name in named if name not in targets and not name.startswith("bench-")] == []
    benches = {path.stem for path in (ROOT / "tests" / "bench").glob("*.py")}
    assert {name.removeprefix("bench-") for name in named if name.startswith("bench-")} <= benches


@documents
def test_snippets_are_yaml_and_model_services_are_valid(document: Path) -> None:
    for snippet in fenced(document, "yaml"):
        for one in yaml.safe_load_all(snippet):
            if one.get("kind") == KIND:
                ModelService.model_validate(one)


def test_examples_of_the_readme_are_valid() -> None:
    snippets = [yaml.safe_load(cells[1].strip("`")) for cells in rows(prose(DOCUMENTS[0])) if _is_example(cells)]
    assert len(snippets) > 5
    for snippet in snippets:
        spec = {**_MINIMAL, **snippet}
        if "target" not in spec["data"]:
            spec["data"] = {**_MINIMAL["data"], **spec["data"]}
        ModelService.model_validate({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "a"}, "spec": spec})


def _is_example(cells: list[str]) -> bool:
    return len(cells) == 3 and re.match(r"`(data|model|training|serving|artifacts|suspend): ", cells[1]) is not None


class TestReasons:
    @documents
    def test_those_in_tables_are_in_the_code(self, document: Path) -> None:
        literals = {value for path in SOURCES for value in _literals(path)} | KUBERNETES_REASONS
        assert documented_reasons(document) - literals == set()

    def test_those_in_the_code_are_in_tables(self) -> None:
        documented = set[str]().union(*map(documented_reasons, DOCUMENTS))
        raised = {reason for path in SOURCES for reason in _raised(path)}
        assert {"TargetNotFound", "StorageFull", "NameConflict", "ConfigMapNotFound"} <= raised
        assert raised - documented == set()


def documented_reasons(document: Path) -> set[str]:
    """Reasons between the markers, each in backticks."""
    marked = re.findall(r"<!-- reasons -->(.*?)<!-- /reasons -->", prose(document), re.DOTALL)
    return {code for part in marked for code in _CODE.findall(part) if _REASON.fullmatch(code)}


def _literals(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


_RAISERS = {"DataError", "TaskError", "TrainingError", "_failure", "_not_found", "_problem"}


def _raised(path: Path) -> Iterator[str]:
    """Reasons given to errors, failures and problems: the first argument, or the keyword ``reason`` of a problem."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        said = [one.value for one in node.keywords if one.arg == "reason" and node.func.id in {"Problem", "Failure"}]
        said += node.args[:1] if node.func.id in _RAISERS else []
        yield from (one.value for one in said if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_metrics_in_the_documents_are_counted() -> None:
    counted = {metric.name for metric in Metrics().registry.collect()}
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    named = {name.removesuffix("_total") for name in re.findall(r"\bmodelservice_operator_[a-z_]+", text)}
    assert named == {name for name in counted if name.startswith("modelservice_operator_")}
