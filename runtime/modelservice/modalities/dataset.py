"""What is learned from: a source after ``spec.data`` and ``spec.task`` were applied to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data import Data
from modelservice.contract.documents import Document
from modelservice.contract.failure import DataError
from modelservice.contract.signature import Input
from modelservice.contract.task import Task as AskedTask
from modelservice.modalities.base import Dataset, Examples, Groups, Side, Source
from modelservice.modalities.dividing import divide_target
from modelservice.modalities.scaling import NumberRules
from modelservice.modalities.split import Split
from modelservice.modalities.split_columns import Deciding, chosen_column_split
from modelservice.modalities.weights import WEIGHT_FIELD, Counting, check_length, read_counting, read_weights
from modelservice.tasks.base import Target, TargetCells, Task
from modelservice.tasks.choice import choose_task
from modelservice.tasks.labels import with_positive


@dataclass(frozen=True, kw_only=True, eq=False)
class Divided:
    """The rows that have a target and a weight, and the side of each; ``dropped`` lack one of them.

    ``keys`` hold rows together in folds, None where the split has none. ``rows`` says where they stand in the source,
    None where it is not held. ``groups`` number what holds rows together wherever they are divided once more: those of
    ``keys``, or equal rows where it has none; None where each row stands alone.
    """

    modality: str
    sha256: str
    task: Task
    target: Target
    examples: Examples
    split: Split
    keys: list[bytes] | None
    weights: NDArray[np.float64] | None
    dropped: int
    notes: tuple[str, ...]
    rows: NDArray[np.int64] | None = None
    groups: Groups | None = None


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
    return encode(divided, divided.split)


def encode(divided: Divided, split: Split) -> Dataset:
    """The dataset of some split of rows, with a preprocessing that is measured on its training rows.

    Raises:
        DataError: they cannot be encoded.
    """
    return encode_by(*divided.examples.fit(split.train), divided, split)


def encode_by(preprocessing: Document, inputs: tuple[Input, ...], divided: Divided, split: Split) -> Dataset:
    """The dataset of some split of rows, with a preprocessing that was measured before, and its inputs."""
    target, examples = divided.target, divided.examples

    def side(rows: NDArray[np.int64]) -> Side:
        return Side(
            features=examples.encode(preprocessing, rows),
            values=target.values[rows],
            weights=None if divided.weights is None else divided.weights[rows],
            groups=None if divided.groups is None else divided.groups[rows],
        )

    return Dataset(
        modality=divided.modality,
        task=divided.task,
        target=target.name,
        labels=target.labels,
        inputs=inputs,
        preprocessing=preprocessing,
        train=side(split.train),
        validation=side(split.validation),
        test=side(split.test),
        sha256=divided.sha256,
        rows=len(target.values),
        dropped=divided.dropped,
        features=examples.features,
        notes=divided.notes,
        codes=examples.codes(preprocessing),
    )


def divide_rows(source: Source, data: Data, task: AskedTask | None = None) -> Divided:
    """Choose the task, read the target and divide the rows; for arguments and errors see ``build_dataset``."""
    counting = read_counting(source, data.target, data)
    cells = counting.target
    chosen, inferred = choose_task(task, cells)
    columns = _columns_aside(source, data, counting)
    labelled = chosen.read(cells)
    if task is not None and task.classification is not None and task.classification.positive_label is not None:
        labelled = with_positive(labelled, task.classification.positive_label)
    weights, dropped = _weighed(labelled, counting)
    aside = [column.name for column in columns.values()]
    examples = source.examples(data.features, labelled, data.missing, data.columns, aside)
    if (rules := NumberRules.of(data)).changed is not None:
        examples = examples.by_rules(rules)
    rows = np.flatnonzero(labelled.present)
    target = _present(labelled)
    split = chosen_column_split(data.split)
    by = None if split is None else (split[0], Deciding(cells=columns[split[0].field], rows=rows))
    digests = examples.digests(target, seed=data.split.seed)
    given = None if source.given is None else source.given[rows]
    sides, said = divide_target(target, digests, data.split, by=by, given=given)
    keys = digests if by is None else by[0].keys(by[1], data.split)
    return Divided(
        modality=source.modality,
        sha256=source.sha256,
        task=chosen,
        target=target,
        examples=examples,
        split=sides,
        keys=keys,
        weights=None if weights is None else weights[rows],
        dropped=len(labelled.values) - len(rows),
        notes=(*inferred, *cells.notes, *target.notes, *examples.notes, *dropped, *said),
        rows=rows,
        groups=_numbered(digests if keys is None else keys),
    )


def _numbered(keys: list[bytes]) -> Groups | None:
    """Which of the different keys each row has; None where all differ."""
    numbers: dict[bytes, int] = {}
    found = np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), dtype=np.int64, count=len(keys))
    return found if len(numbers) < len(keys) else None


def _columns_aside(source: Source, data: Data, counting: Counting) -> dict[str, TargetCells]:
    """Columns that are no features by themselves, by the field that names them, with a cell for each of the target's.

    Raises:
        DataError: there is none of that name, it is the target, or it has another length.
    """
    target = counting.target
    found = {} if counting.column is None else {WEIGHT_FIELD: counting.column}
    if (split := chosen_column_split(data.split)) is not None:
        field, name = split[0].field, split[1]
        found[field] = source.aside(name, data.missing, field=field)
    for field, cells in found.items():
        if cells.name == target.name:
            message = f"{cells.noun} {cells.name} is the target: name another in {field}"
            raise DataError("ColumnNotClear", message, field=field)
        check_length(cells, target, field=field)
    return found


def _weighed(read: Target, counting: Counting) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """The weights of all rows, and what is said of them and of the rows that are left out."""
    column, left_out = counting.column, counting.left_out
    absent = absent_note(int((~read.present).sum()) - left_out, read.name)
    if column is None:
        return None, absent
    dropped = (f"dropped {left_out} rows of weight 0 in {column.name}",) if left_out else ()
    said = f"rows count by {column.noun} {column.name}, in training and in metrics"
    return read_weights(counting, read.present), (*absent, *dropped, said)


def absent_note(rows: int, target: str) -> tuple[str, ...]:
    """What is said of rows without a target, if there are any."""
    return (f"dropped {rows} rows without a value in {target}",) if rows else ()


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
