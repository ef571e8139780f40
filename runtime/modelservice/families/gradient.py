"""The fit that all gradient families share: from an architecture to a trained model."""

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from safetensors.torch import save
from torch import nn

from modelservice.artifact.files import document_bytes
from modelservice.contract.augmentation import Augmentation
from modelservice.contract.base import first_problem
from modelservice.contract.evaluation import Metric
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, WEIGHTS_FILE
from modelservice.contract.places import granted_gpus
from modelservice.contract.precision import Precision
from modelservice.contract.progress import Progress
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Architecture, OutputHead, Scale, Shape
from modelservice.families.base import Fitted, Observer
from modelservice.families.heads import build_head
from modelservice.families.initial import begin_from
from modelservice.families.modules import apply_head, build, initialize
from modelservice.families.normalization import check_normalizable, folded, normalized
from modelservice.modalities.base import Dataset, Features, Side
from modelservice.tasks.base import Array
from modelservice.training.augmentation import build_augments
from modelservice.training.batches import StreamedRows
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing
from modelservice.training.curves import CurveRecorder, Epoch
from modelservice.training.device_memory import within_device_memory
from modelservice.training.distillation import beside_teacher, targets_beside
from modelservice.training.loop import MAX_SLICE, Augment, Batches, Rows, seeded, step_rows, train_module
from modelservice.training.losses import Objective, objective_of
from modelservice.training.ranks import current
from modelservice.training.threads import limited_threads, threads_for

Design = Callable[[Any, Shape, int, OutputHead], Architecture]
"""A family's settings, the shape of a row, the number of logits, and the head to an architecture.

Raises:
    ValidationError: no such network is possible.
"""

_SLICE_VALUES = 2**26
"""Values of the widest layer that are held at once when nothing is learned (256 MiB)."""


def fit(
    design: Design,
    settings: Any,
    dataset: Dataset,
    training: Hyperparameters,
    *,
    field: str,
    observe: Observer,
    checkpointing: Checkpointing = BEGINS_ANEW,
    normalizes: bool = False,
) -> Fitted:
    """Train a network; for arguments see ``Family.fit``.

    The same dataset, settings and number of threads give the same bytes on a CPU. A GPU is used where there is one.

    Args:
        design: the family's networks.
        settings: what ``spec.model`` says of the family.
        dataset: the rows.
        training: how to train.
        field: path of the family in the ModelService, for messages.
        observe: is told of each epoch.
        checkpointing: where it is kept how far the training is.
        normalizes: whether channels are standardised over the rows of a step, see ``normalization``.

    Raises:
        StageError: no such network is possible, its training diverged, an augmentation does not fit the rows, a GPU
            is granted and none is seen or lacks the precision or the memory, or normalisation is asked for where it
            cannot be.
    """
    architecture = _design(design, settings, dataset, field)
    if normalizes:
        check_normalizable(training, current())
    module, best_epoch, recorder = _train(
        architecture, dataset, training, observe, checkpointing, normalizes=normalizes
    )
    fitted = _fitted(architecture, module, curves=recorder.curves, best_epoch=best_epoch)
    return replace(fitted, notes=tuple(_notes(training)))


def _notes(training: Hyperparameters) -> Iterator[str]:
    """What it learned from that is not in the data, and what its steps were computed in."""
    if training.initialize is not None and training.initialize.artifact is not None:
        yield f"the weights began with those of {training.initialize.artifact.digest}"
    if (teacher := training.teacher) is not None:
        yield f"{teacher.artifact.digest} taught beside the labels, with {teacher.weight:g} of the loss"
    if training.precision is not Precision.FLOAT32:
        yield f"its steps were computed in {training.precision}; its weights are float32"


def _fitted(
    architecture: Architecture, module: nn.Sequential, *, curves: Mapping[str, tuple[float, ...]], best_epoch: int
) -> Fitted:
    import onnx  # noqa: PLC0415 - no first step waits for it

    from modelservice.families.architecture_graph import architecture_graph  # noqa: PLC0415

    state = {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
    return Fitted(
        onnx=architecture_graph(architecture, {name: tensor.numpy() for name, tensor in state.items()}),
        predict=Network(architecture, module),
        parameters=architecture.parameters,
        files={ARCHITECTURE_FILE: document_bytes(architecture), WEIGHTS_FILE: save(state)},
        libraries={"torch": str(torch.__version__), "onnx": str(onnx.__version__)},
        curves=curves,
        best_epoch=best_epoch,
        sharpened=lambda power: _fitted(architecture, _scaled(module, power), curves=curves, best_epoch=best_epoch),
    )


def _scaled(module: nn.Sequential, factor: float) -> nn.Sequential:
    """The network with logits times a factor, which raises its probabilities to that power."""
    scaled = copy.deepcopy(module)
    last = scaled[-1]
    assert isinstance(last, nn.Linear)  # noqa: S101 - every architecture ends so
    with torch.no_grad():
        last.weight.mul_(factor)
        last.bias.mul_(factor)
    return scaled


class Network:
    """A trained network as a function: encoded rows float32 [rows, *shape] to raw outputs float32 [rows, width]."""

    def __init__(self, architecture: Architecture, module: nn.Sequential, *, device: str = "cpu") -> None:
        # Dropout passes everything through when serving; leaving it out saves a call for each layer.
        layers = (layer for layer in module if not isinstance(layer, nn.Dropout))
        self._module = nn.Sequential(*layers).to(device).eval()
        self._head = architecture.head
        self._device = device
        self._slice = slice_rows(architecture)

    def __call__(self, features: Features) -> Array:
        """Compute without gradients, in slices of bounded memory."""
        with torch.inference_mode(), exact_convolutions(self._device):
            if len(features) <= self._slice:
                return self._compute(features)
            starts = range(0, len(features), self._slice)
            return np.concatenate([self._compute(features[start : start + self._slice]) for start in starts])

    def gradients(self, features: Features, output: int) -> Array:
        """Of each row one raw output, and how that changes with each feature: float32 [rows, 1 + values of a row]."""
        with torch.enable_grad(), exact_convolutions(self._device):
            starts = range(0, len(features), self._slice)
            return np.concatenate([self._slopes(features[start : start + self._slice], output) for start in starts])

    def _slopes(self, features: Features, output: int) -> Array:
        given = torch.from_numpy(features).to(self._device).requires_grad_()
        said = apply_head(self._head, self._module(given))[:, output]
        (slopes,) = torch.autograd.grad(said.sum(), given)
        found: Array = torch.cat([said.detach()[:, None], slopes.flatten(1)], dim=1).cpu().numpy()
        return found

    def _compute(self, features: Features) -> Array:
        logits = self._module(torch.from_numpy(features).to(self._device))
        raw: Array = apply_head(self._head, logits).cpu().numpy()
        return raw


def best_device(*, granted: int, section: str) -> str:
    """A GPU where there is one.

    Args:
        granted: GPUs that the pod holds; they are not to lie idle while a CPU does their work.
        section: the part of the ModelService that says how the pod runs, for messages.

    Raises:
        StageError: some are granted, and torch sees none.
    """
    if torch.cuda.is_available():
        return "cuda"
    if granted:
        field = f"{section}.runtimeClassName"
        message = (
            f"the pod holds {granted} GPU{'s' if granted > 1 else ''} and torch sees none: set {field} to the"
            f" RuntimeClass of GPUs (mostly nvidia; kubectl get runtimeclass), or take GPUs out of {section}.resources"
        )
        raise StageError("GpuNotVisible", message, field=field)
    return "cpu"


def exact_convolutions(device: str) -> AbstractContextManager[Any]:
    """On a GPU: convolutions with all bits of float32, by algorithms that repeat; as they are on a CPU anyway."""
    if device == "cpu":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def slice_rows(architecture: Architecture) -> int:
    """Rows that are computed at once when nothing is learned."""
    return max(1, min(MAX_SLICE, _SLICE_VALUES // architecture.widest))


def _design(design: Design, settings: Any, dataset: Dataset, field: str) -> Architecture:
    head = build_head(dataset)
    try:
        return design(settings, dataset.shape, dataset.task.logits(dataset.labels), head)
    except ValidationError as error:
        problem = first_problem(error).removeprefix("document: ")
        message = f"{field} makes a network that is not possible: {problem}: make it smaller"
        raise StageError("ModelTooLarge", message, field=field) from None


def _train(
    architecture: Architecture,
    dataset: Dataset,
    training: Hyperparameters,
    observe: Observer,
    checkpointing: Checkpointing,
    *,
    normalizes: bool,
) -> tuple[nn.Sequential, int, CurveRecorder]:
    """The trained module, on the CPU, its epoch, and what the epochs came to."""
    device = best_device(granted=granted_gpus(os.environ), section="spec.training")
    objective = _objective(dataset, training)
    recorder = CurveRecorder(metric=objective.metric)

    train = _learned(dataset, objective, architecture.head, device)
    ranks = current()
    threads = threads_for(
        work=architecture.multiply_adds * step_rows(training, len(train)) // ranks.size,
        available=torch.get_num_threads(),
    )
    with (
        within_device_memory(
            training.precision,
            rows=step_rows(training, len(train)),
            all_at_once=training.optimizer.gradient_descent is not None,
        ),
        limited_threads(threads),
        exact_convolutions(device),
        seeded(training.seed, device) as generator,
    ):
        module = build(architecture)
        initialize(module, generator)
        if training.initialize is not None and training.initialize.artifact is not None:
            begin_from(module, architecture, training.initialize.artifact, dataset)
        if normalizes:
            module = normalized(module)
        ranks.prepare(module, device=device)
        best_epoch = train_module(
            module,
            objective=objective,
            train=train,
            validation=rows_of(dataset.validation, objective, architecture.head, device),
            settings=training,
            generator=generator,
            observe=lambda epoch: observe(_progress(epoch, objective)),
            slice_rows=slice_rows(architecture),
            augments=_augments(dataset, training, device),
            recorder=recorder,
            checkpointing=checkpointing,
            ranks=ranks,
        )
        if not ranks.holds_all:
            state, module = ranks.state(module), build(architecture)
            module.load_state_dict(state)
    return folded(module.cpu()) if normalizes else module.cpu(), best_epoch, recorder


def _objective(dataset: Dataset, training: Hyperparameters) -> Objective:
    own, teacher = objective_of(dataset.task.loss, dataset.loss), training.teacher
    if teacher is None:
        return own
    assert dataset.train.told is not None  # noqa: S101 - the stage has asked the teacher
    return beside_teacher(own, dataset.task.loss, temperature=teacher.temperature, weight=teacher.weight)


def _augments(dataset: Dataset, training: Hyperparameters, device: str) -> tuple[Augment, ...]:
    """What is asked for.

    Raises:
        StageError: noise is, and there is no number for it; or what is for images, and there are none, or small ones.
    """
    settings, codes = training.augmentation, dataset.codes
    _check_suited(settings, dataset)
    if settings is not None and settings.noise is not None and codes is not None and codes.all():
        field = "spec.training.augmentation.noise"
        raise StageError("NothingToAugment", f"no feature is a column of numbers: leave {field} out", field=field)
    held = None if codes is None else torch.from_numpy(codes).to(device)
    return build_augments(settings, classes=len(dataset.labels), codes=held)


_SUITED = (("Image", "images", ("flip", "rotate", "crop", "colour")), ("Text", "texts", ("word_dropout",)))
"""What is done to rows of one modality only."""


def _check_suited(settings: Augmentation | None, dataset: Dataset) -> None:
    """Refuse what is for rows of another kind, and a move that would leave nothing of an image."""
    if settings is None:
        return
    field = "spec.training.augmentation"
    if settings.mixup is not None and dataset.modality == "Text":
        message = f"mixup adds rows up, and tokens are no numbers: leave {field}.mixup out"
        raise StageError("NothingToAugment", message, field=f"{field}.mixup")
    for modality, things, names in _SUITED:
        asked = [name for name in names if getattr(settings, name) is not None]
        if asked and dataset.modality != modality:
            name = to_camel(asked[0])
            message = f"{name} changes {things}, and there are none: leave {field}.{name} out"
            raise StageError("NothingToAugment", message, field=f"{field}.{name}")
    if settings.crop is not None and settings.crop.pixels >= min(dataset.shape[1:]):
        rows, columns = dataset.shape[1:]
        message = f"crop by {settings.crop.pixels} pixels leaves nothing of images of {rows} x {columns}: set fewer"
        raise StageError("NothingToAugment", message, field=f"{field}.crop.pixels")


def _learned(dataset: Dataset, objective: Objective, head: OutputHead, device: str) -> Batches:
    """The training rows: those that are held, or the stream."""
    if dataset.stream is None:
        return rows_of(dataset.train, objective, head, device)
    return StreamedRows(
        dataset.stream, lambda side: rows_of(side, objective, head, "cpu"), shape=dataset.shape, device=device
    )


def rows_of(side: Side, objective: Objective, head: OutputHead, device: str) -> Rows:
    """The rows of a side for torch, with the targets of the objective; numbers are standardised."""

    def scaled(values: NDArray[Any]) -> NDArray[Any]:
        return (values - head.mean) / head.std if isinstance(head, Scale) else values

    weights = side.relative_weights
    targets = torch.from_numpy(scaled(side.values)).to(objective.dtype)
    if side.told is not None:
        targets = targets_beside(targets, torch.from_numpy(scaled(side.told)))
    return Rows(
        features=torch.from_numpy(side.features).to(device),
        targets=targets.to(device),
        weights=None if weights is None else torch.from_numpy(weights).to(torch.float32).to(device),
    )


def _progress(epoch: Epoch, objective: Objective) -> Progress:
    return Progress(
        done=epoch.number,
        total=epoch.of,
        loss=epoch.validation_loss,
        metric=Metric(name=objective.metric, value=epoch.metric),
    )
