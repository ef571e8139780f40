"""The column to predict, as class codes."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelservice.data.cells import number_text, quoted
from modelservice.data.columns import is_number, parse_numbers, text_column, trimmed
from modelservice.data.errors import DataError

MAX_CLASSES = 100
MIN_ROWS_OF_A_CLASS = 2
FIELD = "spec.data.target"
_WHOLE = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """Class codes, int64 [rows] indexing ``labels``; -1 where the target is missing."""

    name: str
    codes: NDArray[np.int64]
    labels: tuple[str, ...]


def read_target(name: str, cells: pa.Array) -> Target:
    """Encode the labels, in the order of their text or, where all are whole numbers, of the numbers.

    Args:
        name: the column's name.
        cells: strings or float64; null is missing.

    Raises:
        DataError: the values are measurements rather than classes, or there are too many or too few of a class.
    """
    text = _number_texts(name, cells) if pa.types.is_floating(cells.type) else _texts(name, trimmed(cells))
    column = text_column(name, text)
    counts = Counter(column.texts[code] for code in column.codes if code >= 0)
    _check_classes(name, counts)
    labels = tuple(sorted(counts, key=_order(counts)))
    code_of = {label: code for code, label in enumerate(labels)}
    lookup = np.array([*(code_of.get(label, -1) for label in column.texts), -1])
    return Target(name=name, codes=lookup[column.codes], labels=labels)


def _texts(name: str, text: pa.Array) -> pa.Array:
    present = text.drop_null()
    if len(present) and pc.all(is_number(present)).as_py():
        return _number_texts(name, pa.array(parse_numbers(text), from_pandas=True))
    return text


def _number_texts(name: str, cells: pa.Array) -> pa.Array:
    """Whole numbers as text ("0", "1"), so that 1 and 1.0 are one class."""
    numbers = np.array(cells.to_numpy(zero_copy_only=False), dtype=np.float64)
    present = numbers[~np.isnan(numbers)]
    measured = present[~np.isfinite(present) | (present != np.round(present))]
    if measured.size:
        raise DataError(
            "ContinuousTarget",
            f"column {name} holds measurements such as {measured[0]:g}, and only classes can be predicted now:"
            " name another column, or replace the numbers by classes such as low and high",
            field=FIELD,
        )
    return pa.array([None if np.isnan(number) else number_text(float(number)) for number in numbers], type=pa.string())


def _check_classes(name: str, counts: Counter[str]) -> None:
    if not counts:
        raise DataError("EmptyTarget", f"column {name} is empty in every row: fill in the classes", field=FIELD)
    if len(counts) > MAX_CLASSES:
        raise DataError(
            "TooManyClasses",
            f"column {name} has {len(counts)} different values, and at most {MAX_CLASSES} classes can be predicted:"
            " name a column of classes",
            field=FIELD,
        )
    if len(counts) == 1:
        only = quoted(next(iter(counts)))
        raise DataError(
            "SingleClass",
            f"column {name} holds only the class {only}, so there is nothing to tell apart: add rows of other classes",
            field=FIELD,
        )
    label, rows = min(counts.items(), key=lambda item: (item[1], item[0]))
    if rows < MIN_ROWS_OF_A_CLASS:
        raise DataError(
            "ClassTooSmall",
            f"column {name} has the class {quoted(label)} in one row only, and one to learn from and one to test with"
            " are needed: add rows of it, remove it, or name another column",
            field=FIELD,
        )


def _order(counts: Counter[str]) -> "type[int] | type[str]":
    return int if all(_WHOLE.fullmatch(label) for label in counts) else str
