"""``spec.training``: what decides the result of a training, and how its Job runs."""

from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, model_validator

from modelservice.contract.augmentation import Augmentation
from modelservice.contract.base import Contract, OneOf, QueueName, Rule, Sha256
from modelservice.contract.locations import FolderUri
from modelservice.contract.optimizers import Adam, Optimizer, Schedule
from modelservice.contract.pods import PodSettings
from modelservice.contract.precision import Precision
from modelservice.contract.search import Search

_ALL_ROWS = Rule(
    "!has(self.optimizer) || !has(self.optimizer.gradientDescent)"
    " || !(has(self.batchSize) || has(self.gradientAccumulation))",
    "gradientDescent steps on all rows at once: leave batchSize and gradientAccumulation out, or take sgd",
)
_ONE_TRIAL_A_POD = Rule(
    "!has(self.workers) || self.workers == 1 || !has(self.search)",
    "the trials of a search are trained by one worker: leave workers or search out",
)


class EarlyStopping(Contract):
    """Ends the training when the validation loss has not improved; the best weights are kept in any case."""

    patience: int = Field(
        default=20, ge=1, le=100_000, description="Epochs without improvement. Default 20. A change trains again."
    )


class TrainedArtifact(Contract):
    """An artifact that was made before."""

    uri: FolderUri = Field(
        description="Its folder. Of a store, what the training pod may read; file:// is a folder of the trainer's"
        " image. A change trains nothing again: digest says which it is."
    )
    digest: Sha256 = Field(description="sha256 of its manifest: another one is refused. A change trains again.")


class Initialize(OneOf):
    """Exactly one source of the weights that a training begins with."""

    artifact: TrainedArtifact | None = Field(
        default=None, description="What was trained before, of the same architecture, inputs and labels."
    )


class Teacher(Contract):
    """A model whose outputs for the training rows are learned beside their labels (Hinton et al., 2015)."""

    artifact: TrainedArtifact = Field(
        description="What was trained before, of any family, with the same inputs, task and labels."
    )
    temperature: float = Field(
        default=2.0,
        gt=0,
        le=100,
        description="What logits are divided by before they are compared; without meaning for numbers. Default 2. A"
        " change trains again.",
    )
    weight: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="Share of the teacher in the loss; labels have the rest. Default 0.7. A change trains again.",
    )


_NO_MIXED_TEACHER = Rule(
    "!has(self.teacher) || !has(self.augmentation) || !has(self.augmentation.mixup)",
    "a teacher says nothing of rows that mixup makes: leave augmentation.mixup or teacher out",
)
_TWO_TO_MIX = Rule(
    "!has(self.augmentation) || !has(self.augmentation.mixup) || !has(self.batchSize) || self.batchSize > 1",
    "mixup needs another row in each batch: set batchSize to 2 or more, or leave augmentation.mixup out",
)


class Hyperparameters(Contract):
    """The part of ``spec.training`` that decides the result, and with it the key of the revision."""

    RULES: ClassVar[tuple[Rule, ...]] = (_NO_MIXED_TEACHER, _TWO_TO_MIX)

    optimizer: Optimizer = Field(
        default=Optimizer(adam=Adam()), description="Default adam with learning rate 0.01. A change trains again."
    )
    l1: float = Field(
        default=0.0, ge=0, le=1, description="Weight of the L1 penalty. Default 0. A change trains again."
    )
    l2: float = Field(
        default=0.0001, ge=0, le=1, description="Weight of the L2 penalty. Default 0.0001. A change trains again."
    )
    schedule: Schedule | None = Field(
        default=None, description="Default: the rate stays the same. A change trains again."
    )
    gradient_clip_norm: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="A gradient whose Euclidean length, over all weights, is beyond this is scaled down to it."
        " Default: none is. A change trains again.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="Default: all epochs are trained. A change trains again."
    )
    epochs: int = Field(
        default=60, ge=1, le=100_000, description="Passes over the data. Default 60. A change trains again."
    )
    batch_size: int = Field(
        default=16,
        ge=1,
        le=65_536,
        description="Rows in a step; gradientDescent takes none. Default 16. A change trains again.",
    )
    gradient_accumulation: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="Batches of batchSize rows whose gradients are averaged, by their rows, for a step: that of a batch"
        " so many times as large, in the memory of one. Default 1. A change trains again.",
    )
    precision: Precision = Field(
        default=Precision.FLOAT32,
        description="What layers compute in while they learn: BFloat16 is mixed precision, faster on GPUs of the Ampere"
        " generation and later, in less memory. Weights, their gradients and what is stored are float32 in any case."
        " Default Float32. A change trains again.",
    )
    initialize: Initialize | None = Field(
        default=None, description="What the weights begin with. Default: random ones. A change trains again."
    )
    teacher: Teacher | None = Field(
        default=None,
        description="Who teaches beside the labels. Default: nobody. A change trains again.",
    )
    augmentation: Augmentation | None = Field(
        default=None,
        description="How rows are changed before a step learns from them. Default: not at all. A change trains again.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Seed of initial weights, order, dropout and augmentation. Default 0. A change trains again.",
    )
    search: Search | None = Field(
        default=None, description="Default: what is written is trained, and nothing else. A change trains again."
    )

    @model_validator(mode="after")
    def _rows_can_be_mixed(self) -> Self:
        if self.augmentation is None or self.augmentation.mixup is None:
            return self
        if self.teacher is not None:
            raise ValueError(_NO_MIXED_TEACHER.message)
        if self.batch_size == 1:
            raise ValueError(_TWO_TO_MIX.message)
        return self

    @property
    def is_default(self) -> bool:
        """Whether all but the seed is left to its default; a value that equals it says nothing, as in keys."""
        return self.model_copy(update={"seed": 0}) == Hyperparameters()


OF_ANY_FAMILY = frozenset({"seed", "search"})
"""Hyperparameters that each family takes; all others say how to step."""


class Checkpoint(Contract):
    """How often a training keeps what the next pod goes on from, should this one be stopped."""

    every_seconds: int = Field(
        default=60,
        ge=1,
        le=86_400,
        description="Seconds between checkpoints, each of which replaces the one before. They lie beside the artifact,"
        " and go when that is complete. Default 60. A change trains nothing again, and counts for Jobs made later.",
    )


class Parallelism(StrEnum):
    """What each of several workers holds of a model."""

    DATA = "Data"
    SHARDED = "Sharded"


MAX_WORKERS = 64
"""Two digits at most: the names of the pods have no room for more."""


class Training(Hyperparameters, PodSettings):
    """Hyperparameters, and how the training Job runs; a change of the latter restarts an unfinished Job at most."""

    RULES = (*Hyperparameters.RULES, _ALL_ROWS, _ONE_TRIAL_A_POD)

    workers: int = Field(
        default=1,
        ge=1,
        le=MAX_WORKERS,
        description="Pods that train one network together, each on its share of every batch. Default 1. A change trains"
        " nothing again, and goes on from the last checkpoint.",
    )
    parallelism: Parallelism = Field(
        default=Parallelism.DATA,
        description="What each process of several holds: Data, the whole model, or Sharded, a part of its weights, for"
        " what does not fit one device. Default Data. A change trains nothing again.",
    )

    queue_name: QueueName | None = Field(
        default=None,
        description="LocalQueue of Kueue, of the same namespace, which decides when the Jobs of this ModelService run,"
        " those that compress and compare too. Default: they start at once. A change trains nothing again.",
    )
    timeout_seconds: int = Field(
        default=86_400,
        ge=1,
        le=31_536_000,
        description="Seconds after which the Job is stopped; those in a queue do not count. Default 86400 (a day).",
    )
    max_restarts: int = Field(
        default=3, ge=0, le=100, description="Restarts after a passing fault. Default 3; wrong data is not tried again."
    )
    checkpoint: Checkpoint = Field(
        default=Checkpoint(),
        description="Default: every minute, and when the pod is asked to end. mlp, cnn, rnn, transformer, the network"
        " of auto and an encoder's fineTune go on from there, all else begins anew.",
    )

    @model_validator(mode="after")
    def _steps_have_rows(self) -> Self:
        divides = {"batch_size", "gradient_accumulation"} & self.model_fields_set
        if self.optimizer.gradient_descent is not None and divides:
            raise ValueError(_ALL_ROWS.message)
        if self.workers > 1 and self.search is not None:
            raise ValueError(_ONE_TRIAL_A_POD.message)
        return self

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Only what decides the result."""
        return Hyperparameters(**{name: getattr(self, name) for name in Hyperparameters.model_fields})
