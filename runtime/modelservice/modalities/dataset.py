"""What is learned from: a source after ``spec.data`` and ``spec.task`` were applied to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import quoted
from modelservice.contract.data import Data
from modelservice.contract.data import Split as Shares
from modelservice.contract.failure import DataError
from modelservice.contract.task import Task as AskedTask
from modelservice.modalities.base import Dataset, Examples, Side, Source
from modelservice.modalities.split import Split, divide
from modelservice.modalities.split_columns import ColumnSplit, Deciding, chosen_column_split, divide_by_column
from modelservice.tasks.base import Target, TargetCells, Task
from modelservice.tasks.choice import choose_task


@dataclass(frozen=True, kw_only=True, eq=False)
class Divided:
    """The rows that have a target, and the side of each; ``dropped`` had none."""

    task: Task
    target: Target
    examples: Examples
    split: Split
    dropped: int
    notes: tuple[str, ...]


def build_dataset(source: Source, data: Data, task: AskedTask | None = None) -> Dataset:
    """Choose the task, read the target, divide the rows, measure the preprocessing on training rows, and encode.

    Args:
        source: the data.
        data: ``spec.data``.
        task: ``spec.task``, or None to infer it from the target.

    Raises:
        DataError: the data does not hold what ``spec.data`` says, or nothing can be learned from it.
    """
    divided = divide_rows(source, data, task)
    target, examples, split = divided.target, divided.examples, divided.split
    preprocessing, inputs = examples.fit(split.train)

    def side(rows: NDArray[np.int64]) -> Side:
        return Side(features=examples.encode(preprocessing, rows), values=target.values[rows])

    return Dataset(
        modality=source.modality,
        task=divided.task,
        target=target.name,
        labels=target.labels,
        inputs=inputs,
        preprocessing=preprocessing,
        train=side(split.train),
        validation=side(split.validation),
        test=side(split.test),
        sha256=source.sha256,
        rows=len(target.values),
        dropped=divided.dropped,
        features=examples.features,
        notes=divided.notes,
    )


def divide_rows(source: Source, data: Data, task: AskedTask | None = None) -> Divided:
    """Choose the task, read the target and divide the rows; for arguments and errors see ``build_dataset``."""
    cells = source.target(data.target, data.missing)
    chosen, inferred = choose_task(task, cells)
    read = chosen.read(cells)
    chosen_split = chosen_column_split(data.split)
    aside = (
        [] if chosen_split is None else [_aside(source, data, cells, name=chosen_split[1], field=chosen_split[0].field)]
    )
    examples = source.examples(data.features, read, data.missing, data.columns, [column.name for column in aside])
    target = _present(read)
    digests = examples.digests(target, seed=data.split.seed)
    if chosen_split is None:
        split, said = _by_content(digests, target, data.split)
    else:
        deciding = Deciding(cells=aside[0], rows=np.flatnonzero(read.present))
        split, said = _by_column(chosen_split[0], deciding, digests, target, data.split)
    _check_training(split, target)
    dropped = len(read.values) - len(target.values)
    unknown = (f"dropped {dropped} rows without a value in {target.name}",) if dropped else ()
    return Divided(
        task=chosen,
        target=target,
        examples=examples,
        split=split,
        dropped=dropped,
        notes=(*inferred, *cells.notes, *target.notes, *examples.notes, *unknown, *said),
    )


def _aside(source: Source, data: Data, target: TargetCells, *, name: str, field: str) -> TargetCells:
    """A column that is no feature by itself, with a cell for each of the target's.

    Raises:
        DataError: there is none, it is the target, or it has another length.
    """
    cells = source.aside(name, data.missing, field=field)
    if cells.name == target.name:
        message = f"{cells.noun} {cells.name} is the target: name another in {field}"
        raise DataError("ColumnNotClear", message, field=field)
    if len(cells.codes) != len(target.codes):
        counts = f"{cells.noun} {cells.name} has {len(cells.codes)} values, and {target.name} has {len(target.codes)}"
        raise DataError("LengthsDiffer", f"{counts}: give one value for each image", field=field)
    return cells


def _by_content(digests: list[bytes], target: Target, shares: Shares) -> tuple[Split, tuple[str, ...]]:
    """The split by hashes of rows, and sentences about classes that it cannot test."""
    split = divide(digests, target.strata.tolist(), validation=shares.validation, test=shares.test)
    if not len(split.validation) or not len(split.test):
        few = "no class has three different rows" if target.labels else "there are no three different rows"
        raise DataError("TooFewRows", f"{few}, so none are left to choose and to test a model with: add rows")
    untested = _absent(target, split.test)
    return split, tuple(f"class {label} is not tested: all its rows are equal" for label in untested)


def _by_column(
    chosen: ColumnSplit, deciding: Deciding, digests: list[bytes], target: Target, shares: Shares
) -> tuple[Split, tuple[str, ...]]:
    """The split by a column, and sentences about what it is and what it cannot promise."""
    split, said = divide_by_column(chosen, deciding, target.strata, shares)
    untested = (f"class {label} is not tested: no test row has it" for label in _absent(target, split.test))
    learned = {digests[row] for row in (*split.train, *split.validation)}
    copies = sum(digests[row] in learned for row in split.test)
    copied = (f"{copies} test rows equal rows that were learned from",) if copies else ()
    return split, (said, *untested, *copied)


def _absent(target: Target, rows: NDArray[np.int64]) -> list[str]:
    """Labels of the classes that none of some rows has."""
    present = set(target.values[rows].tolist())
    return [label for code, label in enumerate(target.labels) if code not in present]


def _check_training(split: Split, target: Target) -> None:
    """Refuse training rows from which nothing, or less than all, can be learned."""
    train = target.values[split.train]
    if (train == train[0]).all():
        message = f"all training rows have the same value of {target.name}, so there is nothing to learn: add rows"
        raise DataError("SingleValue", message)
    if unknown := _absent(target, split.train):
        message = f"no training row has the class {quoted(unknown[0])}, so it cannot be learned"
        raise DataError("ClassUntrained", f"{message}: add rows of it, remove it, or divide the rows in another way")


def _present(target: Target) -> Target:
    """The target of the rows that have one."""
    rows = np.flatnonzero(target.present)
    return Target(
        name=target.name,
        values=target.values[rows],
        present=target.present[rows],
        strata=target.strata[rows],
        labels=target.labels,
        notes=target.notes,
    )
