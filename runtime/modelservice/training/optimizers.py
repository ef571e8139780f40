"""``spec.training.optimizer``: one step of it, by torch's own functions.

The classes of ``torch.optim`` import ``torch._dynamo`` when they are first used: 6 s and 150 MB, which a small pod
notices more than the training. The functions under them, which do the arithmetic, do not.
"""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from modelservice.contract.training import Adam, Optimizer, StochasticGradientDescent

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
"""As Kingma and Ba (2015) propose."""


class Step(Protocol):
    """Moves parameters against the gradients of a loss, and remembers what its method needs."""

    def __call__(self, loss: torch.Tensor) -> None:
        """Do one step on a scalar loss."""


def build_optimizer(settings: Optimizer, parameters: Iterable[nn.Parameter]) -> Step:
    """The optimizer that is set, without weight decay: penalties are part of the loss (see ``penalties``)."""
    match settings.chosen:
        case Adam() as chosen:
            return AdamStep(list(parameters), learning_rate=chosen.learning_rate)
        case StochasticGradientDescent() as chosen:
            return SgdStep(list(parameters), learning_rate=chosen.learning_rate, momentum=chosen.momentum)
        case other:
            raise TypeError(f"no optimizer for {type(other).__name__}")


def learning_rate_field(settings: Optimizer) -> str:
    """Path of the step size that is in force, for messages."""
    return f"spec.training.optimizer.{settings.choice}.learningRate"


class AdamStep:
    """Adam (Kingma and Ba, 2015)."""

    def __init__(self, parameters: list[nn.Parameter], *, learning_rate: float) -> None:
        self._parameters = parameters
        self._learning_rate = learning_rate
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = [torch.zeros(()) for _ in parameters]

    def __call__(self, loss: torch.Tensor) -> None:
        """Do one step."""
        gradients = torch.autograd.grad(loss, self._parameters)
        with torch.no_grad():
            adam(
                list(self._parameters),
                list(gradients),
                self._means,
                self._squares,
                [],
                self._steps,
                amsgrad=False,
                beta1=_BETA1,
                beta2=_BETA2,
                lr=self._learning_rate,
                weight_decay=0.0,
                eps=_EPSILON,
                maximize=False,
            )


class SgdStep:
    """Stochastic gradient descent, with classical momentum where it is not 0 (Sutskever et al., 2013)."""

    def __init__(self, parameters: list[nn.Parameter], *, learning_rate: float, momentum: float) -> None:
        self._parameters = parameters
        self._learning_rate = learning_rate
        self._momentum = momentum
        self._velocities: list[torch.Tensor | None] = [None for _ in parameters]

    def __call__(self, loss: torch.Tensor) -> None:
        """Do one step."""
        gradients = torch.autograd.grad(loss, self._parameters)
        with torch.no_grad():
            sgd(
                list(self._parameters),
                list(gradients),
                self._velocities,
                weight_decay=0.0,
                momentum=self._momentum,
                lr=self._learning_rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
