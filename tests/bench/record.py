"""How a bench says what it found: a table on the screen, a JSON file, and its block of docs/benchmarks.md.

README and docs/operations.md keep the figures that matter there (``SHOWN``), taken from the tables of
docs/benchmarks.md and never typed.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "bench"
README = ROOT / "README.md"
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
OPERATIONS = ROOT / "docs" / "operations.md"

HEADLINES = (
    ("serving", "v1 predict, 64 connections, share of the echo"),
    ("serving", "v2 infer, 64 connections, ours"),
    ("serving", "v2 infer, 64 connections, share of the echo"),
    ("serving", "gRPC ModelInfer, 64 in flight, share of the echo"),
    ("serving", "start: process to ready"),
    ("serving", "resident memory, idle"),
    ("operator", "CPU for each object written"),
    ("operator", "spec change to first child write, median"),
    ("e2e", "iris: apply to Ready"),
    ("e2e", "server image, uncompressed"),
)
"""Bench and figure: what the README shows, in this order."""

UNDER_ATTACK = (
    (
        "hostile",
        "start beside 1,000 objects of 1 MB: most memory of the operator",
    ),
    ("hostile", "500 Events of 650 kB about one pending pod: most memory of the operator"),
    (
        "hostile",
        "another tenant's change to its status, slowest of 20, beside 10 tables of 250 MiB and 20 slow trainings",
    ),
    ("hostile", "300 ModelServices whose pods stay Pending: LISTs of Events"),
    ("hostile", "webhook on claims is down: from apply to Ready's reason"),
    ("hostile", "webhook on claims is down: another one, scaled and trained again: to its Deployment"),
    ("e2e", "claim deleted, then the pod that held it: from its loss to Ready"),
)
"""Bench and figure: what docs/operations.md shows of a hostile tenant and an unlucky cluster, each with its limit."""

SCALE = (
    ("operator", "first request to last write"),
    ("operator", "CPU for each ModelService"),
    ("operator", "memory before the first ModelService"),
    ("operator", "memory for each ModelService"),
    ("operator", "CPU while converged"),
    ("operator", "spec change to first child write, median"),
)
"""Bench and figure: what docs/operations.md shows for who has to say how large the operator is to be."""

SHOWN = (
    (README, "figures", HEADLINES),
    (OPERATIONS, "under-attack", UNDER_ATTACK),
    (OPERATIONS, "scale", SCALE),
)
"""Document, block of it, and the figures that it shows."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value; ``limit`` says in words what it must keep, such as ``>= 0.45``, or None."""

    figure: str
    value: float
    unit: str
    limit: str | None = None
    holds: bool | None = None


def figure(name: str, value: float, unit: str) -> Figure:
    """A figure without a limit."""
    return Figure(figure=name, value=value, unit=unit)


def at_least(name: str, value: float, unit: str, limit: float) -> Figure:
    """A figure that must not be below its limit."""
    return Figure(figure=name, value=value, unit=unit, limit=f">= {limit:g}", holds=value >= limit)


def at_most(name: str, value: float, unit: str, limit: float) -> Figure:
    """A figure that must not be above its limit."""
    return Figure(figure=name, value=value, unit=unit, limit=f"<= {limit:g}", holds=value <= limit)


def record(bench: str, figures: Sequence[Figure], *, caption: str, readme: bool) -> int:
    """Print the table and write ``build/bench/BENCH.json``, and the documents where asked for.

    Args:
        bench: name of the bench.
        figures: in the order of the table.
        caption: one line on how it was measured.
        readme: whether to rewrite this bench's block of docs/benchmarks.md, and what other documents show of it.

    Returns:
        The exit code: 1 if a limit does not hold.
    """
    table = Table(title=f"bench-{bench}: {caption}")
    for column in ("figure", "value", "unit", "limit", "holds"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for found in figures:
        table.add_row(*_cells(found), style="bold red" if found.holds is False else "")
    Console().print(table)
    FOLDER.mkdir(parents=True, exist_ok=True)
    document = json.dumps([asdict(found) for found in figures], indent=1, allow_nan=False)
    (FOLDER / f"{bench}.json").write_text(f"{document}\n", encoding="utf-8")
    if readme:
        publish(bench, figures, caption=caption)
    return 1 if any(found.holds is False for found in figures) else 0


def publish(bench: str, figures: Sequence[Figure], *, caption: str) -> None:
    """Rewrite the block of a bench in docs/benchmarks.md, and after it what other documents show of it."""
    long = replace_block(BENCHMARKS.read_text(encoding="utf-8"), bench, markdown(figures, caption=caption))
    BENCHMARKS.write_text(long, encoding="utf-8")
    for document, block, shown in SHOWN:
        short = replace_block(document.read_text(encoding="utf-8"), block, excerpt(long, shown))
        document.write_text(short, encoding="utf-8")


def excerpt(benchmarks: str, shown: Sequence[tuple[str, str]]) -> str:
    """A table of some figures, from the text of docs/benchmarks.md; one that was not measured yet is left out.

    Args:
        benchmarks: the text.
        shown: bench and figure of each row.
    """
    lines = ["| bench | figure | value | unit | limit | holds |", "|---|---|--:|---|---|---|"]
    for bench, name in shown:
        # Of rows of one name, which differ in their unit, the first.
        found = next((cells for cells in _rows(block_of(benchmarks, bench)) if cells[0] == name), None)
        if found is not None:
            lines.append(f"| {' | '.join([bench, *found])} |")
    return "\n".join(lines)


def _rows(block: str) -> Iterator[list[str]]:
    for line in block.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def markdown(figures: Sequence[Figure], *, caption: str) -> str:
    """The table as Markdown, after its caption."""
    rows = "\n".join(f"| {' | '.join(_cells(found))} |" for found in figures)
    head = "| figure | value | unit | limit | holds |\n|---|--:|---|---|---|"
    return f"{caption[:1].upper()}{caption[1:]}.\n\n{head}\n{rows}"


def replace_block(text: str, bench: str, block: str) -> str:
    """Put a block between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->``.

    Raises:
        ValueError: the text does not hold the pair of marks exactly once.
    """
    opening, closing = f"<!-- bench:{bench} -->", f"<!-- /bench:{bench} -->"
    return text.replace(f"{opening}{block_of(text, bench)}{closing}", f"{opening}\n{block}\n{closing}")


def block_of(text: str, bench: str) -> str:
    """What stands between the marks, marks not included."""
    opening, closing = f"<!-- bench:{bench} -->", f"<!-- /bench:{bench} -->"
    found = re.findall(f"{re.escape(opening)}(.*?){re.escape(closing)}", text, re.DOTALL)
    if len(found) != 1:
        raise ValueError(f"the document must hold {opening} and {closing} exactly once")
    return str(found[0])


def _cells(found: Figure) -> tuple[str, str, str, str, str]:
    holds = "" if found.holds is None else "yes" if found.holds else "NO"
    return found.figure, _number(found.value), found.unit, found.limit or "", holds


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"
