"""``spec.training.optimizer`` and ``spec.training.schedule``: how a network steps, and how its rate changes."""

from typing import Self

from pydantic import Field, model_validator

from modelservice.contract.base import Contract, OneOf, Rule

_NESTEROV = Rule(
    "!has(self.nesterov) || !self.nesterov || (has(self.momentum) && self.momentum > 0.0)",
    "nesterov needs momentum: set it, usually to 0.9",
)


class Adam(Contract):
    """Adam (Kingma and Ba, 2015)."""

    learning_rate: float = Field(
        default=0.01, gt=0, le=10, description="Step size. Default 0.01. A change trains again."
    )


class AdamW(Contract):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    learning_rate: float = Field(
        default=0.003, gt=0, le=10, description="Step size. Default 0.003. A change trains again."
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Each step shrinks weights and biases by the factor 1 - learningRate x weightDecay. Default 0.01."
        " A change trains again.",
    )


class StochasticGradientDescent(Contract):
    """Stochastic gradient descent, with momentum where asked for."""

    RULES = (_NESTEROV,)

    learning_rate: float = Field(default=0.1, gt=0, le=10, description="Step size. Default 0.1. A change trains again.")
    momentum: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the last step that is kept. Default 0. A change trains again."
    )
    nesterov: bool = Field(
        default=False,
        description="Nesterov's momentum: the gradient is looked at where the last step leads. Default false."
        " A change trains again.",
    )

    @model_validator(mode="after")
    def _has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError(_NESTEROV.message)
        return self


class GradientDescent(Contract):
    """Gradient descent on all training rows at once: one step in each epoch, and no batchSize."""

    learning_rate: float = Field(default=0.1, gt=0, le=10, description="Step size. Default 0.1. A change trains again.")


class AdaGrad(Contract):
    """AdaGrad (Duchi, Hazan and Singer, 2011): steps by the square root of the sum of all squared gradients."""

    learning_rate: float = Field(
        default=0.05, gt=0, le=10, description="Step size. Default 0.05. A change trains again."
    )


class RmsProp(Contract):
    """RMSProp (Tieleman and Hinton, 2012): steps by the square root of a running mean of squared gradients."""

    learning_rate: float = Field(
        default=0.01, gt=0, le=10, description="Step size. Default 0.01. A change trains again."
    )
    decay: float = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="Share of the running mean that is kept. Default 0.99. A change trains again.",
    )


class Optimizer(OneOf):
    """Exactly one optimizer with its own parameters."""

    adam: Adam | None = Field(default=None, description="Adam.")
    sgd: StochasticGradientDescent | None = Field(default=None, description="Stochastic gradient descent.")
    adam_w: AdamW | None = Field(default=None, description="Adam with decoupled weight decay.")
    gradient_descent: GradientDescent | None = Field(default=None, description="Gradient descent on all rows at once.")
    ada_grad: AdaGrad | None = Field(default=None, description="AdaGrad.")
    rms_prop: RmsProp | None = Field(default=None, description="RMSProp.")


class Cosine(Contract):
    """Half a cosine from the learning rate down (Loshchilov and Hutter, 2017), after a linear warm-up."""

    warm_up_epochs: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Epochs in which the rate rises to its full size. Default 0. A change trains again.",
    )
    final_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of the rate in the last epoch. Default 0. A change trains again."
    )


class Stairs(Contract):
    """The rate falls by a factor every so many epochs."""

    every_epochs: int = Field(ge=1, le=100_000, description="Epochs of each stair. A change trains again.")
    factor: float = Field(
        default=0.1, gt=0, lt=1, description="What the rate is multiplied by. Default 0.1. A change trains again."
    )


class Plateau(Contract):
    """The rate falls by a factor when the validation loss has not improved for some epochs."""

    patience: int = Field(
        default=10, ge=1, le=100_000, description="Epochs without improvement. Default 10. A change trains again."
    )
    factor: float = Field(
        default=0.5, gt=0, lt=1, description="What the rate is multiplied by. Default 0.5. A change trains again."
    )


class Schedule(OneOf):
    """Exactly one way in which the learning rate changes from epoch to epoch."""

    cosine: Cosine | None = Field(default=None, description="Half a cosine down to nothing.")
    step: Stairs | None = Field(default=None, description="Down by a factor every so many epochs.")
    plateau: Plateau | None = Field(default=None, description="Down by a factor where nothing improves.")
