"""docs/cases.md: each fault that was found names the tests that hold it, and those tests exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.contract.test_docs import rows
from tests.support.cases import check_each
from tests.support.helm import ROOT

TEXT = (ROOT / "docs" / "cases.md").read_text(encoding="utf-8")
BLOCKS = {"operator": 27, "tables-and-requests": 62, "survived": 37}
"""Name of each table, and how many faults it has."""


def cells(block: str) -> list[list[str]]:
    """Number, fault, outcome and tests of each row of a table."""
    table = TEXT.partition(f"<!-- cases:{block} -->")[2].partition(f"<!-- /cases:{block} -->")[0]
    return list(rows(table))[1:]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_fault_has_a_row(block: str) -> None:
    assert [number for number, *_ in cells(block)] == [str(number + 1) for number in range(BLOCKS[block])]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_tests_that_hold_it_exist(block: str) -> None:
    check_each(cells(block), check_held, name=lambda row: row[0])


def check_held(row: list[str]) -> None:
    names = re.findall(r"`([^`]+)`", row[3])
    assert names
    missing = [
        name for name in names if name.partition("::")[2] not in names_of(ROOT / "tests" / name.partition("::")[0])
    ]
    assert missing == []


@cache
def names_of(path: Path) -> frozenset[str]:
    """Tests of a module, as pytest calls them behind the path."""
    return frozenset(_tests(ast.parse(path.read_text(encoding="utf-8")))) if path.exists() else frozenset()


def _tests(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    for one in node.body:
        if isinstance(one, ast.ClassDef):
            yield from _tests(one, f"{prefix}{one.name}::")
        elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_"):
            yield f"{prefix}{one.name}"
