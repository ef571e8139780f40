"""A small network learns what a trained model says; any model can teach, for it is asked through its ``model.onnx``."""

import math
from functools import partial
from typing import Final

from modelservice.compression.base import Compressible, StepContext, single_network
from modelservice.compression.lesson import Lesson
from modelservice.compression.units import joints, kept_units, widths_within, without_units
from modelservice.contract.compression import Distill, StudentLayers
from modelservice.contract.failure import StageError
from modelservice.contract.networks import ConvolutionalNetwork, MultilayerPerceptron
from modelservice.families.architecture import Architecture, Isotonic
from modelservice.families.cnn import design_cnn
from modelservice.families.heads import build_head
from modelservice.families.perceptron import design_mlp
from modelservice.modalities.base import Dataset


class DistillStep:
    """The step ``distill``."""

    name = "distill"

    def apply(self, settings: Distill, model: Compressible, context: StepContext) -> Compressible:
        """Let a student learn, from initial weights; see ``Step``."""
        from modelservice.compression.tuning import teach  # noqa: PLC0415 - torch takes seconds to import

        lesson = Lesson(epochs=settings.epochs, temperature=settings.temperature, weight=settings.weight)
        layers = settings.student.layers
        if layers is not None:
            student = _calibrated(_designed(layers, context.dataset), model)
        else:
            student = _narrower(model, settings.student.chosen)
        return Compressible.of(context.kept.once("distill", student, partial(teach, student, lesson, context)))


DISTILL: Final = DistillStep()


def _designed(layers: StudentLayers, dataset: Dataset) -> Architecture:
    """Raises StageError where rows are texts, or channels are asked for and rows are no images, or too small ones."""
    if dataset.modality == "Text":
        message = "a student of layers takes tables and images, and no texts: take another step, such as quantize"
        raise StageError("StepUnsuited", message, field="spec.compression.steps")
    head, logits = build_head(dataset), dataset.task.logits(dataset.labels)
    if layers.channels is None:
        plain = MultilayerPerceptron(hidden_layers=layers.hidden_layers, activation=layers.activation, dropout=0)
        return design_mlp(plain, dataset.shape, logits, head)
    if dataset.modality != "Image":
        message = "a student with channels takes images only: leave channels out for a table"
        raise StageError("StepUnsuited", message, field="spec.compression.steps")
    convolutional = ConvolutionalNetwork(
        channels=layers.channels, hidden_layers=layers.hidden_layers, activation=layers.activation, dropout=0
    )
    return design_cnn(convolutional, dataset.shape, logits, head)


def _calibrated(student: Architecture, model: Compressible) -> Architecture:
    """The student of a network with curves, which has them behind what it learns, too."""
    if model.network is None or not model.network.curves:
        return student
    head = Isotonic.model_validate({"head": student.head, "curves": model.network.curves})
    return student.model_copy(update={"head": head})


def _narrower(model: Compressible, ratio: float) -> Architecture:
    """The layers of the teacher with so many times fewer parameters, or a few more times fewer.

    Raises:
        StageError: it is no such network, or single units in each layer still have more parameters.
    """
    network = single_network(model, "a student by sizeRatio")
    architecture = network.architecture
    if not joints(architecture):
        message = "a student by sizeRatio needs a network with hidden layers: say which layers it has by layers"
        raise StageError("StepUnsuited", message, field="spec.compression.steps")
    widths = widths_within(architecture, int(architecture.parameters / ratio))
    student = without_units(network, kept_units(network, widths)).architecture
    if student.parameters > int(architecture.parameters / ratio):
        most = math.floor(100 * architecture.parameters / student.parameters) / 100
        message = (
            f"a student by sizeRatio {ratio:g} is not possible: of {architecture.parameters} parameters single units in"
            f" each layer leave {student.parameters}: lower it to {most:g} at most, or say by layers which it has"
        )
        raise StageError("StepUnsuited", message, field="spec.compression.steps")
    return student
