"""``spec.model``: the family of models that is trained."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelservice.contract.artifact_source import ArtifactSource
from modelservice.contract.base import Contract, OneOf, Rule, ServiceName, Sha256
from modelservice.contract.locations import EncoderUri


class Activation(StrEnum):
    """Elementwise non-linearity between two layers."""

    RELU = "ReLU"
    GELU = "GELU"
    TANH = "Tanh"
    SILU = "SiLU"


class Pooling(StrEnum):
    """How two by two neighbouring values become one."""

    MAX = "Max"
    AVERAGE = "Average"
    NONE = "None"


class Normalization(StrEnum):
    """What is done to the channels of a convolution while it is trained."""

    NONE = "None"
    BATCH = "Batch"


class Kernel(StrEnum):
    """Kernel of a support vector machine."""

    LINEAR = "Linear"
    RBF = "RBF"


_DIGEST_OF_URI = Rule(
    "!has(self.digest) || has(self.uri)", "digest is of the weights below uri: that of a service is service.digest"
)
_TUNED_BY_URI = Rule(
    "!has(self.fineTune) || has(self.uri)",
    "fineTune changes the weights below uri, and those of a service stay: set uri, or leave fineTune out",
)

HiddenLayers = Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(max_length=16)]
Channels = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=16)]


class MultilayerPerceptron(Contract):
    """A multilayer perceptron: linear layers, each followed by the activation and dropout."""

    hidden_layers: HiddenLayers = Field(
        default=(64, 64),
        description="Width of each hidden layer; [] is a linear model. Default [64, 64]. A change trains again.",
    )
    activation: Activation = Field(default=Activation.RELU, description="Default ReLU. A change trains again.")
    dropout: float = Field(
        default=0.1,
        ge=0,
        le=0.9,
        description="Share of activations dropped while training. Default 0.1. A change trains again.",
    )
    ensemble: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Networks that are trained side by side, by a recipe for small tables, and averaged; 1 is the one"
        " network of the other settings. Default: 16 (8 with many rows) for a table where neither the network nor"
        " training, but for its seed, differs from the defaults; else 1. A change trains again.",
    )


class ConvolutionalNetwork(Contract):
    """A convolutional network for images.

    Convolutions of stride 1 that keep the size, each followed by the activation and the pooling, then linear layers as
    in a multilayer perceptron.
    """

    channels: Channels = Field(
        default=(16, 32), description="Channels of each convolution. Default [16, 32]. A change trains again."
    )
    kernel_size: Literal[1, 3, 5, 7] = Field(
        default=3, description="Width of the square kernels: 1, 3, 5 or 7. Default 3. A change trains again."
    )
    pooling: Pooling = Field(
        default=Pooling.MAX,
        description="Max, Average or None: halves the size after each convolution. Default Max. A change trains again.",
    )
    normalization: Normalization = Field(
        default=Normalization.NONE,
        description="Batch or None: whether each channel is standardised over the rows of a step while training. It is"
        " folded into the kernels then, so serving costs nothing more. Default None. A change trains again.",
    )
    hidden_layers: HiddenLayers = Field(
        default=(64,), description="Width of each linear layer before the last. Default [64]. A change trains again."
    )
    activation: Activation = Field(default=Activation.RELU, description="Default ReLU. A change trains again.")
    dropout: float = Field(
        default=0.1,
        ge=0,
        le=0.9,
        description="Share of activations of linear layers dropped while training. Default 0.1. A change trains again.",
    )


class Cell(StrEnum):
    """What a recurrent network keeps from token to token, and how."""

    LSTM = "LSTM"
    GRU = "GRU"


_HEADS_DIVIDE = Rule(
    "!has(self.width) && !has(self.heads) || (has(self.width) ? self.width : 64)"
    " % (has(self.heads) ? self.heads : 4) == 0",
    "width must be a multiple of heads",
)


class RecurrentNetwork(Contract):
    """A recurrent network that reads the tokens of a text in turn; the mean of what it says of each counts.

    LSTM: Hochreiter and Schmidhuber (1997); GRU: Cho et al. (2014).
    """

    cell: Cell = Field(default=Cell.LSTM, description="LSTM or GRU. Default LSTM. A change trains again.")
    embedding: int = Field(
        default=64, ge=1, le=2048, description="Numbers that stand for a token. Default 64. A change trains again."
    )
    units: int = Field(
        default=64,
        ge=1,
        le=2048,
        description="Numbers that are kept from token to token, in each direction. Default 64. A change trains again.",
    )
    layers: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Each reads what the one before it says. Default 1. A change trains again.",
    )
    bidirectional: bool = Field(
        default=True,
        description="Whether the text is also read from its end. Default true. A change trains again.",
    )
    dropout: float = Field(
        default=0.2,
        ge=0,
        le=0.9,
        description="Share of the numbers before the last layer dropped while training. Default 0.2. A change trains"
        " again.",
    )


class Transformer(Contract):
    """A transformer encoder over the tokens of a text (Vaswani et al., 2017), normalised before each part.

    The mean of what it says of each token counts.
    """

    RULES = (_HEADS_DIVIDE,)

    width: int = Field(
        default=64,
        ge=4,
        le=2048,
        description="Numbers that stand for a token, a multiple of heads. Default 64. A change trains again.",
    )
    heads: int = Field(default=4, ge=1, le=32, description="Heads of attention. Default 4. A change trains again.")
    layers: int = Field(
        default=2, ge=1, le=24, description="Of attention and feed-forward. Default 2. A change trains again."
    )
    feed_forward: int = Field(
        default=128,
        ge=1,
        le=8192,
        description="Width inside of the feed-forward part. Default 128. A change trains again.",
    )
    dropout: float = Field(
        default=0.1,
        ge=0,
        le=0.9,
        description="Share of the numbers dropped while training, after each part. Default 0.1. A change trains again.",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(_HEADS_DIVIDE.message)
        return self


class LogisticRegression(Contract):
    """Logistic regression with an L2 penalty (scikit-learn)."""

    c: float = Field(
        default=1.0, gt=0, le=1e6, description="Inverse strength of the penalty. Default 1. A change trains again."
    )


class SupportVectorMachine(Contract):
    """A support vector machine (scikit-learn); classes get probabilities by cross-validated calibration."""

    kernel: Kernel = Field(default=Kernel.RBF, description="Linear or RBF. Default RBF. A change trains again.")
    c: float = Field(
        default=1.0, gt=0, le=1e6, description="Inverse strength of the penalty. Default 1. A change trains again."
    )
    gamma: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Width of the RBF kernel, exp(-gamma d^2). Default: 1 / (features x variance of the features)."
        " A change trains again.",
    )


class DecisionTree(Contract):
    """A decision tree (CART, scikit-learn)."""

    max_depth: int | None = Field(
        default=None, ge=1, le=64, description="Most levels. Default: until leaves are pure. A change trains again."
    )
    min_samples_leaf: int = Field(
        default=1, ge=1, le=1_000_000, description="Fewest rows of a leaf. Default 1. A change trains again."
    )


class RandomForest(Contract):
    """A random forest (Breiman, 2001; scikit-learn)."""

    trees: int = Field(default=200, ge=1, le=2000, description="Number of trees. Default 200. A change trains again.")
    max_depth: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Most levels of a tree. Default: until leaves are pure. A change trains again.",
    )
    min_samples_leaf: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Fewest rows of a leaf. Default: 1; of 200 trees one more for each further 5000 rows, so that the"
        " forest is not too large to be served. A change trains again.",
    )
    max_features: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the features, drawn anew for each split, that it may look at. Default: the square root of"
        " their number for classes, a third of them for numbers. A change trains again.",
    )


class GradientBoosting(Contract):
    """Gradient boosting of trees over histograms (Friedman, 2001; scikit-learn)."""

    rounds: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Rounds, each a tree for each class. Default: where the loss on rows that are held back is least,"
        " at most 1000. A change trains again.",
    )
    learning_rate: float = Field(
        default=0.05, gt=0, le=1, description="Share of each tree that counts. Default 0.05. A change trains again."
    )
    max_leaves: int | None = Field(
        default=None,
        ge=2,
        le=1024,
        description="Most leaves of a tree. Default: 5, or 31 with more than 5000 rows. A change trains again.",
    )
    min_samples_leaf: int = Field(
        default=5, ge=1, le=1_000_000, description="Fewest rows of a leaf. Default 5. A change trains again."
    )


class KernelRidge(Contract):
    """Kernel ridge regression with an RBF kernel, in closed form; classes get probabilities by a temperature."""

    gamma: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Width of the RBF kernel, exp(-gamma d^2), over robustly scaled features. Default: chosen by"
        " leave-one-out. A change trains again.",
    )
    penalty: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Weight of the L2 penalty. Default: chosen by leave-one-out. A change trains again.",
    )
    landmarks: int = Field(
        default=1000,
        ge=10,
        le=2000,
        description="Rows that stand for all where there are more than 2000 (Nystroem). Default 1000. A change trains"
        " again.",
    )


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


NETWORK_OF_MLP = tuple(name for name in MultilayerPerceptron.model_fields if name != "ensemble")
"""What says how one network is to be."""
_ENSEMBLE_OF_ITS_OWN = Rule(
    "!has(self.mlp) || !has(self.mlp.ensemble) || self.mlp.ensemble == 1 || !("
    + " || ".join(f"has(self.mlp.{MultilayerPerceptron.model_fields[name].alias})" for name in NETWORK_OF_MLP)
    + ")",
    "an ensemble has layers of its own: leave all of mlp but ensemble out, or set ensemble to 1",
)


class EncoderHead(OneOf):
    """Exactly one family that learns from the encoder's numbers."""

    RULES = (_ENSEMBLE_OF_ITS_OWN,)

    logistic: LogisticRegression | None = Field(default=None, description="Logistic regression, for classes.")
    svm: SupportVectorMachine | None = Field(default=None, description="A support vector machine.")
    decision_tree: DecisionTree | None = Field(default=None, description="A decision tree.")
    kernel_ridge: KernelRidge | None = Field(default=None, description="Kernel ridge regression.")
    mlp: MultilayerPerceptron | None = Field(
        default=None,
        description="A multilayer perceptron: an ensemble where nothing is said of it, trained by the defaults.",
    )

    @model_validator(mode="after")
    def _ensemble_of_its_own(self) -> Self:
        mlp = self.mlp
        if mlp is not None and (mlp.ensemble or 1) > 1 and set(NETWORK_OF_MLP) & mlp.model_fields_set:
            raise ValueError(_ENSEMBLE_OF_ITS_OWN.message)
        return self


class LowRankAdaptation(Contract):
    """Differences of low rank to the weights of attention (Hu et al., 2021)."""

    rank: int = Field(default=8, ge=1, le=256, description="Rank of each difference. Default 8. A change trains again.")
    alpha: float = Field(
        default=16,
        gt=0,
        le=1024,
        description="A difference counts by alpha / rank. Default 16. A change trains again.",
    )


class FineTune(Contract):
    """An encoder learns the task with a linear layer behind it, before the head learns from its numbers."""

    lora: LowRankAdaptation = Field(
        default=LowRankAdaptation(), description="Which differences are learned. A change trains again."
    )
    epochs: int = Field(
        default=10, ge=1, le=1000, description="Passes over the training rows. Default 10. A change trains again."
    )
    learning_rate: float = Field(
        default=0.001,
        gt=0,
        le=1,
        description="Largest step size of adamW, along a cosine. Default 0.001. A change trains again.",
    )
    batch_size: int = Field(default=16, ge=1, le=4096, description="Rows in a step. Default 16. A change trains again.")


class EncoderService(Contract):
    """A ModelService of the same namespace with model.pretrained, which is asked for the numbers of texts."""

    name: ServiceName = Field(description="Name of the ModelService. A change trains again.")
    digest: Sha256 | None = Field(
        default=None,
        description="Digest of its artifact, as its status says it: another one trains nothing. Default: what it"
        " serves. A change trains again.",
    )


class Encoder(OneOf):
    """A pretrained model that makes numbers of texts, and a head that is trained on these."""

    COMMON = frozenset({"digest", "head", "fine_tune"})
    RULES = (_DIGEST_OF_URI, _TUNED_BY_URI)

    uri: EncoderUri | None = Field(
        default=None,
        description="Folder of a BERT in the layout of Hugging Face: config.json, model.safetensors, tokenizer.json. Of"
        " a store or a hub (hf://organisation/name@revision), what the training pod may read; file:// is a folder of"
        " the trainer's image. A change trains again.",
    )
    service: EncoderService | None = Field(
        default=None, description="An encoder that stands as a service of its own, which many heads share."
    )
    digest: Sha256 | None = Field(
        default=None,
        description="sha256 of model.safetensors below uri, which the status says: another file is refused. Default:"
        " whatever is there. A change trains again.",
    )
    head: EncoderHead = Field(
        default=EncoderHead(logistic=LogisticRegression()),
        description="Default logistic. A change trains again.",
    )
    fine_tune: FineTune | None = Field(
        default=None, description="How the encoder learns on. Default: it stays as it is. A change trains again."
    )

    @model_validator(mode="after")
    def _of_uri(self) -> Self:
        for value, rule in ((self.digest, _DIGEST_OF_URI), (self.fine_tune, _TUNED_BY_URI)):
            if value is not None and self.uri is None:
                raise ValueError(rule.message)
        return self


class PretrainedModel(Contract):
    """A pretrained model that is served as it is: texts in, the numbers of each out."""

    uri: EncoderUri = Field(
        description="Folder of a BERT in the layout of Hugging Face, as of encoder.uri. A change makes it anew."
    )
    digest: Sha256 | None = Field(
        default=None,
        description="sha256 of model.safetensors: another file is refused. Default: whatever is there. A change makes"
        " it anew.",
    )
    max_length: int = Field(
        default=128, ge=1, le=4096, description="Tokens of a text that are read. Default 128. A change makes it anew."
    )


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
        default=None, description="A pretrained model that reads texts, with a head that is trained."
    )
    artifact: ArtifactSource | None = Field(
        default=None, description="What was trained or packed elsewhere, served as it is. A change fetches it."
    )
    pretrained: PretrainedModel | None = Field(
        default=None, description="A pretrained model, served as it is: texts in, embeddings out. Needs no data."
    )
    auto: Auto | None = Field(
        default=None,
        description="Several models, fitted and blended by how well each predicts rows that it did not learn.",
    )


GRADIENT_FAMILIES = frozenset({"mlp", "cnn", "rnn", "transformer"})
"""Trained by gradient steps: optimizer, epochs and penalties are for these, and torch can serve them."""

LAYERED_FAMILIES = frozenset({"mlp", "cnn"})
"""Of these a compression takes units out of layers, or changes weights; those of tokens have layers of another kind."""
