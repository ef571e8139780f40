"""Artifacts with random weights: what a model costs to serve does not depend on what was learned."""

from pathlib import Path

import torch
from safetensors.torch import save

from modelservice.artifact.files import document_bytes, file_entries
from modelservice.artifact.stores.folder import write
from modelservice.contract.documents import Document
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.manifest import (
    ARCHITECTURE_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PREPROCESSING_FILE,
    WEIGHTS_FILE,
    DataSummary,
    Manifest,
    OnnxSummary,
    Producer,
)
from modelservice.contract.networks import ConvolutionalNetwork, MultilayerPerceptron
from modelservice.contract.signature import SIGNATURE_FILE, Signature
from modelservice.families.architecture import Architecture, Softmax
from modelservice.families.architecture_graph import architecture_graph
from modelservice.families.base import OPSET
from modelservice.families.cnn import design_cnn
from modelservice.families.modules import build, initialize
from modelservice.families.perceptron import design_mlp
from modelservice.modalities.encoders import build_encoder
from modelservice.modalities.image.preprocessing import ImagePreprocessing
from modelservice.modalities.table.kinds.number import NumericPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.tasks.metrics_document import MetricsDocument
from modelservice.tasks.multiclass import MULTICLASS

COLUMNS = {"sepal_length": 5.8, "sepal_width": 3.0, "petal_length": 4.35, "petal_width": 1.3}
LABELS = ("setosa", "versicolor", "virginica")
SIDE = 28
DIGITS = tuple(str(digit) for digit in range(10))
CNN = ConvolutionalNetwork(channels=(32, 64), hidden_layers=(300,))
"""About a million parameters on images of 28 x 28."""


def write_mlp(folder: Path) -> None:
    """Write the default MLP for the iris columns."""
    preprocessing = TablePreprocessing(
        columns=tuple(
            NumericPreprocessing(name=name, mean=mean, std=1.0, fill=mean, example=mean)
            for name, mean in COLUMNS.items()
        )
    )
    architecture = design_mlp(MultilayerPerceptron(), (len(COLUMNS),), len(LABELS), Softmax())
    _write(folder, "Table", preprocessing, architecture, labels=LABELS)


def write_cnn(folder: Path) -> None:
    """Write a CNN for grey images."""
    preprocessing = ImagePreprocessing(
        name="x", height=SIDE, width=SIDE, channels=1, channel_axis=False, datatype="UINT8", mean=(33.0,), std=(78.0,)
    )
    architecture = design_cnn(CNN, (1, SIDE, SIDE), len(DIGITS), Softmax())
    _write(folder, "Image", preprocessing, architecture, labels=DIGITS)


def _write(
    folder: Path, modality: str, preprocessing: Document, architecture: Architecture, *, labels: tuple[str, ...]
) -> None:
    """Write an artifact whose weights come from a fixed seed."""
    encoder = build_encoder(modality, preprocessing)
    signature = Signature(
        modality=modality,
        task=MULTICLASS.name,
        target="class",
        inputs=encoder.inputs,
        outputs=MULTICLASS.outputs(labels),
    )
    module = build(architecture)
    initialize(module, torch.Generator().manual_seed(0))
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    evaluation = Evaluation(primary="accuracy", rows=0, metrics=(Metric(name="accuracy", value=0),))
    files = {
        SIGNATURE_FILE: document_bytes(signature),
        PREPROCESSING_FILE: document_bytes(preprocessing),
        METRICS_FILE: document_bytes(MetricsDocument(train=evaluation, test=evaluation)),
        MODEL_FILE: architecture_graph(architecture, {name: tensor.numpy() for name, tensor in state.items()}),
        ARCHITECTURE_FILE: document_bytes(architecture),
        WEIGHTS_FILE: save(state),
    }
    manifest = Manifest(
        name=folder.name,
        stage="train",
        key="untrained",
        family="untrained",
        modality=modality,
        task=MULTICLASS.name,
        producer=Producer(modelservice="0", python="0"),
        data=DataSummary(sha256=f"sha256:{'0' * 64}", rows=0, features=len(encoder.inputs), classes=len(labels)),
        parameters=architecture.parameters,
        model=OnnxSummary(opset=OPSET, max_difference=0),
        files=file_entries(files),
    )
    write(folder, manifest, files)
