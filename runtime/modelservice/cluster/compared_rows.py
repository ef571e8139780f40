"""Rows that two models are compared on: the test rows of both, or others that somebody brings.

An artifact holds no rows and no answers to them, and does not say how its rows were divided. So test rows are divided
again, from the very file that both were trained on, as ``spec.data`` says; and a model whose recorded metrics do not
come out of them was tested on other ones.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.artifact.load import Artifact
from modelservice.cluster.errors import ClusterError
from modelservice.contract.data import Data
from modelservice.contract.evaluation import Evaluation
from modelservice.contract.manifest import METRICS_FILE, PREPROCESSING_FILE
from modelservice.contract.task import Task as AskedTask
from modelservice.inference.batches import run_batches
from modelservice.inference.predictor import Predictor
from modelservice.modalities.base import Examples, FileOptions, InputError, Source
from modelservice.modalities.dataset import divide_rows
from modelservice.modalities.encoders import OPENERS
from modelservice.modalities.sources import check_held, read_file
from modelservice.modalities.table.source import TableSource
from modelservice.modalities.text.source import TextSource
from modelservice.modalities.weights import WEIGHT_FIELD, read_weights
from modelservice.tasks import task_of
from modelservice.tasks.base import Array, Target, Task, Weights
from modelservice.tasks.labels import codes_among
from modelservice.tasks.metrics_document import MetricsDocument

_RELATIVE, _ABSOLUTE = 1e-3, 1e-5
"""How far a metric may be from the one that was recorded: another machine adds in another order, and no more."""
_FIELD: Final = "--data"


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A revision with its number, and what answers of its artifact."""

    number: int
    artifact: Artifact
    predictor: Predictor

    @classmethod
    def of(cls, number: int, artifact: Artifact) -> "Model":
        """Load the model of an artifact.

        Raises:
            ClusterError: it was packed, so nobody knows what it is good for; or it answers by an encoder alone.
            ArtifactError: it cannot be loaded.
        """
        if artifact.manifest.data is None or METRICS_FILE not in artifact.contents:
            raise ClusterError(
                f"revision {number} was packed, not trained: it says neither on what nor how good it is, which is"
                " all that could be compared"
            )
        if (encoder := artifact.manifest.encoder) is not None:
            raise ClusterError(
                f"revision {number} is a head that asks the encoder {encoder.name}, which does not answer here: ask"
                " both revisions themselves, in the cluster"
            )
        return cls(number=number, artifact=artifact, predictor=Predictor.from_artifact(artifact))

    @property
    def task(self) -> Task:
        """What it learned, with its threshold where it has one."""
        return task_of(self.artifact.signature)

    @property
    def data(self) -> str:
        """The digest of what it learned from."""
        assert self.artifact.manifest.data is not None  # noqa: S101 - of a trained one
        return self.artifact.manifest.data.sha256

    @property
    def tested(self) -> Evaluation:
        """What was recorded of it on its test rows."""
        return self.artifact.document(METRICS_FILE, MetricsDocument).test


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """Rows with what is true of them, and the outputs of two models for them.

    Attributes:
        values: as in ``Target``, [rows].
        raw: outputs [rows, width] of each model.
        weights: how much each row counts, None where all count alike.
        tested: whether these are the test rows of both; nobody knows whether other rows were learned from.
        dropped: rows without a value of the target, or of weight 0.
    """

    values: NDArray[Any]
    raw: tuple[Array, Array]
    weights: Weights | None
    tested: bool
    dropped: int


def answered(models: tuple[Model, Model], file: Path, data: Data, task: AskedTask | None) -> Answered:
    """Read a file and let both models answer its rows: of a file that both learned from, its test rows.

    Args:
        models: of one task.
        file: the very file that both were trained on, or rows that none of them was.
        data: ``spec.data``, which says how it is read and divided.
        task: ``spec.task``.

    Raises:
        ClusterError: the rows are not the same for both.
        DataError, ValueError, OSError: the file cannot be read, or a row holds a class that neither knows.
    """
    form = data.format_of(str(file))
    source = read_file(file, format=form, options=FileOptions.of(data), field=_FIELD)
    check_held(source, field=_FIELD)
    learned = [model for model in models if model.data == source.sha256]
    if len(learned) == 1:
        (one,), (other,) = learned, [model for model in models if model not in learned]
        raise ClusterError(
            f"{file} is the data of revision {one.number}, and revision {other.number} was trained on other data"
            f" ({other.data}), so their test rows are not the same: give rows that neither learned from"
        )
    return _test_rows(models, source, data, task) if learned else _other_rows(models, source, data)


def _test_rows(models: tuple[Model, Model], source: Source, data: Data, task: AskedTask | None) -> Answered:
    read = source if data.text is None else TextSource(source, data.text)
    divided = divide_rows(read, data, task)
    labels = models[0].artifact.signature.labels
    if divided.target.labels != labels:
        found = ", ".join(divided.target.labels[:5]) or "numbers"
        raise ClusterError(f"spec.data and spec.task now read {found} as classes: not what both learned; see spec.task")
    test = divided.split.test
    assert divided.rows is not None  # noqa: S101 - it is held
    raw = _outputs(models, source, divided.examples, chosen=test, standing=divided.rows[test])
    values = divided.target.values[test]
    weights = None if divided.weights is None else divided.weights[test]
    for model, outputs in zip(models, raw, strict=True):
        _check_tested(model, model.task.score(outputs, values, labels, weights).evaluation)
    return Answered(values=values, raw=raw, weights=weights, tested=True, dropped=divided.dropped)


def _other_rows(models: tuple[Model, Model], source: Source, data: Data) -> Answered:
    signature = models[0].artifact.signature
    cells = source.target(signature.target or data.target, data.missing)
    if signature.labels:
        codes = codes_among(cells, signature.labels)
        target = Target(name=cells.name, values=codes, present=codes >= 0, strata=codes, labels=signature.labels)
    else:
        target = models[0].task.read(cells)
    present, weights = target.present, None
    if data.sample_weight is not None:
        weights = read_weights(source.aside(data.sample_weight, data.missing, field=WEIGHT_FIELD), present)
        present = present & (weights > 0)
    rows = np.flatnonzero(present)
    if not len(rows):
        raise ClusterError(f"no row of {_FIELD} has a value in {cells.name}: give rows of which the truth is known")
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
            raise ClusterError(f"revision {model.number} cannot read the rows: {said}") from error
        return run_batches(predictor.run, features)

    first, second = map(run, models)
    return first, second


def _place(source: Source, row: int) -> str:
    return source.table.place(row) if isinstance(source, TableSource) else f"row {row}"


def _check_tested(model: Model, found: Evaluation) -> None:
    """Refuse rows on which a model does not come to what was recorded of it."""
    recorded = model.tested
    if recorded.rows == found.rows:
        pairs = ((one, found.metric(one.name)) for one in recorded.metrics)
        unlike = [(one, other) for one, other in pairs if other is None or not _is_near(one.value, other.value)]
        if not unlike:
            return
        one, other = unlike[0]
        said = (
            f"its {one.name} was {one.value:.6g}, and is {other.value:.6g} here" if other else f"{one.name} is unknown"
        )
    else:
        said = f"it was tested on {recorded.rows} rows, and {found.rows} are divided off here"
    raise ClusterError(
        f"these are not the test rows of revision {model.number}: {said}; spec.data.split, or how spec.data is read, is"
        " another than it was then: give rows that neither revision learned from"
    )


def _is_near(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
