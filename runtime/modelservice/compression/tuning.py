"""Networks that learn on: from labels, and from what another model says of the same rows (``training.distillation``).

The same objective fine-tunes a network after units were taken out of it, with the network as it was before as its
teacher.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from modelservice.compression.base import StepContext
from modelservice.compression.lesson import Lesson
from modelservice.compression.network import StoredNetwork
from modelservice.contract.evaluation import Metric
from modelservice.contract.optimizers import Adam, Cosine, Optimizer, Schedule
from modelservice.contract.progress import Progress
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Architecture, OutputHead, Scale
from modelservice.families.gradient import slice_rows
from modelservice.families.modules import build, initialize
from modelservice.modalities.base import Features, Side
from modelservice.training.augmentation import build_augments
from modelservice.training.curves import Epoch
from modelservice.training.distillation import beside_teacher, targets_beside
from modelservice.training.loop import Augment, Rows, seeded, step_rows, train_module
from modelservice.training.losses import objective_of
from modelservice.training.threads import limited_threads, threads_for

RATE, FIRST_RATE = 0.003, 0.005
"""Adam's largest step, from trained weights and from initial ones; half a cosine leads down to nothing."""
_FEWEST, _MOST, _STEPS = 16, 128, 32
"""Rows of a step at least and at most, and how many steps an epoch has between."""


def batch_rows(rows: int) -> int:
    """Rows of a step, so that few rows have steps enough and many do not have too many."""
    return min(_MOST, max(_FEWEST, rows // _STEPS))


Hold = Callable[[nn.Sequential], Callable[[], None]]
"""Binds parameters while they learn, and gives what makes them plain again."""


def tune(network: StoredNetwork, lesson: Lesson, context: StepContext, *, hold: Hold | None = None) -> StoredNetwork:
    """Let a network learn on from its weights.

    Args:
        network: where it starts.
        lesson: how.
        context: rows and teacher.
        hold: what must not change on the way, such as zeros.

    Raises:
        StageError: the loss is no longer a finite number.
    """
    module = module_of(network)
    return _learn(module, network.architecture, lesson, context, rate=RATE, hold=hold)


def module_of(network: StoredNetwork) -> nn.Sequential:
    """The layers of a network with its weights, for torch."""
    module = build(network.architecture)
    module.load_state_dict({name: torch.tensor(array) for name, array in network.weights.items()})
    return module


def network_of(module: nn.Sequential, architecture: Architecture) -> StoredNetwork:
    """What a module of an architecture computes with now, in memory of its own."""
    weights = {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}
    return StoredNetwork(architecture=architecture, weights=weights)


def teach(architecture: Architecture, lesson: Lesson, context: StepContext) -> StoredNetwork:
    """Let a new network learn, from initial weights by the context's seed; errors as ``tune``."""
    module = build(architecture)
    initialize(module, torch.Generator().manual_seed(context.seed))
    return _learn(module, architecture, lesson, context, rate=FIRST_RATE)


def _learn(
    module: nn.Sequential,
    architecture: Architecture,
    lesson: Lesson,
    context: StepContext,
    *,
    rate: float,
    hold: Hold | None = None,
) -> StoredNetwork:
    dataset = context.learned
    own = objective_of(dataset.task.loss, dataset.loss)
    settings = Hyperparameters(
        optimizer=Optimizer(adam=Adam(learning_rate=rate)),
        schedule=Schedule(cosine=Cosine()),
        epochs=lesson.epochs,
        batch_size=batch_rows(len(dataset.train.values)),
        seed=context.seed,
    )

    def observe(epoch: Epoch) -> None:
        metric = Metric(name=own.metric, value=epoch.metric)
        context.observe(Progress(done=epoch.number, total=epoch.of, loss=epoch.validation_loss, metric=metric))

    work = architecture.multiply_adds * step_rows(settings, len(dataset.train.values))
    release = None if hold is None else hold(module)
    with (
        limited_threads(threads_for(work=work, available=torch.get_num_threads())),
        seeded(context.seed, "cpu") as generator,
    ):
        train_module(
            module,
            objective=beside_teacher(own, dataset.task.loss, temperature=lesson.temperature, weight=lesson.weight),
            train=_rows(dataset.train, context, architecture.head),
            validation=_rows(dataset.validation, context, architecture.head),
            settings=settings,
            generator=generator,
            observe=observe,
            slice_rows=slice_rows(architecture),
            augments=_augments(lesson, context, architecture.head),
        )
    if release is not None:
        release()
    return network_of(module, architecture)


def _rows(side: Side, context: StepContext, head: OutputHead) -> Rows:
    """Targets [rows, 1 + width]: what is true (a class code or a standardised number), then what the teacher says."""
    told, true = _told(context, side.features, head), side.values.astype(np.float64)
    if isinstance(head, Scale):
        true = (true - head.mean) / head.std
    weights = side.relative_weights
    return Rows(
        features=torch.from_numpy(side.features),
        targets=targets_beside(torch.from_numpy(true), torch.from_numpy(told)),
        weights=None if weights is None else torch.from_numpy(weights).float(),
    )


def _told(context: StepContext, features: Features, head: OutputHead) -> NDArray[np.float64]:
    """What the teacher says of rows, [rows, width]; numbers standardised."""
    told: NDArray[np.float64] = context.teacher(features).astype(np.float64)
    return (told - head.mean) / head.std if isinstance(head, Scale) else told


def _augments(lesson: Lesson, context: StepContext, head: OutputHead) -> tuple[Augment, ...]:
    """What is done to the rows of a step, after which the teacher is asked of them, where it counts."""
    augments = build_augments(lesson.augmentation, classes=0)
    return (*augments, _Asked(context, head)) if augments and lesson.weight else augments


@dataclass(frozen=True)
class _Asked:
    """The teacher is asked of rows as they are now."""

    context: StepContext
    head: OutputHead

    def __call__(self, rows: Rows, _generator: torch.Generator) -> Rows:
        """Targets with what it says in the place of what it said."""
        told = _told(self.context, rows.features.numpy(), self.head)
        return replace(rows, targets=targets_beside(rows.targets[:, 0], torch.from_numpy(told)))
