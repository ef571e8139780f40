"""The training loop: epochs over shuffled batches, keeping the weights of the best validation loss."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from modelservice.contract.training import Hyperparameters
from modelservice.training.errors import TrainingError
from modelservice.training.optimizers import Step, build_optimizer, learning_rate_field
from modelservice.training.penalties import penalized_weights, penalty

_EVALUATION_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Encoded rows on the training device: ``features`` float32 [rows, width], ``classes`` int64 [rows]."""

    features: torch.Tensor
    classes: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch came to; losses are means over rows, in nats."""

    number: int
    of: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float


Observer = Callable[[Epoch], None]


def train_module(
    module: nn.Sequential,
    *,
    train: Rows,
    validation: Rows,
    settings: Hyperparameters,
    generator: torch.Generator,
    observe: Observer,
) -> int:
    """Train in place; the module ends with the weights of the epoch with the lowest validation loss.

    Args:
        module: initialised, on the device of the rows.
        train: rows to learn from.
        validation: rows that choose the epoch.
        settings: what decides the result.
        generator: draws the order of the rows, on the CPU.
        observe: called after each epoch.

    Returns:
        The number of the best epoch, from 1.

    Raises:
        TrainingError: the loss is no longer a finite number.
    """
    step = build_optimizer(settings.optimizer, module.parameters())
    best = BestWeights(module)
    for number in range(1, settings.epochs + 1):
        train_loss = _run_epoch(module, step, train, settings, generator)
        validation_loss, accuracy = _measure(module, validation)
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            raise _diverged(number, settings)
        best.offer(validation_loss, number)
        observe(
            Epoch(
                number=number,
                of=settings.epochs,
                train_loss=train_loss,
                validation_loss=validation_loss,
                validation_accuracy=accuracy,
            )
        )
    best.restore()
    return best.epoch


class BestWeights:
    """The best weights so far, in one copy that is allocated once."""

    def __init__(self, module: nn.Module) -> None:
        self.epoch = 0
        self._loss = math.inf
        self._parameters = list(module.parameters())
        self._kept = [torch.empty_like(parameter) for parameter in self._parameters]

    def offer(self, loss: float, epoch: int) -> None:
        """Keep the present weights if their loss is lower than any before."""
        if loss < self._loss:
            self._loss, self.epoch = loss, epoch
            _copy(self._parameters, self._kept)

    def restore(self) -> None:
        """Put the kept weights back into the module."""
        _copy(self._kept, self._parameters)


@torch.inference_mode()
def compute_logits(module: nn.Sequential, features: torch.Tensor) -> torch.Tensor:
    """Float32 [rows, classes] on the CPU, computed in slices of bounded memory, without dropout."""
    module.eval()
    return torch.cat([module(part).cpu() for part in torch.split(features, _EVALUATION_ROWS)])


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
    step: Step,
    rows: Rows,
    settings: Hyperparameters,
    generator: torch.Generator,
) -> float:
    module.train()
    weights = penalized_weights(module)
    total = torch.zeros((), device=rows.features.device)
    order = torch.randperm(len(rows.classes), generator=generator).to(rows.features.device)
    for batch in torch.split(order, settings.batch_size):
        loss = functional.cross_entropy(module(rows.features[batch]), rows.classes[batch])
        loss = loss + penalty(weights, l1=settings.l1, l2=settings.l2)
        step(loss)
        total += loss.detach() * len(batch)
    return float(total) / len(rows.classes)


def _measure(module: nn.Sequential, rows: Rows) -> tuple[float, float]:
    logits = compute_logits(module, rows.features)
    classes = rows.classes.cpu()
    accuracy = (logits.argmax(dim=1) == classes).double().mean()
    return float(functional.cross_entropy(logits, classes)), float(accuracy)


def _copy(source: list[nn.Parameter] | list[torch.Tensor], target: list[nn.Parameter] | list[torch.Tensor]) -> None:
    with torch.no_grad():
        for theirs, ours in zip(source, target, strict=True):
            ours.copy_(theirs)


def _diverged(epoch: int, settings: Hyperparameters) -> TrainingError:
    field = learning_rate_field(settings.optimizer)
    rate = settings.optimizer.chosen.learning_rate
    message = f"the loss was no longer a finite number in epoch {epoch}: lower {field}, which is {rate:g}"
    return TrainingError("Diverged", message, field=field)
