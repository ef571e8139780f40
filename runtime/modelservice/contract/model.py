"""``spec.model``: the family of models that is trained."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelservice.contract.artifact_source import ArtifactSource
from modelservice.contract.base import Contract, OneOf, Rule
from modelservice.contract.encoders import Encoder, PretrainedModel
from modelservice.contract.estimators import (
    DecisionTree,
    GradientBoosting,
    KernelRidge,
    LogisticRegression,
    RandomForest,
    SupportVectorMachine,
)
from modelservice.contract.networks import ConvolutionalNetwork, MultilayerPerceptron, RecurrentNetwork, Transformer


class BlendCandidate(StrEnum):
    """A model that ``auto`` may blend, as reports name it."""

    NETWORK = "network"
    LINEAR = "linear"
    DISCRIMINANT = "discriminant"
    KERNEL_RIDGE = "kernelRidge"
    RANDOM_FOREST = "randomForest"
    GRADIENT_BOOSTING = "gradientBoosting"


class BlendMetric(StrEnum):
    """What the shares of a blend are chosen by; the first two are for classes, the others for numbers."""

    LOG_LOSS = "LogLoss"
    ACCURACY = "Accuracy"
    SQUARED_ERROR = "SquaredError"
    ABSOLUTE_ERROR = "AbsoluteError"


_EACH_CANDIDATE_ONCE = Rule(
    "!has(self.candidates) || self.candidates.all(one, self.candidates.filter(other, other == one).size() == 1)",
    "each candidate may stand once: take the second out",
)


class Auto(Contract):
    """A blend of an ensemble of networks, linear models, kernel ridge and, with more rows, trees."""

    RULES = (_EACH_CANDIDATE_ONCE,)

    candidates: Annotated[tuple[BlendCandidate, ...], Field(min_length=1, max_length=8)] | None = Field(
        default=None,
        description="The only models that may be blended, of network, linear, discriminant, kernelRidge, randomForest"
        " and gradientBoosting. Default: all that suit the rows. A change trains again.",
    )
    metric: BlendMetric | None = Field(
        default=None,
        description="What the models' shares are chosen by, on rows that the models did not learn: LogLoss or Accuracy"
        " of classes, SquaredError or AbsoluteError of numbers. Default: LogLoss, or SquaredError. A change trains"
        " again.",
    )
    time_budget_seconds: int | None = Field(
        default=None,
        ge=1,
        le=604_800,
        description="Seconds for fitting: models are fitted from the cheapest on, and one that would not end in time is"
        " left out, so that the result depends on the machine. Default: no budget. A change trains again.",
    )

    @model_validator(mode="after")
    def _each_candidate_once(self) -> Self:
        if self.candidates is not None and len(set(self.candidates)) != len(self.candidates):
            raise ValueError(_EACH_CANDIDATE_ONCE.message)
        return self


class Model(OneOf):
    """Exactly one family of models."""

    mlp: MultilayerPerceptron | None = Field(default=None, description="A multilayer perceptron.")
    cnn: ConvolutionalNetwork | None = Field(default=None, description="A convolutional network, for images.")
    logistic: LogisticRegression | None = Field(default=None, description="Logistic regression, for classes.")
    svm: SupportVectorMachine | None = Field(default=None, description="A support vector machine.")
    decision_tree: DecisionTree | None = Field(default=None, description="A decision tree.")
    random_forest: RandomForest | None = Field(default=None, description="A random forest.")
    gradient_boosting: GradientBoosting | None = Field(default=None, description="Gradient boosting of trees.")
    kernel_ridge: KernelRidge | None = Field(default=None, description="Kernel ridge regression.")
    rnn: RecurrentNetwork | None = Field(default=None, description="A recurrent network, for texts.")
    transformer: Transformer | None = Field(default=None, description="A transformer encoder, for texts.")
    encoder: Encoder | None = Field(
        default=None, description="A pretrained model that reads texts or images, with a head that is trained."
    )
    artifact: ArtifactSource | None = Field(
        default=None, description="What was trained or packed elsewhere, served as it is. A change fetches it."
    )
    pretrained: PretrainedModel | None = Field(
        default=None,
        description="A pretrained model, served as it is: texts or images in, embeddings out. Needs no data.",
    )
    auto: Auto | None = Field(
        default=None,
        description="Several models, fitted and blended by how well each predicts rows that it did not learn.",
    )


GRADIENT_FAMILIES = frozenset({"mlp", "cnn", "rnn", "transformer"})
"""Trained by gradient steps: optimizer, epochs and penalties are for these, and torch can serve them."""

LAYERED_FAMILIES = frozenset({"mlp", "cnn"})
"""Of these a compression takes units out of layers, or changes weights; those of tokens have layers of another kind."""
