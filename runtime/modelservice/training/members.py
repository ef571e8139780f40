"""Training an ensemble: all members step at once, each on rows of its own, and each keeps its best epoch.

A member learns from its rows and is measured on those that it keeps back. The loss is the sum over members, whose
weights are apart, so each gets the gradients of its own loss; the steps are those of AdamW (Loshchilov and Hutter,
2019) along half a cosine.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.optim.adam import adam

from modelservice.contract.failure import StageError
from modelservice.training.checkpoint import ModuleWeights, Training, resumable
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing
from modelservice.training.curves import CurveRecorder, Epoch
from modelservice.training.member_losses import MemberObjective
from modelservice.training.part import Part
from modelservice.training.position import Position
from modelservice.training.ranks import ALONE, Ranks

_BETA1, _BETA2, _EPSILON = 0.9, 0.95, 1e-8
_DECAY = 0.01
_MEASURED = 2**17
"""Rows of all members that are measured at once."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How an ensemble is trained.

    Attributes:
        members: networks.
        epochs: of each.
        batch: rows of a step of each.
        learning_rate: of the first step.
    """

    members: int
    epochs: int
    batch: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class MemberRows:
    """Rows of each member as places in the data, int64 [members, most rows of any member].

    A shorter list is filled up from its own begin; ``counts`` [members] says how many are its own.
    """

    places: torch.Tensor
    counts: torch.Tensor

    @classmethod
    def of(cls, lists: list[torch.Tensor], *, device: str = "cpu") -> "MemberRows":
        """Lists of places, none empty."""
        most = max(map(len, lists))
        filled = [places[torch.arange(most) % len(places)] for places in lists]
        counts = torch.tensor([len(places) for places in lists])
        return cls(places=torch.stack(filled).to(device), counts=counts.to(device))

    def own(self) -> torch.Tensor:
        """Which places are no filling, bool [members, most rows]."""
        return torch.arange(self.places.shape[1], device=self.places.device) < self.counts[:, None]


@dataclass(frozen=True, kw_only=True)
class MemberData:
    """What members learn from: ``features`` float32 [rows, inputs], ``targets`` [rows], ``weights`` [rows], mean 1."""

    features: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def train_members(
    module: nn.Module,
    *,
    data: MemberData,
    learned: MemberRows,
    kept: MemberRows,
    objective: MemberObjective,
    plan: Plan,
    generator: torch.Generator,
    observe: Callable[[Epoch], None],
    recorder: CurveRecorder | None = None,
    checkpointing: Checkpointing = BEGINS_ANEW,
    ranks: Ranks = ALONE,
) -> None:
    """Train in place; each member ends with the weights of the epoch with its lowest loss on the rows it kept back.

    It goes on from a checkpoint as ``train_module`` does.

    Args:
        module: initialised; takes [members, rows, inputs] and gives [members, rows, logits].
        data: all rows.
        learned: those that each member learns from.
        kept: those that choose its epoch.
        objective: what is minimised.
        plan: how.
        generator: draws the order of the rows, on the CPU.
        observe: called after each epoch; losses and metric are means over members.
        recorder: is told of each epoch, those before an interruption included.
        checkpointing: where it is kept how far the training is.
        ranks: the processes that train it; each holds all members, and has a share of the rows of a step.

    Raises:
        StageError: the loss is no longer a finite number.
    """
    best = BestMembers(module, members=plan.members, device=data.features.device)
    batches = max(1, round(learned.places.shape[1] / plan.batch))
    descent = _Descent(module, plan.learning_rate, steps=plan.epochs * batches, ranks=ranks)
    recorder = recorder or CurveRecorder(metric=objective.metric)
    position = Position(generator, epochs=plan.epochs, steps=batches, device=data.features.device)
    training = Training(position, module=ModuleWeights(module), descent=descent, best=best, curves=recorder)
    with resumable(checkpointing, training, ranks) as session:
        if session.resume() and recorder.last is not None:
            observe(recorder.last)
        while position.epoch <= plan.epochs:
            module.train()
            for batch in position.drawn(partial(_shuffled, learned, batches))[position.steps :]:
                own, share = ranks.share(batch.shape[1])
                places = batch[:, own]
                losses = objective.loss(module(data.features[places]), data.targets[places]) * data.weights[places]
                told = losses.detach().mean() * share
                descent.step(losses.mean(dim=1).sum() * share, told)
                position.total.add_(told)
                position.steps += 1
                session.offer()
            loss, metric = _measure(module, data, kept, objective, ranks)
            if not (math.isfinite(float(position.total)) and bool(torch.isfinite(loss).all())):
                raise _diverged(position.epoch)
            best.offer(loss, position.epoch)
            epoch = Epoch(
                number=position.epoch,
                of=plan.epochs,
                train_loss=float(position.total) / batches,
                validation_loss=float(loss.mean()),
                metric=float(metric.mean()),
            )
            recorder(epoch)
            observe(epoch)
            position.next_epoch()
    best.restore()


class BestMembers(Part):
    """The best weights so far of each member, in one copy that is allocated once."""

    may_be_infinite = True

    def __init__(self, module: nn.Module, *, members: int, device: torch.device) -> None:
        self.epochs = torch.zeros(members, dtype=torch.int64, device=device)
        self._losses = torch.full((members,), math.inf, device=device)
        self._parameters = _trained(module)
        # Zeros, since a checkpoint before the first epoch is to hold nothing else that was in memory.
        self._kept = [torch.zeros_like(parameter) for parameter in self._parameters]

    def offer(self, losses: torch.Tensor, epoch: int) -> None:
        """Keep the present weights of those members whose loss is lower than any before."""
        better = losses < self._losses
        self._losses[better], self.epochs[better] = losses[better], epoch
        with torch.no_grad():
            for kept, parameter in zip(self._kept, self._parameters, strict=True):
                kept[better] = parameter[better]

    def restore(self) -> None:
        """Put the kept weights back into the module."""
        with torch.no_grad():
            for kept, parameter in zip(self._kept, self._parameters, strict=True):
                parameter.copy_(kept)

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """See ``Part``."""
        return {"epochs": self.epochs, "losses": self._losses, **_numbered("kept", self._kept)}


class _Descent(Part):
    """AdamW with a rate that falls along half a cosine."""

    may_be_infinite = True

    def __init__(self, module: nn.Module, learning_rate: float, *, steps: int, ranks: Ranks) -> None:
        self._parameters, self._ranks = _trained(module), ranks
        self._means = [torch.zeros_like(one) for one in self._parameters]
        self._squares = [torch.zeros_like(one) for one in self._parameters]
        self._counts = [torch.zeros(()) for _ in self._parameters]
        self._learning_rate, self._done, self._steps = learning_rate, 0, steps

    def step(self, loss: torch.Tensor, told: torch.Tensor) -> None:
        gradients = self._ranks.gradients((loss,), self._parameters, told)
        rate = self._learning_rate * (1 + math.cos(math.pi * self._done / self._steps)) / 2
        self._done += 1
        with torch.no_grad():
            adam(
                list(self._parameters),
                gradients,
                self._means,
                self._squares,
                [],
                self._counts,
                decoupled_weight_decay=True,
                amsgrad=False,
                beta1=_BETA1,
                beta2=_BETA2,
                lr=rate,
                weight_decay=_DECAY,
                eps=_EPSILON,
                maximize=False,
            )

    def tensors(self) -> Mapping[str, torch.Tensor]:
        lists = {"means": self._means, "squares": self._squares, "counts": self._counts}
        return {name: one for kind, those in lists.items() for name, one in _numbered(kind, those).items()}

    def numbers(self) -> Mapping[str, float]:
        return {"done": self._done}

    def load(self, numbers: Mapping[str, float]) -> None:
        self._done = int(numbers["done"])


def _numbered(name: str, tensors: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{name}.{place}": one for place, one in enumerate(tensors)}


def _trained(module: nn.Module) -> list[torch.Tensor]:
    return [one for one in module.parameters() if one.requires_grad]


@torch.inference_mode()
def _measure(
    module: nn.Module, data: MemberData, kept: MemberRows, objective: MemberObjective, ranks: Ranks
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and metric of each member on the rows that it kept back."""
    module.eval()
    size = max(1, _MEASURED // kept.places.shape[0])
    shares = torch.where(kept.own(), data.weights[kept.places], 0)
    # Rows that a member kept may all weigh nothing.
    shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-12)
    loss, metric = (torch.zeros(len(kept.counts), device=shares.device) for _ in range(2))
    own, part = ranks.share(kept.places.shape[1])
    ours, shares = kept.places[:, own], shares[:, own] * (part > 0)
    for start in range(0, ours.shape[1], size):
        places, share = ours[:, start : start + size], shares[:, start : start + size]
        outputs, targets = module(data.features[places]), data.targets[places]
        loss += (objective.judge(outputs, targets) * share).sum(dim=1)
        metric += (objective.measure(outputs, targets) * share).sum(dim=1)
    ranks.add_up(loss, metric)
    return loss, metric


def _shuffled(learned: MemberRows, batches: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Batches [members, rows]: each member's rows in an order of its own, in batches of one size."""
    order = torch.argsort(torch.rand(learned.places.shape, generator=generator), dim=1)
    size = -(-order.shape[1] // batches)
    order = order[:, torch.arange(size * batches) % order.shape[1]].to(learned.places.device)
    return list(torch.split(torch.gather(learned.places, 1, order), size, dim=1))


def _diverged(epoch: int) -> StageError:
    message = (
        f"the loss of the ensemble was no longer a finite number in epoch {epoch}: set spec.model.mlp.ensemble to 1,"
        " and an optimizer with a small learningRate"
    )
    return StageError("Diverged", message, field="spec.model.mlp.ensemble")
