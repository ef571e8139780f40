"""``spec.compression``: how a trained model is made smaller, and what that may cost."""

from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from modelservice.contract.base import Contract, OneOf, Rule
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.networks import Activation, Channels, HiddenLayers

FineTuneEpochs = Annotated[int, Field(ge=0, le=10_000)]


class WeightType(StrEnum):
    """What a weight is stored as."""

    INT8 = "Int8"
    INT4 = "Int4"


class Activations(StrEnum):
    """What the inputs of layers are while a request is computed."""

    NONE = "None"
    DYNAMIC = "Dynamic"
    STATIC = "Static"


_STATIC_OF_INT8 = Rule(
    "!has(self.activations) || self.activations != 'Static' || !has(self.weights) || self.weights == 'Int8'",
    "activations Static is for weights Int8: take Dynamic or None for Int4",
)


class Quantize(Contract):
    """Weights as small integers, and what layers compute with."""

    RULES = (_STATIC_OF_INT8,)

    weights: WeightType = Field(
        default=WeightType.INT8, description="Int8 or Int4: bits of a stored weight. Default Int8."
    )
    activations: Activations = Field(
        default=Activations.DYNAMIC,
        description="None: layers compute with floats. Dynamic: linear layers compute with integers, by a scale of each"
        " row. Static, for Int8: all layers do, by scales that training rows tell. Default Dynamic.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.activations is Activations.STATIC and self.weights is not WeightType.INT8:
            raise ValueError(_STATIC_OF_INT8.message)
        return self


class Structured(Contract):
    """Whole neurons and channels are taken out, and layers become narrower."""

    ratio: float = Field(
        gt=0, lt=1, description="Share of the neurons or channels of each layer that go; one stays in any case."
    )


class Unstructured(Contract):
    """The smallest weights of all layers become 0: fewer values that count, in a file of the same size."""

    ratio: float = Field(gt=0, lt=1, description="Share of all weights that become 0.")


class Prune(OneOf):
    """Exactly one way to leave out what matters least, and how the rest learns on after it."""

    COMMON: ClassVar[frozenset[str]] = frozenset({"fine_tune_epochs"})

    structured: Structured | None = Field(default=None, description="Takes whole neurons and channels out.")
    unstructured: Unstructured | None = Field(default=None, description="Sets single weights to 0.")
    fine_tune_epochs: FineTuneEpochs = Field(
        default=20,
        description="Passes over the training rows after it, from labels and from what the model said before. Default"
        " 20; 0 leaves it as it is.",
    )


class Clip(Contract):
    """Weights are clamped to a range; the narrower it is, the finer are the steps of weights of 8 bits."""

    limit: float = Field(gt=0, le=1e6, description="Largest absolute value of a weight; biases stay as they are.")
    fine_tune_epochs: FineTuneEpochs = Field(
        default=0, description="Passes over the training rows before it is clamped once more. Default 0."
    )


class LowRank(Contract):
    """Each layer of weights becomes two of a lower rank, by its singular values, where that takes fewer weights."""

    share: float = Field(
        gt=0, lt=1, description="Share of the singular values of each layer that stay, the largest; one in any case."
    )
    fine_tune_epochs: FineTuneEpochs = Field(
        default=20, description="Passes over the training rows after it. Default 20; 0 leaves it as it is."
    )


class ShareWeights(Contract):
    """The weights of each layer take few values, and are stored as numbers of these."""

    values: int = Field(
        default=16,
        ge=2,
        le=256,
        description="Of a layer at most, by k-means: up to 16 take 4 bits for each weight, more take 8. Default 16.",
    )
    fine_tune_epochs: FineTuneEpochs = Field(
        default=20, description="Passes over the training rows in which they learn on. Default 20."
    )


class StudentLayers(Contract):
    """Layers of a student, as spec.model has them; without dropout."""

    channels: Channels | None = Field(
        default=None, description="Channels of each convolution, 3 x 3 with pooling; images only. Default: none."
    )
    hidden_layers: HiddenLayers = Field(
        default=(32,), description="Width of each linear layer before the last. Default [32]."
    )
    activation: Activation = Field(default=Activation.RELU, description="Default ReLU.")


class Student(OneOf):
    """Exactly one way to say what the student is like."""

    size_ratio: float | None = Field(
        default=None,
        gt=1,
        le=10_000,
        description="The layers of the trained network, narrower, with this many times fewer parameters.",
    )
    layers: StudentLayers | None = Field(default=None, description="Layers of its own, whatever the teacher is.")


class Distill(Contract):
    """A small network learns from labels and from the probabilities of the trained model (Hinton et al., 2015)."""

    student: Student = Field(description="The small network.")
    epochs: int = Field(default=100, ge=1, le=10_000, description="Passes over the training rows. Default 100.")
    temperature: float = Field(
        default=2.0,
        gt=0,
        le=100,
        description="What logits are divided by before they are compared; without meaning for numbers. Default 2.",
    )
    weight: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="Share of the trained model in the loss; labels have the rest. Default 0.7.",
    )


class Auto(Contract):
    """Makes the network narrower in turns, then its weights 8-bit integers, as far as the budget allows.

    The validation rows choose the turn; the test rows judge it once.
    """

    target_size_ratio: float = Field(
        default=20,
        gt=1,
        le=10_000,
        description="How many times fewer parameters to reach, if the budget is kept on the way. Default 20.",
    )
    target_latency_ratio: float | None = Field(
        default=None,
        gt=1,
        le=10_000,
        description="How many times fewer multiply-adds a row to reach, too; Compressed says how many times faster 64"
        " rows are then on the machine that compressed. Default: none.",
    )
    fine_tune_epochs: FineTuneEpochs = Field(
        default=20,
        description="Passes over the training rows after each turn; after the last as many as before it together."
        " Default 20.",
    )


class Step(OneOf):
    """Exactly one kind of step."""

    quantize: Quantize | None = Field(default=None, description="Weights as small integers; the last step.")
    prune: Prune | None = Field(default=None, description="Leaves out what matters least; for mlp and cnn.")
    low_rank: LowRank | None = Field(
        default=None, description="Splits layers into two of a lower rank; for mlp and cnn."
    )
    clip: Clip | None = Field(default=None, description="Clamps weights to a range; for mlp and cnn.")
    share_weights: ShareWeights | None = Field(
        default=None, description="Few values for weights; the last step; for mlp and cnn."
    )
    distill: Distill | None = Field(default=None, description="A small network learns from the trained model.")
    auto: Auto | None = Field(
        default=None, description="Finds how far it can go by itself, for mlp and cnn; stands alone."
    )


class MaxDrop(Contract):
    """A metric by its name, and how much worse it may become."""

    metric: KnownMetric = Field(description="Of the task, such as rocAuc, recallPositive or rmse.")
    value: float = Field(
        ge=0,
        description="How far it may fall, or rise where less is better, in its own unit: the upper end of the paired"
        " 95 % interval.",
    )


_SAME = " || ".join(
    f"has(a.{kind}) && has(b.{kind})" for kind in (Step.model_fields[name].alias for name in Step.members())
)
_EACH_STEP_ONCE = Rule(
    f"self.steps.all(a, self.steps.filter(b, {_SAME}).size() <= 1)",
    "each kind of step may stand once: take the second out",
)
_STORED_LAST = Rule(
    "self.steps.map(a, has(a.quantize) || has(a.shareWeights)).indexOf(true) in [-1, self.steps.size() - 1]",
    "quantize and shareWeights say how weights are stored: take one of them, as the last step",
)
_ZEROS_AFTER_RANK = Rule(
    "self.steps.filter(a, has(a.lowRank) || has(a.prune) && has(a.prune.unstructured)).map(a, has(a.lowRank))"
    " != [false, true]",
    "lowRank fills the zeros that prune.unstructured made: put lowRank before it",
)
_DEFAULT_DROP = 0.005
_ONE_BUDGET = Rule(
    f"!has(self.maxDrop) || !has(self.maxAccuracyDrop) || self.maxAccuracyDrop == {_DEFAULT_DROP}",
    "maxDrop takes the place of maxAccuracyDrop: leave one of them out",
)
_AUTO_ALONE = Rule(
    "self.steps.size() == 1 || self.steps.all(step, !has(step.auto))",
    "auto finds all steps by itself: leave the others out",
)


class Compression(Contract):
    """Steps in order, judged on the test rows; a change compresses again and trains nothing.

    Runs in a Job of its own, with the pod settings of ``spec.training``.
    """

    RULES = (_EACH_STEP_ONCE, _STORED_LAST, _ZEROS_AFTER_RANK, _AUTO_ALONE, _ONE_BUDGET)

    max_accuracy_drop: float = Field(
        default=_DEFAULT_DROP,
        ge=0,
        le=1,
        description="How much of the primary metric (accuracy, R2), or with imbalance: ClassWeight of balancedAccuracy,"
        " may be lost: the upper end of the paired 95 % interval on the test rows must not be above it, else the"
        " uncompressed model is kept and the condition Compressed says so. Few rows show little: of n rows that"
        " are all classified as before, the upper end is 3.84 / (n + 3.84). Default 0.005.",
    )
    max_drop: MaxDrop | None = Field(
        default=None, description="The same for another metric, in the place of maxAccuracyDrop. Default: none."
    )
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=8)] = Field(description="Steps, in order.")

    @property
    def metric(self) -> KnownMetric | None:
        """What the budget is of; None for the primary metric of the task."""
        return None if self.max_drop is None else self.max_drop.metric

    @property
    def budget(self) -> float:
        """How much worse it may become."""
        return self.max_accuracy_drop if self.max_drop is None else self.max_drop.value

    @property
    def budget_field(self) -> str:
        """Where that is said, for messages."""
        return f"spec.compression.{'maxAccuracyDrop' if self.max_drop is None else 'maxDrop.value'}"

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.max_drop is not None and self.max_accuracy_drop != _DEFAULT_DROP:
            raise ValueError(_ONE_BUDGET.message)
        return self

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        kinds = [step.choice for step in self.steps]
        if len(set(kinds)) != len(kinds):
            raise ValueError(_EACH_STEP_ONCE.message)
        if {"quantize", "shareWeights"} & set(kinds[:-1]):
            raise ValueError(_STORED_LAST.message)
        zeros = [step.prune is not None and step.prune.unstructured is not None for step in self.steps]
        if "lowRank" in kinds and True in zeros[: kinds.index("lowRank")]:
            raise ValueError(_ZEROS_AFTER_RANK.message)
        if "auto" in kinds and len(kinds) > 1:
            raise ValueError(_AUTO_ALONE.message)
        return self
