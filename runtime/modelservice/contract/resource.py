"""The custom resource as a user writes it: the same model reads it in the cluster and on a laptop."""

from typing import Literal, Self

from pydantic import Field, model_validator

from modelservice.contract.artifact_source import ArtifactSource
from modelservice.contract.artifacts import Artifacts
from modelservice.contract.base import Contract, Rule, ServiceName, Tolerant
from modelservice.contract.compression import Compression
from modelservice.contract.data import Data
from modelservice.contract.encoders import EncoderService, PretrainedModel
from modelservice.contract.model import GRADIENT_FAMILIES, LAYERED_FAMILIES, Auto, Model
from modelservice.contract.networks import NETWORK_OF_MLP, MultilayerPerceptron
from modelservice.contract.precision import Precision
from modelservice.contract.promotion import Promotion
from modelservice.contract.serving import Engine, Serving
from modelservice.contract.task import Task
from modelservice.contract.training import OF_ANY_FAMILY, Hyperparameters, Training
from modelservice.contract.trials import check_search

GROUP = "modelservice.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ModelService"


def _of(families: frozenset[str]) -> str:
    return "(has(self.model) && (" + " || ".join(f"has(self.model.{family})" for family in sorted(families)) + "))"


_BY_GRADIENT = _of(GRADIENT_FAMILIES)
_STEPS = " || ".join(
    f"has(self.training.{field.alias})"
    for name, field in Hyperparameters.model_fields.items()
    if name not in OF_ANY_FAMILY
)
_STEPS_OF_GRADIENT = Rule(
    f"{_BY_GRADIENT} || !has(self.training) || !({_STEPS})",
    "all of training that says how to step (optimizer, schedule, l1, l2, epochs, batchSize, ...) is for mlp, cnn, rnn"
    " and transformer: leave it out",
)
_TORCH_OF_GRADIENT = Rule(
    f"!has(self.serving) || !has(self.serving.engine) || self.serving.engine != 'Torch' || ({_BY_GRADIENT}"
    " && !has(self.compression))",
    "serving.engine Torch is for mlp, cnn, rnn and transformer without compression: leave engine out, or set ONNX",
)
_LOGISTIC_OF_CLASSES = Rule(
    "!has(self.model) || !has(self.model.logistic) || !has(self.task) || !has(self.task.regression)",
    "model.logistic predicts classes: for a regression take svm, decisionTree or mlp",
)
_LOSS_OF_GRADIENT = Rule(
    f"!has(self.task) || {_of(GRADIENT_FAMILIES | {'artifact'})} || !("
    + " || ".join(f"(has(self.task.{task}) && has(self.task.{task}.loss))" for task in ("classification", "regression"))
    + ")",
    "the loss of a task is what mlp, cnn, rnn and transformer minimise: leave it out, or take one of them",
)
_ENSEMBLE_BY_RECIPE = Rule(
    "!has(self.model) || !has(self.model.mlp) || !has(self.model.mlp.ensemble) || self.model.mlp.ensemble == 1 || !("
    + " || ".join(f"has(self.model.mlp.{MultilayerPerceptron.model_fields[name].alias})" for name in NETWORK_OF_MLP)
    + f" || (has(self.training) && ({_STEPS})))",
    "an ensemble has layers and steps of its own: leave all of mlp but ensemble, and all of training that says how to"
    " step, out, or set ensemble to 1",
)
_HALVING_OF_GRADIENT = Rule(
    f"{_BY_GRADIENT} || !has(self.training) || !has(self.training.search) || !has(self.training.search.halving)",
    "training.search.halving is over epochs, which mlp, cnn, rnn and transformer have: leave it out",
)
_WORKERS_OF_GRADIENT = Rule(
    f"{_BY_GRADIENT} || !has(self.training) || !has(self.training.workers) || self.training.workers == 1",
    "training.workers share the steps of mlp, cnn, rnn and transformer: leave it out, or take one of them",
)
_MIXED_WITHOUT_CELLS = Rule(
    "!has(self.model) || !has(self.model.rnn) || !has(self.training) || !has(self.training.precision)"
    " || self.training.precision == 'Float32'",
    "the cells of rnn are computed in Float32 only: leave training.precision out, or take transformer",
)
_LAYERS_TO_PRUNE = Rule(
    f"!has(self.compression) || {_of(LAYERED_FAMILIES | {'artifact'})} || "
    "self.compression.steps.all(step, has(step.quantize) || has(step.distill))"
    " || has(self.compression.steps[0].distill)",
    "all compression.steps but distill and quantize work on the layers of mlp and cnn: choose one of them, or put"
    " distill first",
)
_WEIGHTLESS = ("logistic", "svm", "decisionTree", "randomForest", "gradientBoosting", "kernelRidge")
_WEIGHTS_TO_QUANTIZE = Rule(
    "!has(self.compression) || !has(self.compression.steps[0].quantize) || (has(self.data) && has(self.data.encoder))"
    " || !has(self.model) || !(" + " || ".join(f"has(self.model.{family})" for family in _WEIGHTLESS) + ")",
    "logistic, svm, kernelRidge and trees have no weights to make integers of: leave quantize out, or put distill"
    " first",
)

_ENCODED_BY_ONNX = Rule(
    "!has(self.data) || !has(self.data.encoder) || !has(self.serving) || !has(self.serving.engine)"
    " || self.serving.engine != 'Torch'",
    "serving.engine Torch has no data.encoder: leave engine out, or set ONNX",
)
_ENCODED_TO_QUANTIZE = Rule(
    "!has(self.data) || !has(self.data.encoder) || !has(self.compression)"
    " || self.compression.steps.all(step, has(step.quantize))",
    "with data.encoder, quantize is the only step of compression: leave the others out",
)
_SHARED = "(has(self.model) && has(self.model.encoder) && has(self.model.encoder.service))"
_SHARED_READS = Rule(
    f"!{_SHARED} || !has(self.data) || !has(self.data.text)"
    " || !(has(self.data.text.maxLength) || has(self.data.text.vocabulary))",
    "the encoder of model.encoder.service reads texts as its own ModelService says: leave maxLength and vocabulary of"
    " data.text out",
)
_SHARED_UNCOMPRESSED = Rule(
    f"!{_SHARED} || !has(self.compression)",
    "a head of model.encoder.service is small by itself: leave compression out, and compress the encoder's folder",
)
_FOLDS_BEGIN_ANEW = Rule(
    "!has(self.training) || !has(self.training.initialize) || !has(self.data) || !has(self.data.split)"
    " || !has(self.data.split.folds)",
    "the weights of training.initialize may have learned the rows that folds test on: leave one of them out",
)
_FOLDS_WITHOUT_TEACHER = Rule(
    "!has(self.training) || !has(self.training.teacher) || !has(self.data) || !has(self.data.split)"
    " || !has(self.data.split.folds)",
    "training.teacher may have learned the rows that folds test on: leave one of them out",
)
_ELSEWHERE = "(has(self.model) && has(self.model.artifact))"
_PRETRAINED = "(has(self.model) && has(self.model.pretrained))"
_DATA_OR_ARTIFACT = Rule(
    f"has(self.data) || {_ELSEWHERE} || {_PRETRAINED}",
    "data must be set: only what model.artifact and model.pretrained name was trained elsewhere",
)
_NOTHING_OF_PRETRAINED = Rule(
    f"!{_PRETRAINED} || !(has(self.data) || has(self.task) || has(self.compression))",
    "model.pretrained is served as it is: leave data, task and compression out",
)
_DATA_TO_COMPRESS = Rule(
    f"!{_ELSEWHERE} || has(self.data) == has(self.compression)",
    "model.artifact was trained elsewhere, and data is for the test rows of a compression: set both, or none of them",
)
_TASK_OF_ARTIFACT = Rule(
    f"!{_ELSEWHERE} || has(self.data) || !has(self.task)", "model.artifact says its task itself: leave task out"
)
_OF_TRAINING = ("seed", "search", "workers", "parallelism", "checkpoint")
_NOT_TRAINED = Rule(
    f"!({_ELSEWHERE} || {_PRETRAINED}) || !has(self.training) || !("
    + " || ".join(f"has(self.training.{name})" for name in _OF_TRAINING)
    + ")",
    "model.artifact and model.pretrained are not trained: of training only how its pods run can be said",
)
_COMPARES = (
    "(has(self.promotion) && has(self.promotion.require)"
    " && self.promotion.require.exists(one, has(one.metric) && has(one.metric.notWorseThanCurrent)))"
)
_TRAINED_TO_COMPARE = Rule(
    f"!({_ELSEWHERE} || {_PRETRAINED}) || !{_COMPARES}",
    "notWorseThanCurrent is scored on the test rows of a training, and model.artifact and model.pretrained have none:"
    " leave it out",
)
_WHOLE_TO_COMPARE = Rule(
    f"!{_SHARED} || !{_COMPARES}",
    "notWorseThanCurrent is scored by a Job, and a head of model.encoder.service answers by its encoder alone: leave it"
    " out",
)


class ModelServiceSpec(Contract):
    """Data in, a model service out."""

    RULES = (
        _STEPS_OF_GRADIENT,
        _TORCH_OF_GRADIENT,
        _LOGISTIC_OF_CLASSES,
        _LOSS_OF_GRADIENT,
        _ENSEMBLE_BY_RECIPE,
        _HALVING_OF_GRADIENT,
        _WORKERS_OF_GRADIENT,
        _MIXED_WITHOUT_CELLS,
        _LAYERS_TO_PRUNE,
        _WEIGHTS_TO_QUANTIZE,
        _ENCODED_BY_ONNX,
        _ENCODED_TO_QUANTIZE,
        _SHARED_READS,
        _SHARED_UNCOMPRESSED,
        _FOLDS_BEGIN_ANEW,
        _FOLDS_WITHOUT_TEACHER,
        _DATA_OR_ARTIFACT,
        _NOTHING_OF_PRETRAINED,
        _DATA_TO_COMPRESS,
        _TASK_OF_ARTIFACT,
        _NOT_TRAINED,
        _TRAINED_TO_COMPARE,
        _WHOLE_TO_COMPARE,
    )

    suspend: bool = Field(
        default=False, description="Stops training, not serving. Default false; true deletes an unfinished Job."
    )
    data: Data | None = Field(
        default=None, description="What to learn from. Only model.artifact and model.pretrained do without."
    )
    task: Task | None = Field(
        default=None,
        description="What kind of answer is learned. Default: classification where the target holds texts or at most 20"
        " different whole numbers, else regression; DataReady says which. A change trains again.",
    )
    model: Model = Field(
        default=Model(auto=Auto()), description="What to train. Default auto, a blend of models. A change trains again."
    )
    training: Training = Field(default=Training(), description="How to train.")
    compression: Compression | None = Field(
        default=None, description="How the trained model is made smaller. Default: it is served as it was trained."
    )
    promotion: Promotion | None = Field(
        default=None, description="What a new model must show before it is served. Default: nothing, it is served."
    )
    artifacts: Artifacts | None = Field(
        default=None, description="Where trained models are stored. Default: the chart's, else a ReadWriteOnce claim."
    )
    serving: Serving = Field(default=Serving(), description="How to serve.")
    revision_history_limit: int = Field(
        default=5, ge=1, le=50, description="Revisions that are kept, the one being served included. Default 5."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_elsewhere()
        by_gradient = self.model.choice in GRADIENT_FAMILIES
        steps = (Hyperparameters.model_fields.keys() - OF_ANY_FAMILY) & self.training.model_fields_set
        if not by_gradient and steps:
            raise ValueError(_STEPS_OF_GRADIENT.message)
        mlp = self.model.mlp
        if mlp is not None and (mlp.ensemble or 1) > 1 and (steps or set(NETWORK_OF_MLP) & mlp.model_fields_set):
            raise ValueError(_ENSEMBLE_BY_RECIPE.message)
        if self.serving.engine is Engine.TORCH and not (by_gradient and self.compression is None):
            raise ValueError(_TORCH_OF_GRADIENT.message)
        if self.model.logistic is not None and self.task is not None and self.task.regression is not None:
            raise ValueError(_LOGISTIC_OF_CLASSES.message)
        learns = by_gradient or self.model.artifact is not None  # in a compression, of whose rows the task is
        if self.task is not None and self.task.chosen.loss is not None and not learns:
            raise ValueError(_LOSS_OF_GRADIENT.message)
        self._check_training(by_gradient=by_gradient)
        kinds = () if self.compression is None else tuple(step.choice for step in self.compression.steps)
        layered = self.model.choice in LAYERED_FAMILIES or self.model.artifact is not None
        if set(kinds) - {"quantize", "distill"} and not layered and kinds[0] != "distill":
            raise ValueError(_LAYERS_TO_PRUNE.message)
        encoded = self.data is not None and self.data.encoder is not None
        if kinds[:1] == ("quantize",) and self.model.choice in _WEIGHTLESS and not encoded:
            raise ValueError(_WEIGHTS_TO_QUANTIZE.message)
        if encoded and self.serving.engine is Engine.TORCH:
            raise ValueError(_ENCODED_BY_ONNX.message)
        if encoded and set(kinds) - {"quantize"}:
            raise ValueError(_ENCODED_TO_QUANTIZE.message)
        self._check_shared()
        return self

    @property
    def shared_encoder(self) -> EncoderService | None:
        """The encoder that stands as a service of its own and is asked for its numbers; None where none is."""
        return None if self.model.encoder is None else self.model.encoder.service

    @property
    def known_data(self) -> Data:
        """What is learned from, of a spec by which something is."""
        assert self.data is not None  # noqa: S101 - validated: only what was trained elsewhere does without
        return self.data

    @property
    def fetched(self) -> ArtifactSource | None:
        """What was made elsewhere and is to be fetched; None where it is trained here. What is pinned goes first."""
        pin = self.serving.pin_revision
        return (pin.source if pin is not None else None) or self.model.artifact

    @property
    def pretrained(self) -> PretrainedModel | None:
        """What is taken from a pretrained model as it is; None where something else is made, or fetched."""
        return self.model.pretrained if self.fetched is None else None

    @property
    def is_trained(self) -> bool:
        """Whether a model is trained here."""
        return self.fetched is None and self.pretrained is None

    @property
    def fetched_field(self) -> str:
        """The field that says what is fetched, or taken as it is."""
        pin = self.serving.pin_revision
        if pin is not None and pin.source is not None:
            return "spec.serving.pinRevision"
        return f"spec.model.{self.model.choice}"

    @property
    def compressed(self) -> bool:
        """Whether a compression follows: what is pinned serves as it was made."""
        pin = self.serving.pin_revision
        return self.compression is not None and (pin is None or pin.source is None)

    @property
    def reads_data(self) -> bool:
        """Whether a stage reads ``data``."""
        return self.is_trained or self.compressed

    def _check_elsewhere(self) -> None:
        elsewhere = self.model.artifact is not None or self.model.pretrained is not None
        if elsewhere and self.promotion is not None and self.promotion.compared_metrics:
            raise ValueError(_TRAINED_TO_COMPARE.message)
        if self.model.pretrained is not None:
            if any(one is not None for one in (self.data, self.task, self.compression)):
                raise ValueError(_NOTHING_OF_PRETRAINED.message)
            if set(_OF_TRAINING) & self.training.model_fields_set:
                raise ValueError(_NOT_TRAINED.message)
            return
        if self.model.artifact is None:
            if self.data is None:
                raise ValueError(_DATA_OR_ARTIFACT.message)
            return
        if (self.data is None) != (self.compression is None):
            raise ValueError(_DATA_TO_COMPRESS.message)
        if self.data is None and self.task is not None:
            raise ValueError(_TASK_OF_ARTIFACT.message)
        if set(_OF_TRAINING) & self.training.model_fields_set:
            raise ValueError(_NOT_TRAINED.message)

    def with_encoder(self, digest: str) -> Self:
        """The same, whose shared encoder has to be the artifact of this digest."""
        encoder, service = self.model.encoder, self.shared_encoder
        assert encoder is not None  # noqa: S101 - the caller looked
        assert service is not None  # noqa: S101
        named = encoder.model_copy(update={"service": service.model_copy(update={"digest": digest})})
        return self.model_copy(update={"model": self.model.model_copy(update={"encoder": named})})

    def _check_shared(self) -> None:
        if self.shared_encoder is None:
            return
        text = None if self.data is None else self.data.text
        if text is not None and {"max_length", "vocabulary"} & text.model_fields_set:
            raise ValueError(_SHARED_READS.message)
        if self.compression is not None:
            raise ValueError(_SHARED_UNCOMPRESSED.message)
        if self.promotion is not None and self.promotion.compared_metrics:
            raise ValueError(_WHOLE_TO_COMPARE.message)

    def _check_training(self, *, by_gradient: bool) -> None:
        folds = self.data is not None and self.data.split.folds is not None
        if folds and self.training.initialize is not None:
            raise ValueError(_FOLDS_BEGIN_ANEW.message)
        if folds and self.training.teacher is not None:
            raise ValueError(_FOLDS_WITHOUT_TEACHER.message)
        if self.training.workers > 1 and not by_gradient:
            raise ValueError(_WORKERS_OF_GRADIENT.message)
        if self.model.rnn is not None and self.training.precision is not Precision.FLOAT32:
            raise ValueError(_MIXED_WITHOUT_CELLS.message)
        if self.training.search is not None:
            if self.training.search.halving is not None and not by_gradient:
                raise ValueError(_HALVING_OF_GRADIENT.message)
            check_search(self.model, self.training, self.training.search, check=self._check_trial)

    def _check_trial(self, model: Model, training: Training) -> None:
        """Raise what a spec of these settings would."""
        kept = {name: getattr(self, name) for name in ("data", "task", "compression", "serving")}
        ModelServiceSpec(**kept, model=model, training=training)


class Metadata(Tolerant):
    """The part of the metadata that means something without a cluster."""

    name: ServiceName
    namespace: str = "default"


class ModelService(Tolerant):
    """A ModelService document; status and other metadata are the cluster's."""

    api_version: Literal["modelservice.dev/v1alpha1"]
    kind: Literal["ModelService"]
    metadata: Metadata
    spec: ModelServiceSpec
