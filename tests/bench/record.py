"""How a bench says what it found: a table on the screen, a JSON file, and a block in the README."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "bench"
README = ROOT / "README.md"


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
    """Print the table and write ``build/bench/BENCH.json``, and the block of the README where asked for.

    Args:
        bench: name of the bench.
        figures: in the order of the table.
        caption: one line on how it was measured.
        readme: whether to rewrite the README's block of this bench.

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
        text = README.read_text(encoding="utf-8")
        README.write_text(replace_block(text, bench, markdown(figures, caption=caption)), encoding="utf-8")
    return 1 if any(found.holds is False for found in figures) else 0


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
    pattern = re.compile(f"{re.escape(opening)}.*?{re.escape(closing)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"the README must hold {opening} and {closing} exactly once")
    return pattern.sub(lambda _: f"{opening}\n{block}\n{closing}", text)


def _cells(found: Figure) -> tuple[str, str, str, str, str]:
    holds = "" if found.holds is None else "yes" if found.holds else "NO"
    return found.figure, _number(found.value), found.unit, found.limit or "", holds


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"
