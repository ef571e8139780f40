"""A model without torch: the real encoder and a fixed linear layer, and a client that speaks ASGI to the front."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from modelservice.contract.manifest import ColumnKind, InputColumn, Signature
from modelservice.contract.serving import Batching
from modelservice.data.encoding import Encoder
from modelservice.data.preprocessing import CategoricalPreprocessing, NumericPreprocessing, Preprocessing
from modelservice.serving.costs import Costs
from modelservice.serving.front import Front
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.main import build_front
from modelservice.serving.model import Array, Rows

DIGEST = "sha256:" + "ab" * 32
VERSION = "ab" * 6
LABELS = ("setosa", "versicolor", "virginica")
NUMERIC_COLUMNS = ("sepal_length", "petal_length")
CHEAP = Costs(compute=((1, 1e-5), (64, 5e-5)), handover=1e-4)


class FakeModel:
    """Probabilities follow the sum of the features: small sums are the first label, large ones the last."""

    def __init__(self, *columns: InputColumn, labels: tuple[str, ...] = LABELS) -> None:
        self.digest = DIGEST
        self.signature = Signature(target="species", inputs=columns, labels=labels)
        self._encoder = Encoder(Preprocessing(columns=tuple(_preprocessing(column) for column in columns)))
        self.batches: list[int] = []

    def encode_rows(self, rows: Rows) -> Array:
        return self._encoder.encode_rows(rows)

    def probabilities(self, features: Array) -> Array:
        self.batches.append(len(features))
        with np.errstate(over="ignore", invalid="ignore"):
            logits = np.outer(features.sum(axis=1), np.arange(len(self.signature.labels))).astype(np.float32)
            exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), dtype=np.float32)


def numeric_model() -> FakeModel:
    return FakeModel(*(InputColumn(name=name, kind=ColumnKind.NUMERIC, example=0.5) for name in NUMERIC_COLUMNS))


def mixed_model() -> FakeModel:
    return FakeModel(
        InputColumn(name="age", kind=ColumnKind.NUMERIC, example=0.5),
        InputColumn(name="city (home)", kind=ColumnKind.CATEGORICAL, categories=("Basel", "Köln"), example="Basel"),
    )


def front_of(
    model: FakeModel,
    *,
    name: str = "iris",
    costs: Costs = CHEAP,
    batching: Batching | None = None,
    lifecycle: Lifecycle | None = None,
) -> Front:
    return build_front(
        model,
        name=name,
        costs=costs,
        batching=batching or Batching(),
        executor=ThreadPoolExecutor(max_workers=1),
        lifecycle=lifecycle or Lifecycle(),
    )


def client_of(front: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(front, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://server")


def _preprocessing(column: InputColumn) -> NumericPreprocessing | CategoricalPreprocessing:
    if column.kind is ColumnKind.NUMERIC:
        return NumericPreprocessing(name=column.name, mean=0.0, std=1.0, fill=0.0)
    return CategoricalPreprocessing(name=column.name, categories=column.categories)
