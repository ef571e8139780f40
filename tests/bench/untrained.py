"""An artifact with random weights: what it costs to serve does not depend on what was learned."""

from pathlib import Path

import torch
from safetensors.torch import save

from modelservice.artifact.store import document_bytes, file_entries, write
from modelservice.contract.manifest import (
    ARCHITECTURE_FILE,
    PREPROCESSING_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
    ColumnKind,
    DataSummary,
    InputColumn,
    Manifest,
    Producer,
    Signature,
)
from modelservice.contract.model import MultilayerPerceptron
from modelservice.data.preprocessing import NumericPreprocessing, Preprocessing
from modelservice.models.architecture import design_mlp
from modelservice.models.mlp import build, initialize

COLUMNS = {"sepal_length": 5.8, "sepal_width": 3.0, "petal_length": 4.35, "petal_width": 1.3}
LABELS = ("setosa", "versicolor", "virginica")


def write_untrained(folder: Path) -> str:
    """Write the default MLP for the iris columns, with weights from a fixed seed; returns the digest."""
    signature = Signature(
        target="species",
        inputs=tuple(
            InputColumn(name=name, kind=ColumnKind.NUMERIC, example=example) for name, example in COLUMNS.items()
        ),
        labels=LABELS,
    )
    preprocessing = Preprocessing(
        columns=tuple(NumericPreprocessing(name=name, mean=mean, std=1.0, fill=mean) for name, mean in COLUMNS.items())
    )
    architecture = design_mlp(MultilayerPerceptron(), inputs=len(COLUMNS), outputs=len(LABELS))
    module = build(architecture)
    initialize(module, torch.Generator().manual_seed(0))
    files = {
        SIGNATURE_FILE: document_bytes(signature),
        PREPROCESSING_FILE: document_bytes(preprocessing),
        ARCHITECTURE_FILE: document_bytes(architecture),
        WEIGHTS_FILE: save(module.state_dict()),
    }
    manifest = Manifest(
        name="iris",
        key="untrained",
        producer=Producer(modelservice="0", python="0", torch="0"),
        data=DataSummary(sha256=f"sha256:{'0' * 64}", rows=0, features=len(COLUMNS), classes=len(LABELS)),
        parameters=architecture.parameters,
        files=file_entries(files),
    )
    return write(folder, manifest, files)
