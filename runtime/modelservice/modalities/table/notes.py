"""What is worth a word about a column that is learned from."""

import re
from collections.abc import Iterator

import numpy as np

from modelservice.cells import number_text
from modelservice.modalities.table.columns import Column, NumericColumn, TextColumn
from modelservice.modalities.table.notation import parse

_DATE = re.compile(
    r"([0-9]{4}([-/.])[0-9]{1,2}\2[0-9]{1,2}|[0-9]{1,2}([-/.])[0-9]{1,2}\3([0-9]{4}|[0-9]{2}))([T ][0-9:.]+)?.{0,6}"
)
_FEWEST_ROWS = 20
"""In fewer rows a text may well come once by chance."""


def column_notes(column: Column) -> Iterator[str]:
    """Sentences about how a column was read, and what it will not tell of new rows."""
    if isinstance(column, NumericColumn):
        if column.sample is not None:
            number = parse(column.sample, column.notation) if column.notation else float(column.sample)
            yield f"column {column.name}: {column.sample} is read as the number {number_text(number or 0.0)}"
        return
    yield from _text_notes(column)


def _text_notes(column: TextColumn) -> Iterator[str]:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.texts))
    dates = sum(1 for text in column.texts if _DATE.fullmatch(text))
    if 2 * dates > len(column.texts):
        yield f"column {column.name} holds dates as categories: a new date is none of them, and counts as missing"
        return
    once = int((counts == 1).sum())
    if column.rows >= _FEWEST_ROWS and 2 * once >= int(counts.sum()):
        yield (
            f"column {column.name}: {once} of {int(counts.sum())} values come once, as in an identifier: what was not"
            " seen in training counts as missing"
        )
