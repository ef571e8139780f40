"""What is compressed: rows, layers and seeds, all of them fixed before the first fit."""

from dataclasses import dataclass
from typing import Any, Final

from tests.bench.compression.glyphs import SIDE
from tests.bench.compression.rows import Fold, breast_cancer, digits, glyphs

from modelservice.contract.augmentation import Augmentation, Crop, Rotate
from modelservice.contract.networks import ConvolutionalNetwork, MultilayerPerceptron
from modelservice.contract.optimizers import Adam, Cosine, Optimizer, Schedule
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import Family
from modelservice.families.cnn import Cnn
from modelservice.families.mlp import Mlp

SEEDS: Final = (0, 1, 2)
RATIO: Final = 20
STUDENT_EPOCHS: Final = 100
"""Of a student of an ensemble, as ``distill`` has it where nothing is said; as many as the ensemble's own at most."""
TRAINING: Final = Hyperparameters(
    optimizer=Optimizer(adam=Adam(learning_rate=0.001)),
    schedule=Schedule(cosine=Cosine()),
    epochs=30,
    batch_size=64,
)
"""Of the large network: 0.01, the default, is too much for a million parameters."""
MOVED: Final = TRAINING.model_copy(
    update={"augmentation": Augmentation(rotate=Rotate(degrees=10), crop=Crop(pixels=SIDE // 14))}
)
"""Of a large network for glyphs: images are turned and moved as ``auto`` and the controls have them, so that nothing of
what that gains is taken for what compression does."""
FOLD_BUDGET: Final = 0.05
"""What ``auto`` may lose on one fold: the some 200 validation rows of a fold can hardly show that less is lost. The
limit of a subject is for all folds together."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, and the rows that it learns.

    Attributes:
        name: of data and family.
        rows: of each seed and fold.
        budget: how much accuracy the mean over all folds may lose, upper end of the paired 95 % interval.
        family: what trains it, by ``settings`` and ``training``.
        seeds: of folds and initial weights.
        turn_epochs: of ``auto``, after each turn.
        student: hidden layers of the network that an ensemble is distilled into; None where ``auto`` makes the trained
            network smaller.
        faster: times more rows a second at batch 64, at least; None where nothing is asked of it.
        beats_scratch: whether it has to be better than the same small network from scratch.
    """

    name: str
    rows: Fold
    budget: float
    family: Family
    settings: Any
    training: Hyperparameters = TRAINING
    seeds: tuple[int, ...] = SEEDS
    turn_epochs: int = 20
    student: tuple[int, ...] | None = None
    faster: float | None = None
    beats_scratch: bool = False


_MEMBER: Final = (128, 128)
"""The hidden layers of one network of the default ensemble."""

SUBJECTS: Final = (
    Subject(
        name="digits-mlp",
        rows=digits((64,)),
        budget=0.005,
        family=Mlp(),
        settings=MultilayerPerceptron(hidden_layers=(960, 960)),
        faster=2.0,
    ),
    Subject(
        name="digits-cnn",
        rows=digits((1, 8, 8)),
        budget=0.005,
        family=Cnn(),
        settings=ConvolutionalNetwork(channels=(64, 128, 256), hidden_layers=(1024, 350)),
        faster=3.0,
    ),
    Subject(
        name="digits-ensemble",
        rows=digits((64,)),
        budget=0.005,
        family=Mlp(),
        settings=MultilayerPerceptron(),
        training=Hyperparameters(),
        student=_MEMBER,
    ),
    Subject(
        name="breast_cancer-ensemble",
        rows=breast_cancer,
        budget=0.005,
        family=Mlp(),
        settings=MultilayerPerceptron(),
        training=Hyperparameters(),
        student=_MEMBER,
    ),
    Subject(
        name="glyphs-mlp",
        rows=glyphs,
        budget=0.01,
        family=Mlp(),
        settings=MultilayerPerceptron(hidden_layers=(720, 560)),
        training=MOVED.model_copy(update={"epochs": 60}),
        seeds=SEEDS[:1],
        turn_epochs=20,
        faster=2.0,
        beats_scratch=True,
    ),
    Subject(
        name="glyphs-cnn",
        rows=glyphs,
        budget=0.01,
        family=Cnn(),
        settings=ConvolutionalNetwork(channels=(24, 48, 96), hidden_layers=(800, 290)),
        training=MOVED.model_copy(update={"epochs": 20}),
        seeds=SEEDS[:1],
        turn_epochs=10,
        faster=3.0,
        beats_scratch=True,
    ),
)


def subject_named(name: str) -> Subject:
    """One of ``SUBJECTS``."""
    return next(one for one in SUBJECTS if one.name == name)
