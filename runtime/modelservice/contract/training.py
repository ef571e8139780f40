"""``spec.training``: what decides the result of a training, and how its Job runs."""

from pydantic import Field

from modelservice.contract.base import Contract, OneOf
from modelservice.contract.pods import PodSettings


class Adam(Contract):
    """Adam (Kingma and Ba, 2015)."""

    learning_rate: float = Field(
        default=0.01, gt=0, le=10, description="Step size. Default 0.01. A change trains again."
    )


class StochasticGradientDescent(Contract):
    """Stochastic gradient descent, with classical momentum where asked for."""

    learning_rate: float = Field(default=0.1, gt=0, le=10, description="Step size. Default 0.1. A change trains again.")
    momentum: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the last step that is kept. Default 0. A change trains again."
    )


class Optimizer(OneOf):
    """Exactly one optimizer with its own parameters."""

    adam: Adam | None = Field(default=None, description="Adam.")
    sgd: StochasticGradientDescent | None = Field(default=None, description="Stochastic gradient descent.")


class Hyperparameters(Contract):
    """The part of ``spec.training`` that decides the result, and with it the key of the revision."""

    optimizer: Optimizer = Field(
        default=Optimizer(adam=Adam()), description="Default adam with learning rate 0.01. A change trains again."
    )
    l1: float = Field(
        default=0.0, ge=0, le=1, description="Weight of the L1 penalty. Default 0. A change trains again."
    )
    l2: float = Field(
        default=0.0001, ge=0, le=1, description="Weight of the L2 penalty. Default 0.0001. A change trains again."
    )
    epochs: int = Field(
        default=60, ge=1, le=100_000, description="Passes over the data. Default 60. A change trains again."
    )
    batch_size: int = Field(
        default=16, ge=1, le=65_536, description="Rows in a step. Default 16. A change trains again."
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Seed of initial weights, order and dropout. Default 0. A change trains again.",
    )


class Training(Hyperparameters, PodSettings):
    """Hyperparameters, and how the training Job runs; a change of the latter restarts an unfinished Job only."""

    timeout_seconds: int = Field(
        default=86_400,
        ge=1,
        le=31_536_000,
        description="Seconds after which the Job is stopped. Default 86400 (a day).",
    )
    max_restarts: int = Field(
        default=3, ge=0, le=100, description="Restarts after a passing fault. Default 3; wrong data is not tried again."
    )

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Only what decides the result."""
        return Hyperparameters(**{name: getattr(self, name) for name in Hyperparameters.model_fields})
