"""The training loop: epochs over shuffled batches, keeping the weights of the best validation loss."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import nn

from modelservice.contract.failure import StageError
from modelservice.contract.training import Hyperparameters
from modelservice.training.checkpoint import ModuleWeights, Training, resumable
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing
from modelservice.training.curves import CurveRecorder, Epoch
from modelservice.training.losses import Objective
from modelservice.training.optimizers import build_optimizer, learning_rate_field
from modelservice.training.part import Part
from modelservice.training.penalties import penalized_weights
from modelservice.training.position import Position
from modelservice.training.precision import check_precision, computed_in
from modelservice.training.ranks import ALONE, Ranks
from modelservice.training.schedules import Pace

MAX_SLICE = 8192
"""Most rows that are computed at once when nothing is learned."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Encoded rows on the training device: ``features`` float32 [rows, *shape], ``targets`` [rows].

    ``weights`` float32 [rows], where rows do not count alike, are 1 on the mean.
    """

    features: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, places: torch.Tensor) -> "Rows":
        """Some of the rows."""
        weights = None if self.weights is None else self.weights[places]
        return Rows(features=self.features[places], targets=self.targets[places], weights=weights)

    def part(self, own: slice) -> "Rows":
        """Some that follow each other; nothing is copied."""
        weights = None if self.weights is None else self.weights[own]
        return Rows(features=self.features[own], targets=self.targets[own], weights=weights)

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """An order of the rows."""
        return torch.randperm(len(self), generator=generator)

    def batches(self, drawn: torch.Tensor, size: int, *, skip: int) -> "Iterator[Rows]":
        """See ``Batches``."""
        for places in torch.split(drawn.to(self.features.device), size)[skip:]:
            yield self.take(places)


class Batches(Protocol):
    """Rows to learn from: ``Rows`` that are held, or such as come from elsewhere."""

    def __len__(self) -> int:
        """How many there are."""

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """What decides the order of an epoch."""

    def batches(self, drawn: torch.Tensor, size: int, *, skip: int) -> Iterator[Rows]:
        """All rows in the order that was drawn, so many at a time, on the training device.

        Args:
            drawn: what ``draw`` gave.
            size: rows of a batch; the last one may have fewer.
            skip: batches at the begin that are left out.
        """


Augment = Callable[[Rows, torch.Generator], Rows]
"""Rows of a batch, and a generator on the CPU, to rows on the same device that are learned from instead."""


def train_module(
    module: nn.Sequential,
    *,
    objective: Objective,
    train: Batches,
    validation: Rows,
    settings: Hyperparameters,
    generator: torch.Generator,
    observe: Callable[[Epoch], None],
    slice_rows: int = MAX_SLICE,
    augments: Sequence[Augment] = (),
    recorder: CurveRecorder | None = None,
    checkpointing: Checkpointing = BEGINS_ANEW,
    ranks: Ranks = ALONE,
) -> int:
    """Train in place; the module ends with the weights of the epoch with the lowest validation loss.

    A training that goes on from a checkpoint ends as one that was never interrupted: bit for bit on the same kind of
    machine, with as many threads.

    Args:
        module: initialised, on the device of the rows; of several ranks one that they prepared.
        objective: what is minimised.
        train: rows to learn from.
        validation: rows that choose the epoch.
        settings: what decides the result.
        generator: draws the order of the rows, on the CPU.
        observe: called after each epoch.
        slice_rows: validation rows that are computed at once.
        augments: change the rows of each batch; see ``augmentation``.
        recorder: is told of each epoch, those before an interruption included.
        checkpointing: where it is kept how far the training is.
        ranks: the processes that train it, each of which calls this with the same rows and settings.

    Returns:
        The number of the best epoch, from 1.

    Raises:
        StageError: the loss is no longer a finite number, or the GPU cannot compute in the precision that is set.
    """
    check_precision(settings.precision, validation.features.device)
    step = build_optimizer(settings.optimizer, module.parameters(), clip_norm=settings.gradient_clip_norm, ranks=ranks)
    pace = Pace(settings.schedule, settings.early_stopping, epochs=settings.epochs)
    best = BestWeights(module, epochs=settings.epochs)
    recorder = recorder or CurveRecorder(metric=objective.metric)
    rows_of_step = step_rows(settings, len(train)) * settings.gradient_accumulation
    position = Position(
        generator,
        epochs=settings.epochs,
        steps=math.ceil(len(train) / rows_of_step),
        device=validation.features.device,
    )
    training = Training(position, module=ModuleWeights(module), optimizer=step, pace=pace, best=best, curves=recorder)
    with resumable(checkpointing, training, ranks) as session:
        if session.resume() and recorder.last is not None:
            observe(recorder.last)
        while position.epoch <= settings.epochs and not pace.is_over:
            number = position.epoch
            train_loss = _run_epoch(
                module,
                partial(step.accumulate, share=pace.share(number)),
                train,
                objective=objective,
                settings=settings,
                position=position,
                augments=augments,
                offer=session.offer,
                ranks=ranks,
            )
            outputs = ranks.outputs(module, validation.features, slice_rows=slice_rows)
            # Another kind of machine may round otherwise, and all must do the same.
            validation_loss, metric = ranks.as_first(*_measure(outputs, objective, validation))
            if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
                raise _diverged(number, settings)
            best.offer(validation_loss, number)
            epoch = Epoch(
                number=number,
                of=settings.epochs,
                train_loss=train_loss,
                validation_loss=validation_loss,
                metric=metric,
            )
            recorder(epoch)
            observe(epoch)
            pace.observe(validation_loss)
            position.next_epoch()
    best.restore()
    return best.epoch


def step_rows(settings: Hyperparameters, rows: int) -> int:
    """How many of the rows a step looks at."""
    return rows if settings.optimizer.gradient_descent is not None else min(settings.batch_size, rows)


class BestWeights(Part):
    """The best weights so far, in one copy that is allocated once."""

    def __init__(self, module: nn.Module, *, epochs: int) -> None:
        self.epoch, self._epochs = 0, epochs
        self._loss = math.inf
        # Also what is learned without a gradient, such as the spread of channels.
        self._weights = list(module.state_dict().values())
        # Zeros, since a checkpoint before the first epoch is to hold nothing else that was in memory.
        self._kept = [torch.zeros_like(one) for one in self._weights]

    def offer(self, loss: float, epoch: int) -> None:
        """Keep the present weights if their loss is lower than any before."""
        if loss < self._loss:
            self._loss, self.epoch = loss, epoch
            _copy(self._weights, self._kept)

    def restore(self) -> None:
        """Put the kept weights back into the module."""
        _copy(self._kept, self._weights)

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """See ``Part``."""
        return {str(place): one for place, one in enumerate(self._kept)}

    def numbers(self) -> Mapping[str, float]:
        """See ``Part``."""
        return {"epoch": self.epoch, "loss": self._loss}

    def refusal(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, float]) -> str | None:
        """See ``Part``."""
        if numbers["epoch"] > self._epochs:
            return f"epoch cannot be {numbers['epoch']} of {self._epochs}"
        return super().refusal(arrays, numbers)

    def load(self, numbers: Mapping[str, float]) -> None:
        """See ``Part``."""
        self.epoch, self._loss = int(numbers["epoch"]), numbers["loss"]


def compute_outputs(module: nn.Sequential, features: torch.Tensor, *, slice_rows: int = MAX_SLICE) -> torch.Tensor:
    """Float32 [rows, logits] on the CPU, computed in slices of bounded memory, without dropout."""
    return ALONE.outputs(module, features, slice_rows=slice_rows)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[torch.Generator]:
    """All randomness of a training from one seed; the caller's random state is as before afterwards.

    Gives the generator of initial weights and order; dropout draws from torch's own one, which is seeded, too.
    """
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def _run_epoch(
    module: nn.Sequential,
    step: Callable[..., None],
    rows: Batches,
    *,
    objective: Objective,
    settings: Hyperparameters,
    position: Position,
    augments: Sequence[Augment],
    offer: Callable[[], None],
    ranks: Ranks,
) -> float:
    """What is left of an epoch; ``offer`` is called after each step."""
    module.train()
    weights = penalized_weights(module)
    told = torch.zeros_like(position.total)

    def losses(group: Iterable[Rows], together: int) -> Iterator[torch.Tensor]:
        """Of each batch of a group: over all ranks they add up to the mean over its rows, so many together."""
        for given in group:
            batch, count = given, len(given)
            for augment in augments:
                batch = augment(batch, position.generator)
            own, share = ranks.share(count)
            batch = batch if share == 1 else batch.part(own)
            with computed_in(settings.precision, batch.features.device):
                logits = module(batch.features)
            loss = objective.loss(logits.float(), batch.targets, batch.weights)
            loss = loss if share == 1 else loss * share
            loss = loss + ranks.penalty(weights, l1=settings.l1, l2=settings.l2)
            told.add_(loss.detach() * count)
            yield loss if count == together else loss * (count / together)

    size, group = step_rows(settings, len(rows)), settings.gradient_accumulation
    batches = rows.batches(position.drawn(rows.draw), size, skip=position.steps * group)
    for start in range(position.steps * group * size, len(rows), group * size):
        step(losses(islice(batches, group), min(group * size, len(rows) - start)), told=told.zero_())
        position.total.add_(told)
        position.steps += 1
        offer()
    return float(position.total) / len(rows)


def _measure(outputs: torch.Tensor, objective: Objective, rows: Rows) -> tuple[float, float]:
    targets = rows.targets.cpu()
    weights = None if rows.weights is None else rows.weights.cpu()
    return float(objective.judge(outputs, targets, weights)), float(objective.measure(outputs, targets, weights))


def _copy(source: list[torch.Tensor], target: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for theirs, ours in zip(source, target, strict=True):
            ours.copy_(theirs)


def _diverged(epoch: int, settings: Hyperparameters) -> StageError:
    field = learning_rate_field(settings.optimizer)
    rate = settings.optimizer.chosen.learning_rate
    message = f"the loss was no longer a finite number in epoch {epoch}: lower {field}, which is {rate:g}"
    return StageError("Diverged", message, field=field)
