"""The target of a table that is read piece by piece."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelservice.cells import Missing, number_text
from modelservice.contract.failure import DataError
from modelservice.contract.task import Task as AskedTask
from modelservice.modalities.table.columns import blanked, texts_of
from modelservice.modalities.table.parquet_pieces import ParquetPieces
from modelservice.modalities.table.source import TARGET_FIELD, TableSource
from modelservice.modalities.table.survey import MAX_TEXTS, TextCounts
from modelservice.modalities.table.table import Table
from modelservice.tasks.base import Target, TargetCells, Task
from modelservice.tasks.choice import choose_task
from modelservice.tasks.labels import with_positive


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedTarget:
    """What is predicted, and how its cells are read.

    Attributes:
        task: the task.
        target: the different texts, read; of numbers some of them.
        texts: how often each comes; None of numbers, whose cells are numbers themselves.
        rule: what is missing.
        notes: sentences about what was inferred and how it was read.
    """

    task: Task
    target: Target
    texts: TextCounts | None
    rule: Missing
    notes: tuple[str, ...]

    def read(self, cells: pa.Array, start: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values [rows] as in ``Target``, and which are present; ``start`` is the place of the first row.

        Raises:
            DataError: a number is too large.
            PassingError: the data was changed.
        """
        cells, _ = blanked(cells, self.rule)
        if self.texts is not None:
            codes = self.texts.codes(texts_of(cells))
            at = np.minimum(self.texts.shown(), len(self.target.values) - 1)[codes]
            return self.target.values[at], self.target.present[at] & (codes >= 0)
        values = np.array(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
        self._check(values, start)
        return values, ~np.isnan(values)

    def _check(self, values: NDArray[np.float64], start: int) -> None:
        """The task says of the largest number if it is too large."""
        if np.isnan(values).all():
            return
        row = int(np.nanargmax(np.abs(values)))
        texts = (number_text(float(values[row])), "0", "1")
        name, place = self.target.name, f"row {start + row}"
        self.task.read(TargetCells(name=name, codes=np.arange(3, dtype=np.int32), texts=texts, place=lambda _: place))


def read_target(
    pieces: ParquetPieces, name: str, missing: Sequence[str] | None, task: AskedTask | None
) -> StreamedTarget:
    """Look at all cells of the target.

    Args:
        pieces: the table.
        name: of the target, as the table has it.
        missing: ``spec.data.missing``.
        task: ``spec.task``, None to infer it.

    Raises:
        DataError: it is no target of the task, or has more different texts than can be counted.
    """
    rule, texts = Missing.of(missing), TextCounts()
    numbers = True
    for piece in pieces.read([name]):
        cells, _ = blanked(piece.columns[name], rule)
        numbers = not pa.types.is_string(cells.type)
        if not texts.overflows:
            texts.add(texts_of(cells), piece.start + np.arange(len(cells)))
    if texts.overflows and not numbers:
        message = f"column {name} has more than {MAX_TEXTS} different texts, which are no classes: name another column"
        raise DataError("TooManyClasses", message, field=TARGET_FIELD)
    seen = Table(columns={name: texts.cells()}, sha256="", place=texts.place)
    cells_seen = TableSource(seen).target(name, missing)
    chosen, inferred = choose_task(task, cells_seen)
    target = chosen.read(cells_seen)
    if task is not None and task.classification is not None and task.classification.positive_label is not None:
        target = with_positive(target, task.classification.positive_label)
    return StreamedTarget(
        task=chosen,
        target=target,
        texts=texts if target.labels or not numbers else None,
        rule=rule,
        notes=(*inferred, *cells_seen.notes, *target.notes),
    )
