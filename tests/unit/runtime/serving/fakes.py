"""A model without files: real encoders and tasks around a fixed linear layer, and a client that speaks ASGI."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from modelservice.contract.baseline import Baseline
from modelservice.contract.history import PastRevision
from modelservice.contract.manifest import MODEL_FILE, FileEntry, Manifest, OnnxSummary, Producer
from modelservice.contract.serving import Batching, Inputs
from modelservice.contract.signature import Output, Signature
from modelservice.modalities.base import Encoder, Features
from modelservice.modalities.image.encoder import ImageEncoder
from modelservice.modalities.image.preprocessing import ImagePreprocessing
from modelservice.modalities.table.encoder import TableEncoder
from modelservice.modalities.table.kinds.base import ColumnPreprocessing
from modelservice.modalities.table.kinds.boolean import BooleanPreprocessing
from modelservice.modalities.table.kinds.category import CategoricalPreprocessing
from modelservice.modalities.table.kinds.date import DatePart, DatePreprocessing
from modelservice.modalities.table.kinds.number import NumericPreprocessing
from modelservice.modalities.table.kinds.text import TextPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.modalities.tensor.encoder import TensorEncoder
from modelservice.modalities.tensor.preprocessing import TensorInput, TensorPreprocessing
from modelservice.serving.access.gate import OPEN_GATE, Gate
from modelservice.serving.core import DEFAULT_INPUTS, Core, Models, build_core, share
from modelservice.serving.costs import Costs
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.model import ServedModel
from modelservice.serving.transports.http.front import Front
from modelservice.serving.transports.http.server import build_front
from modelservice.tasks.base import Array, ServedTask
from modelservice.tasks.multiclass import MULTICLASS
from modelservice.tasks.regression import REGRESSION
from modelservice.tasks.tensors import Tensors

DIGEST = "sha256:" + "ab" * 32
REVISION = 7
VERSION = str(REVISION)
LABELS = ("setosa", "versicolor", "virginica")
NUMERIC_COLUMNS = ("sepal_length", "petal_length")
CHEAP = Costs(compute=((1, 1e-5), (64, 5e-5)), handover=1e-4)
SIDE = 4
MANIFEST = Manifest(
    name="iris",
    stage="train",
    key="k" * 16,
    family="mlp",
    modality="Table",
    task="Multiclass",
    producer=Producer(modelservice="0.1.0", python="3.11.7"),
    model=OnnxSummary(opset=21),
    files={MODEL_FILE: FileEntry(sha256=DIGEST, size=1234)},
)


class FakeEngine:
    """Probabilities follow the sum of the features: small sums are the first label, large ones the last.

    Without labels the answer is the sum itself.
    """

    name = "Fake"

    def __init__(self, shape: tuple[int, ...], labels: tuple[str, ...]) -> None:
        self.shape = shape
        self.width = len(labels) or 1
        self.threads: list[int] = []
        self.batches: list[int] = []
        self.broken = False
        self._classes = bool(labels)

    def run(self, features: Features) -> Array:
        if self.broken:
            raise RuntimeError("out of order")
        self.batches.append(len(features))
        with np.errstate(over="ignore", invalid="ignore"):
            sums = features.reshape(len(features), -1).sum(axis=1)
            if not self._classes:
                return np.asarray(sums[:, None], dtype=np.float32)
            logits = np.outer(sums, np.arange(self.width)).astype(np.float32)
            exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), dtype=np.float32)

    def use_threads(self, threads: int) -> None:
        self.threads.append(threads)


class FakeModel:
    """What ``ServedModel`` wants."""

    def __init__(self, modality: str, encoder: Encoder, *, labels: tuple[str, ...] = LABELS) -> None:
        self.digest = DIGEST
        self.baseline: Baseline | None = None
        self.trained = True
        self.description: dict[str, Any] = {
            "digest": DIGEST,
            "manifest": MANIFEST.model_dump(mode="json"),
            "metrics": None,
        }
        self.reports: dict[str, bytes] = {}
        self.files: dict[str, bytes] | None = None
        self.task: ServedTask = MULTICLASS if labels else REGRESSION
        self.encoder = encoder
        self.engine = FakeEngine(encoder.shape, labels)
        self.signature = Signature(
            modality=modality,
            task=self.task.name,
            target="species",
            inputs=encoder.inputs,
            outputs=self.task.outputs(labels),
        )


def table_model(*columns: ColumnPreprocessing, labels: tuple[str, ...]) -> FakeModel:
    return FakeModel("Table", TableEncoder(TablePreprocessing(columns=columns)), labels=labels)


def numeric_column(name: str) -> NumericPreprocessing:
    return NumericPreprocessing(name=name, mean=0.0, std=1.0, fill=0.0, example=0.5)


def numeric_model(labels: tuple[str, ...] = LABELS) -> FakeModel:
    return table_model(*(numeric_column(name) for name in NUMERIC_COLUMNS), labels=labels)


def regression_model() -> FakeModel:
    return numeric_model(labels=())


def mixed_model() -> FakeModel:
    city = CategoricalPreprocessing(name="city (home)", categories=("Basel", "Köln"), example="Basel")
    return table_model(numeric_column("age"), city, labels=LABELS)


def refined_model() -> FakeModel:
    """Columns whose texts are no categories."""
    smoker = BooleanPreprocessing(name="smoker", mean=0.5, example=True)
    seen = DatePreprocessing(
        name="seen", zoned=False, mean=0.0, std=1e9, parts=(DatePart.TREND,), fill=(0.0,), example="2024-01-31"
    )
    remark = TextPreprocessing(name="remark", buckets=4, norm=1.0, example="the doctor")
    return table_model(numeric_column("age"), smoker, seen, remark, labels=LABELS)


def image_model(labels: tuple[str, ...] = LABELS) -> FakeModel:
    preprocessing = ImagePreprocessing(
        name="x",
        height=SIDE,
        width=SIDE,
        channels=1,
        channel_axis=False,
        datatype="UINT8",
        mean=(100.0,),
        std=(1000.0,),
    )
    return FakeModel("Image", ImageEncoder(preprocessing), labels=labels)


def tensor_model() -> FakeModel:
    """What was packed: two tensors in, a number under its own name out."""
    tensors = (
        TensorInput(name="x", datatype="FP32", shape=(2, 1)),
        TensorInput(name="age", datatype="INT64", shape=(1,)),
    )
    encoder = TensorEncoder(TensorPreprocessing(tensors=tensors))
    model = FakeModel("Tensor", encoder, labels=())
    model.task = Tensors((Output(name="sum", datatype="FP32", shape=(1,)),))
    told = {"task": model.task.name, "outputs": model.task.outputs(())}
    model.signature = model.signature.model_copy(update=told)
    return model


PATIENT = Batching(max_queue_milliseconds=60_000)
"""A machine that is busy with other things refuses nobody for it."""


def core_of(
    model: ServedModel,
    *,
    name: str = "iris",
    costs: Costs = CHEAP,
    batching: Batching | None = None,
    lifecycle: Lifecycle | None = None,
    gate: Gate = OPEN_GATE,
    inputs: Inputs = DEFAULT_INPUTS,
    history: tuple[PastRevision, ...] = (),
    **more: Any,
) -> Core:
    more = {"executor": ThreadPoolExecutor(max_workers=1), "lifecycle": lifecycle or Lifecycle(), "gate": gate, **more}
    return build_core(
        model,
        name=name,
        revision=REVISION,
        history=history,
        costs=costs,
        batching=batching or PATIENT,
        common=share(**more),
        inputs=inputs,
    )


def front_of(model: ServedModel, **more: Any) -> Front:
    return build_front(Models([core_of(model, **more)]))


def client_of(front: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(front, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://server")
