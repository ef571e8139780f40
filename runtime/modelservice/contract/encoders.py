"""``spec.model.encoder`` and ``spec.model.pretrained``: models of texts or images that were trained before."""

from typing import Self

from pydantic import Field, model_validator

from modelservice.contract.base import Contract, OneOf, Rule, ServiceName, Sha256
from modelservice.contract.estimators import DecisionTree, KernelRidge, LogisticRegression, SupportVectorMachine
from modelservice.contract.locations import EncoderUri
from modelservice.contract.networks import NETWORK_OF_MLP, MultilayerPerceptron
from modelservice.contract.precision import Precision

_DIGEST_OF_URI = Rule(
    "!has(self.digest) || has(self.uri)", "digest is of the weights below uri: that of a service is service.digest"
)
_TUNED_BY_URI = Rule(
    "!has(self.fineTune) || has(self.uri)",
    "fineTune changes the weights below uri, and those of a service stay: set uri, or leave fineTune out",
)
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
    """An encoder of texts learns the task with a linear layer behind it, before the head learns from its numbers."""

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
    precision: Precision = Field(
        default=Precision.FLOAT32,
        description="What layers compute in while they learn, as training.precision says for other networks. Default"
        " Float32. A change trains again.",
    )


class EncoderService(Contract):
    """A ModelService of the same namespace with model.pretrained, which is asked for the numbers of texts or images."""

    name: ServiceName = Field(description="Name of the ModelService. A change trains again.")
    digest: Sha256 | None = Field(
        default=None,
        description="Digest of its artifact, as its status says it: another one trains nothing. Default: what it"
        " serves. A change trains again.",
    )


class Encoder(OneOf):
    """A pretrained model that makes numbers of texts or images, and a head that is trained on these."""

    COMMON = frozenset({"digest", "head", "fine_tune"})
    RULES = (_DIGEST_OF_URI, _TUNED_BY_URI)

    uri: EncoderUri | None = Field(
        default=None,
        description="Folder in the layout of Hugging Face. For texts a BERT: config.json, model.safetensors,"
        " tokenizer.json. For images any network: model.onnx, preprocessor_config.json. Of a store or a hub"
        " (hf://organisation/name@revision), what the training pod may read; file:// is a folder of the trainer's"
        " image. A change trains again.",
    )
    service: EncoderService | None = Field(
        default=None, description="An encoder that stands as a service of its own, which many heads share."
    )
    digest: Sha256 | None = Field(
        default=None,
        description="sha256 of the weights below uri, model.safetensors or model.onnx, which the status says: another"
        " file is refused. Default: whatever is there. A change trains again.",
    )
    head: EncoderHead = Field(
        default=EncoderHead(logistic=LogisticRegression()),
        description="Default logistic. A change trains again.",
    )
    fine_tune: FineTune | None = Field(
        default=None,
        description="How an encoder of texts learns on. Default: it stays as it is. A change trains again.",
    )

    @model_validator(mode="after")
    def _of_uri(self) -> Self:
        for value, rule in ((self.digest, _DIGEST_OF_URI), (self.fine_tune, _TUNED_BY_URI)):
            if value is not None and self.uri is None:
                raise ValueError(rule.message)
        return self


class PretrainedModel(Contract):
    """A pretrained model that is served as it is: texts or images in, the numbers of each out."""

    uri: EncoderUri = Field(
        description="Folder in the layout of Hugging Face, as of encoder.uri. A change makes it anew."
    )
    digest: Sha256 | None = Field(
        default=None,
        description="sha256 of model.safetensors or model.onnx: another file is refused. Default: whatever is there. A"
        " change makes it anew.",
    )
    max_length: int = Field(
        default=128,
        ge=1,
        le=4096,
        description="Tokens of a text that are read; images have none. Default 128. A change makes it anew.",
    )
