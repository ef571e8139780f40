"""``spec.training.optimizer``: one step of it, by torch's own functions.

The classes of ``torch.optim`` import ``torch._dynamo`` when they are first used: 6 s and 150 MB, which a small pod
notices more than the training. The functions under them, which do the arithmetic, do not.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import nn
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from modelservice.contract.optimizers import (
    AdaGrad,
    Adam,
    AdamW,
    GradientDescent,
    Optimizer,
    RmsProp,
    StochasticGradientDescent,
)
from modelservice.training.part import Part
from modelservice.training.ranks import ALONE, Ranks

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
"""As Kingma and Ba (2015) propose."""
_TINY = 1e-10
"""Keeps AdaGrad from a division by zero."""

Tensors = list[torch.Tensor]
Update = Callable[..., None]
"""Moves parameters: ``(parameters, gradients, *state, lr=...)``, each a list of tensors."""


class Step(Part):
    """Moves parameters against the gradients of a loss, and remembers what its method needs.

    Args:
        parameters: what is moved.
        update: how, a function of ``torch.optim``.
        learning_rate: size of a step.
        state: how many tensors, zeros at first, each parameter has.
        counts: whether the last of them is the number of steps, a scalar.
        clip_norm: most length of a gradient over all parameters.
        ranks: the processes that step together.
    """

    may_be_infinite = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        update: Update,
        *,
        learning_rate: float,
        state: int = 0,
        counts: bool = False,
        clip_norm: float | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._parameters = list(parameters)
        self._ranks = ranks
        self._update = update
        self._learning_rate = learning_rate
        self._clip_norm = clip_norm
        self._state: list[Tensors] = [[torch.zeros_like(one) for one in self._parameters] for _ in range(state)]
        if counts:
            self._state.append([torch.zeros(()) for _ in self._parameters])

    def __call__(self, loss: torch.Tensor, *, share: float = 1.0) -> None:
        """Do one step on a scalar loss, with this share of the learning rate."""
        self.accumulate((loss,), share=share)

    def accumulate(
        self, losses: Iterable[torch.Tensor], *, told: torch.Tensor | None = None, share: float = 1.0
    ) -> None:
        """Do one step on the sum of scalar losses, each of which is let go before the next is computed.

        Args:
            losses: of this process.
            told: what is added up over all processes of the training; see ``Ranks.gradients``.
            share: of the learning rate.
        """
        told = torch.zeros(()) if told is None else told
        gradients = self._ranks.gradients(losses, self._parameters, told)
        with torch.no_grad():
            if self._clip_norm is not None:
                share_kept = (self._clip_norm / self._ranks.norm(gradients)).clamp(max=1.0)
                gradients = [gradient * share_kept for gradient in gradients]
            self._update(list(self._parameters), gradients, *self._state, lr=self._learning_rate * share)

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """See ``Part``."""
        return {f"{kind}.{place}": one for kind, those in enumerate(self._state) for place, one in enumerate(those)}


def build_optimizer(
    settings: Optimizer,
    parameters: Iterable[nn.Parameter],
    *,
    clip_norm: float | None = None,
    ranks: Ranks = ALONE,
) -> Step:
    """The optimizer that is set; L1 and L2 are part of the loss (see ``penalties``), weight decay is none of them."""
    build = partial(Step, parameters, learning_rate=settings.chosen.learning_rate, clip_norm=clip_norm, ranks=ranks)
    match settings.chosen:
        case Adam():
            return build(_adam(decay=0.0), state=2, counts=True)
        case AdamW(weight_decay=decay):
            return build(_adam(decay=decay), state=2, counts=True)
        case StochasticGradientDescent(momentum=momentum, nesterov=nesterov):
            return build(_sgd(momentum, nesterov=nesterov), state=1)
        case GradientDescent():
            return build(_sgd(0.0), state=1)
        case AdaGrad():
            update = partial(adagrad, lr_decay=0.0, weight_decay=0.0, eps=_TINY, maximize=False)
            return build(update, state=1, counts=True)
        case RmsProp(decay=decay):
            return build(_rms_prop(decay), state=1, counts=True)
        case other:
            raise TypeError(f"no optimizer for {type(other).__name__}")


def learning_rate_field(settings: Optimizer) -> str:
    """Path of the step size that is in force, for messages."""
    return f"spec.training.optimizer.{settings.choice}.learningRate"


def _adam(*, decay: float) -> Update:
    def update(
        parameters: Tensors, gradients: Tensors, means: Tensors, squares: Tensors, steps: Tensors, *, lr: float
    ) -> None:
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            amsgrad=False,
            beta1=_BETA1,
            beta2=_BETA2,
            lr=lr,
            weight_decay=decay,
            decoupled_weight_decay=True,
            eps=_EPSILON,
            maximize=False,
        )

    return update


def _sgd(momentum: float, *, nesterov: bool = False) -> Update:
    """Classical momentum (Sutskever et al., 2013), whose velocity is 0 at first."""

    def update(parameters: Tensors, gradients: Tensors, velocities: Tensors, *, lr: float) -> None:
        sgd(
            parameters,
            gradients,
            list(velocities),
            weight_decay=0.0,
            momentum=momentum,
            lr=lr,
            dampening=0.0,
            nesterov=nesterov,
            maximize=False,
        )

    return update


def _rms_prop(decay: float) -> Update:
    def update(parameters: Tensors, gradients: Tensors, squares: Tensors, steps: Tensors, *, lr: float) -> None:
        rmsprop(
            parameters,
            gradients,
            squares,
            [],
            [],
            steps,
            lr=lr,
            alpha=decay,
            eps=_EPSILON,
            weight_decay=0.0,
            momentum=0.0,
            centered=False,
        )

    return update
