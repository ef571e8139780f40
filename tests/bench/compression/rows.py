"""Folds of rows: scikit-learn's digits and breast_cancer, and glyphs whose test fonts no network has seen."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from tests.bench.compression.fonts import FONTS, fetched
from tests.bench.compression.glyphs import CHARACTERS, rendered
from tests.bench.record import FOLDER

from modelservice.modalities.base import Dataset, Side
from modelservice.tasks import TASKS

HOME: Final = FOLDER / "compression"
"""Of fonts, models, and networks on the way."""
STORED: Final = Path(__file__).parent / "stored"
"""Of what the tables are made of: predictions and sizes of each fold. It is part of the repository, so that the bench
goes on from machine to machine, and anybody can make the tables again."""
FOLDS: Final = 5
_VALIDATION: Final = 0.15
_VALIDATION_FONTS: Final = 3
_LARGEST: Final = 16
"""Of a digit's grey levels."""

Indices = NDArray[np.int64]


class Rows(NamedTuple):
    """A fold: the dataset, and the numbers of its test rows among all rows."""

    dataset: Dataset
    tested: Indices


Fold = Callable[[int, int], Rows]
"""Seed and number of a fold, from 0, to its rows."""


def digits(shape: tuple[int, ...]) -> Fold:
    """1,797 digits of 8 x 8 grey levels, as rows of that shape."""

    def fold(seed: int, number: int) -> Rows:
        images, labels = load_digits(return_X_y=True)
        features = (images / _LARGEST * 2 - 1).astype(np.float32).reshape(-1, *shape)
        return _stratified(features, labels.astype(np.int64), tuple("0123456789"), seed, number)

    return fold


def breast_cancer(seed: int, number: int) -> Rows:
    """569 rows of 30 columns, standardised by the training rows."""
    values, labels = load_breast_cancer(return_X_y=True)
    train, _, _ = _sides(labels, seed, number)
    features = (values - values[train].mean(axis=0)) / values[train].std(axis=0)
    return _stratified(features.astype(np.float32), labels.astype(np.int64), ("malignant", "benign"), seed, number)


def glyphs(seed: int, number: int) -> Rows:
    """12,400 pictures of 62 characters in 25 fonts: five fonts test, three choose and the others teach.

    Grey levels are standardised by the training rows, as ``spec.data`` of images has them: with a background of -1,
    small networks from scratch stopped at 17 of 100.
    """
    features, characters, fonts = rendered(tuple(fetched(HOME / "fonts")), seed)
    learned, tested = list(KFold(FOLDS, shuffle=True, random_state=seed).split(FONTS))[number]
    validation, train = learned[:_VALIDATION_FONTS], learned[_VALIDATION_FONTS:]
    sides = [np.flatnonzero(np.isin(fonts, chosen)) for chosen in (train, validation, tested)]
    mean, deviation = features[sides[0]].mean(), features[sides[0]].std()
    return Rows(dataset_of((features - mean) / deviation, characters, tuple(CHARACTERS), sides), sides[-1])


def _sides(labels: NDArray[Any], seed: int, number: int) -> tuple[Indices, Indices, Indices]:
    """Training, validation and test rows."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels)
    learned, tested = list(folds)[number]
    train, validation = train_test_split(learned, test_size=_VALIDATION, stratify=labels[learned], random_state=seed)
    return train, validation, tested


def _stratified(features: NDArray[np.float32], labels: Indices, names: tuple[str, ...], seed: int, number: int) -> Rows:
    sides = _sides(labels, seed, number)
    return Rows(dataset_of(features, labels, names, sides), sides[-1])


def dataset_of(
    features: NDArray[np.float32], labels: Indices, names: tuple[str, ...], sides: Sequence[Indices]
) -> Dataset:
    """Rows for the families: of images where a row has several axes.

    Args:
        features: float32 [rows, *shape].
        labels: codes of ``names``, int64 [rows].
        names: of the classes.
        sides: places of training, validation and test rows.
    """
    train, validation, test = (Side(features=features[rows], values=labels[rows]) for rows in sides)
    shape = features.shape[1:]
    return Dataset(
        modality="Table" if len(shape) == 1 else "Image",
        task=next(task for task in TASKS if task.name == ("Multiclass" if len(names) > 2 else "Binary")),
        target="label",
        labels=names,
        inputs=(),
        preprocessing=cast("Any", None),  # no request is encoded here
        train=train,
        validation=validation,
        test=test,
        sha256="",
        rows=len(labels),
        dropped=0,
        features=int(np.prod(shape)),
        notes=(),
    )
