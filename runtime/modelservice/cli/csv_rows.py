"""Rows of a CSV file to ask a model about, whether it is here or in a cluster."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path


def read_csv_rows(
    path: Path, *, check: Callable[[Sequence[str]], None] = lambda _: None
) -> list[dict[str, str | None]]:
    """Rows by column name; cells stay texts, which the model reads as it reads those of its training data.

    Args:
        path: of a file with a header.
        check: refuses a header.

    Raises:
        csv.Error: cells cannot be told apart, or do not belong to one column each.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)  # else a quote that nobody closes takes all rows that follow
        names = reader.fieldnames or ()
        if twice := next((name for name in names if name and names.count(name) > 1), None):
            raise csv.Error(f"its header has the column {twice!r:.80} twice")
        check(names)
        rows = []
        for row in reader:
            if None in row or None in row.values():
                wrong = "more" if None in row else "fewer"
                raise csv.Error(f"the row that ends in line {reader.line_num} has {wrong} cells than the header")
            rows.append({name: text or None for name, text in row.items() if name})
        return rows
