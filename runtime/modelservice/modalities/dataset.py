"""What is learned from: a source after ``spec.data`` and ``spec.task`` were applied to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data import Data
from modelservice.contract.failure import DataError
from modelservice.contract.task import Task as AskedTask
from modelservice.modalities.base import Dataset, Examples, Side, Source
from modelservice.modalities.split import Split, divide
from modelservice.tasks.base import Target, Task
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
    examples = source.examples(data.features, read, data.missing, data.columns)
    target = _present(read)
    split = divide(
        examples.digests(target, seed=data.split.seed),
        target.strata.tolist(),
        validation=data.split.validation,
        test=data.split.test,
    )
    untested = _check_split(split, target)
    dropped = len(read.values) - len(target.values)
    unknown = (f"dropped {dropped} rows without a value in {target.name}",) if dropped else ()
    return Divided(
        task=chosen,
        target=target,
        examples=examples,
        split=split,
        dropped=dropped,
        notes=(*inferred, *cells.notes, *target.notes, *examples.notes, *unknown, *untested),
    )


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


def _check_split(split: Split, target: Target) -> tuple[str, ...]:
    if not len(split.validation) or not len(split.test):
        few = "no class has three different rows" if target.labels else "there are no three different rows"
        raise DataError("TooFewRows", f"{few}, so none are left to choose and to test a model with: add rows")
    train = target.values[split.train]
    if (train == train[0]).all():
        message = f"all training rows have the same value of {target.name}, so there is nothing to learn: add rows"
        raise DataError("SingleValue", message)
    absent = sorted(set(range(len(target.labels))) - set(target.values[split.test].tolist()))
    return tuple(f"class {target.labels[code]} is not tested: all its rows are equal" for code in absent)
