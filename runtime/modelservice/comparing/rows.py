"""Rows that two models are compared on: test rows from which neither learned, or others that somebody brings.

An artifact holds no rows and no answers to them. So test rows are divided again, from the very data that a model was
trained on, as ``spec.data`` says; and a model whose recorded metrics do not come out of them was tested on other ones.
It may have been trained on other data, divided by the same rule: then its artifact tells which of these rows it cannot
have learned from (see ``modalities.division``).
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.comparing.models import Model, NotComparableError
from modelservice.contract.data import Data
from modelservice.contract.manifest import PREPROCESSING_FILE
from modelservice.contract.task import Task as AskedTask
from modelservice.inference.batches import run_batches
from modelservice.modalities.base import Examples, FileOptions, InputError, Source
from modelservice.modalities.dataset import Divided, divide_rows
from modelservice.modalities.division import unseen_rows
from modelservice.modalities.encoders import OPENERS
from modelservice.modalities.sources import check_held, read_as, read_file
from modelservice.modalities.table.source import TableSource
from modelservice.modalities.tokenizers import tokenizer_of
from modelservice.modalities.weights import read_counting, read_weights
from modelservice.tasks.base import Array, Target, Weights
from modelservice.tasks.labels import codes_among

_RELATIVE, _ABSOLUTE = 1e-3, 1e-5
"""How far a metric may be from the one that was recorded: another machine adds in another order, and no more."""
_FIELD: Final = "--data"
_REMEDY: Final = "give rows that neither revision learned from"


class OtherRowsError(NotComparableError):
    """Rows are not those that a model was tested on."""

    def __init__(self, model: Model, why: str) -> None:
        super().__init__(f"these are not the test rows of {model.name}: {why}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """Rows with what is true of them, and the outputs of two models for them.

    Attributes:
        values: as in ``Target``, [rows].
        raw: outputs [rows, width] of each model.
        weights: how much each row counts, None where all count alike.
        tested: whether neither model learned from them; of rows that somebody brings nobody knows.
        dropped: rows without a value of the target, or of weight 0.
    """

    values: NDArray[Any]
    raw: tuple[Array, Array]
    weights: Weights | None
    tested: bool
    dropped: int

    def swapped(self) -> "Answered":
        """The same with the models the other way round."""
        first, second = self.raw
        return replace(self, raw=(second, first))

    def among(self, chosen: NDArray[np.bool_]) -> "Answered":
        """Only some of the rows, bool [rows]."""
        first, second = (outputs[chosen] for outputs in self.raw)
        weights = None if self.weights is None else self.weights[chosen]
        return replace(self, values=self.values[chosen], raw=(first, second), weights=weights)


def unseen(
    current: Model, candidate: Model, source: Source, data: Data, task: AskedTask | None, *, field: str
) -> Answered:
    """The test rows of a model from which an older one did not learn either.

    Args:
        current: the older one, of these data or others.
        candidate: the model that was made of these data.
        source: the data.
        data: ``spec.data``, which says how they are read and divided.
        task: ``spec.task``.
        field: what asks for the comparison.

    Returns:
        The rows, with the outputs of ``current`` before those of ``candidate``.

    Raises:
        OtherRowsError: these are not the test rows of the candidate.
        NotComparableError: nobody can tell from which rows the older one learned, or there is none left.
        DataError: they are not held, or cannot be read.
    """
    check_held(source, field=field)
    if candidate.data != source.sha256:
        raise OtherRowsError(candidate, f"it was trained on {candidate.data}, and this is {source.sha256}")
    divided, rows = _test_rows((current, candidate), source, data, task)
    if (why := _untested(candidate, 1, rows)) is not None:
        raise OtherRowsError(candidate, why)
    tested = _untested(current, 0, rows) is None
    if tested and current.data == source.sha256:
        return rows
    division = current.artifact.manifest.division
    known = None if division is None else unseen_rows(divided, data, division)
    if known is None and tested:
        return rows  # such as those of a file that only tests, beside other rows to learn from
    if known is None:
        raise NotComparableError(
            f"nobody can tell which of the {len(rows.values)} test rows {current.name} learned from: its data were read"
            " or divided in another way (spec.data), not by the content of rows alone, or by an older release"
        )
    if not len(known):
        raise NotComparableError(f"{current.name} may have learned from all of the {len(rows.values)} test rows")
    return rows.among(np.isin(divided.split.test, known))


def answered(models: tuple[Model, Model], file: Path, data: Data, task: AskedTask | None) -> Answered:
    """Read a file and let both models answer its rows: of a file that one learned from, its test rows; see ``unseen``.

    Args:
        models: of one task.
        file: the very file that one of them, or both, were trained on, or rows that none of them was.
        data: ``spec.data``, which says how it is read and divided.
        task: ``spec.task``.

    Raises:
        NotComparableError: the rows are not the same for both.
        DataError, ValueError, OSError: the file cannot be read, or a row holds a class that neither knows.
    """
    form = data.format_of(str(file))
    source = read_file(file, format=form, options=FileOptions.of(data), field=_FIELD)
    check_held(source, field=_FIELD)
    learned = [model for model in models if model.data == source.sha256]
    if not learned:
        return _other_rows(models, source, data)
    first, second = models
    try:
        if learned[-1] is second:
            return unseen(first, second, source, data, task, field=_FIELD)
        return unseen(second, first, source, data, task, field=_FIELD).swapped()
    except OtherRowsError as error:
        raise NotComparableError(
            f"{error}; spec.data.split, or how spec.data is read, is another than it was then: {_REMEDY}"
        ) from None
    except NotComparableError as error:
        raise NotComparableError(f"{error}: {_REMEDY}") from None


def _test_rows(
    models: tuple[Model, Model], source: Source, data: Data, task: AskedTask | None
) -> tuple[Divided, Answered]:
    """All rows as they are divided, and the test rows with what both answer."""
    divided = divide_rows(read_as(source, data, tokenizer=tokenizer_of(models[-1].artifact, data)), data, task)
    labels = models[-1].artifact.signature.labels
    if divided.target.labels != labels:
        found = ", ".join(divided.target.labels[:5]) or "numbers"
        raise NotComparableError(
            f"spec.data and spec.task now read {found} as classes: not what both learned; see spec.task"
        )
    test = divided.split.test
    assert divided.rows is not None  # noqa: S101 - it is held
    raw = _outputs(models, source, divided.examples, chosen=test, standing=divided.rows[test])
    weights = None if divided.weights is None else divided.weights[test]
    values = divided.target.values[test]
    return divided, Answered(values=values, raw=raw, weights=weights, tested=True, dropped=divided.dropped)


def _other_rows(models: tuple[Model, Model], source: Source, data: Data) -> Answered:
    signature = models[0].artifact.signature
    counting = read_counting(source, signature.target or data.target, data)
    cells = counting.target
    if signature.labels:
        codes = codes_among(cells, signature.labels)
        target = Target(name=cells.name, values=codes, present=codes >= 0, strata=codes, labels=signature.labels)
    else:
        target = models[0].task.read(cells)
    present = target.present
    weights = read_weights(counting, present)
    rows = np.flatnonzero(present)
    if not len(rows):
        raise NotComparableError(
            f"no row of {_FIELD} has a value in {cells.name}: give rows of which the truth is known"
        )
    target = Target(name=target.name, values=target.values, present=present, strata=target.strata, labels=target.labels)
    examples = None if isinstance(source, TableSource) else source.examples(data.features, target, data.missing)
    return Answered(
        values=target.values[rows],
        raw=_outputs(models, source, examples, chosen=np.arange(len(rows)), standing=rows),
        weights=None if weights is None else weights[rows],
        tested=False,
        dropped=len(present) - len(rows),
    )


def _outputs(
    models: tuple[Model, Model],
    source: Source,
    examples: Examples | None,
    *,
    chosen: NDArray[np.int64],
    standing: NDArray[np.int64],
) -> tuple[Array, Array]:
    """What both answer: columns are read as a server reads them, by each model in its own way.

    Args:
        models: see ``answered``.
        source: the rows.
        examples: those of the rows that have a target, where they are no columns.
        chosen: places among these.
        standing: places of the same rows in the source.
    """

    def run(model: Model) -> Array:
        predictor = model.predictor
        try:
            if isinstance(source, TableSource):
                frame = {name: column.take(standing) for name, column in source.table.columns.items()}
                features = predictor.encode(predictor.encoder.from_frame(frame))
            else:
                assert examples is not None  # noqa: S101 - of all that are no tables
                document = next(one.document for one in OPENERS if one.name == model.artifact.signature.modality)
                features = examples.encode(model.artifact.document(PREPROCESSING_FILE, document), chosen)
        except InputError as error:
            place = "" if error.row is None else f"{_place(source, int(standing[error.row]))}, "
            said = f"{place}{'' if error.column is None else f'column {error.column}: '}{error.message}"
            raise NotComparableError(f"{model.name} cannot read the rows: {said}") from error
        return run_batches(predictor.run, features)

    first, second = map(run, models)
    return first, second


def _place(source: Source, row: int) -> str:
    return source.table.place(row) if isinstance(source, TableSource) else f"row {row}"


def _untested(model: Model, place: int, rows: Answered) -> str | None:
    """Why these are not the test rows of a model: it does not come to what was recorded of it; None where it does."""
    labels = model.artifact.signature.labels
    recorded, found = model.tested, model.task.score(rows.raw[place], rows.values, labels, rows.weights).evaluation
    if recorded.rows != found.rows:
        return f"it was tested on {recorded.rows} rows, and {found.rows} are divided off here"
    for one in recorded.metrics:
        if (other := found.metric(one.name)) is None:
            return f"{one.name} is unknown"
        if not _is_near(one.value, other.value):
            return f"its {one.name} was {one.value:.6g}, and is {other.value:.6g} here"
    return None


def _is_near(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
