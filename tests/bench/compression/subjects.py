"""What is compressed: rows, layers and seeds, all of them fixed before the first fit."""

from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split

from modelservice.contract.model import ConvolutionalNetwork, MultilayerPerceptron
from modelservice.contract.training import Adam, Cosine, Hyperparameters, Optimizer, Schedule
from modelservice.families.base import Family
from modelservice.families.cnn import Cnn
from modelservice.families.mlp import Mlp
from modelservice.modalities.base import Dataset, Side
from modelservice.tasks import TASKS

SEEDS: Final = (0, 1, 2)
FOLDS: Final = 5
RATIO: Final = 20
TURN_EPOCHS: Final = 20
TRAINING: Final = Hyperparameters(
    optimizer=Optimizer(adam=Adam(learning_rate=0.001)),
    schedule=Schedule(cosine=Cosine()),
    epochs=30,
    batch_size=64,
)
"""Of the large network: 0.01, the default, is too much for a million parameters."""
FOLD_BUDGET: Final = 0.05
"""What ``auto`` may lose on one fold: the some 200 validation rows of a fold can hardly show that less is lost. The
limit of a subject is for all folds together."""
_VALIDATION: Final = 0.15
_LARGEST: Final = 16
"""Of a digit's grey levels."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network of about a million parameters, and the rows that it learns.

    Attributes:
        name: of data and family.
        budget: how much accuracy the mean over all folds may lose, upper end of the paired 95 % interval.
        faster: times more rows a second at batch 64, at least.
        shape: of a row.
        family: what trains it, by ``settings``.
    """

    name: str
    budget: float
    faster: float
    shape: tuple[int, ...]
    family: Family
    settings: Any


_MLP: Final = MultilayerPerceptron(hidden_layers=(960, 960))
_CNN: Final = ConvolutionalNetwork(channels=(64, 128, 256), hidden_layers=(1024, 350))

SUBJECTS: Final = (
    Subject(name="digits-mlp", budget=0.005, faster=2.0, shape=(64,), family=Mlp(), settings=_MLP),
    Subject(name="digits-cnn", budget=0.005, faster=3.0, shape=(1, 8, 8), family=Cnn(), settings=_CNN),
)


def subject_named(name: str) -> Subject:
    """One of ``SUBJECTS``."""
    return next(one for one in SUBJECTS if one.name == name)


def digits(shape: tuple[int, ...], *, seed: int, fold: int) -> tuple[Dataset, NDArray[np.int64]]:
    """A fold of scikit-learn's digits with validation rows of its own, and the numbers of its test rows.

    Args:
        shape: of a row.
        seed: of the folds.
        fold: from 0.
    """
    images, labels = load_digits(return_X_y=True)
    features = (images / _LARGEST * 2 - 1).astype(np.float32).reshape(-1, *shape)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(images, labels)
    learned, tested = list(folds)[fold]
    train, validation = train_test_split(learned, test_size=_VALIDATION, stratify=labels[learned], random_state=seed)
    train_side, validation_side, test_side = (
        Side(features=features[rows], values=labels[rows].astype(np.int64)) for rows in (train, validation, tested)
    )
    dataset = Dataset(
        modality="Table" if len(shape) == 1 else "Image",
        task=next(task for task in TASKS if task.name == "Multiclass"),
        target="digit",
        labels=tuple("0123456789"),
        inputs=(),
        preprocessing=cast("Any", None),  # no request is encoded here
        train=train_side,
        validation=validation_side,
        test=test_side,
        sha256="",
        rows=len(labels),
        dropped=0,
        features=64,
        notes=(),
    )
    return dataset, tested
