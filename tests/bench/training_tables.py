"""Tables of any size for the bench of trainings, written piece by piece, and the resources that learn from them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import yaml
from numpy.typing import NDArray

from modelservice.contract.resource import API_VERSION, KIND

TARGET = "y"
_GROUP = 100_000
"""Rows of a row group: what is in memory at once when a table is written."""
_HIDDEN, _NOISE = 16, 0.5


class Drawn(NamedTuple):
    """Rows: ``features`` float32 [rows, columns], ``labels`` int64 [rows], 0 or 1."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


def draw(rows: int, columns: int, *, seed: int) -> Drawn:
    """Normal features, and classes that a small network of fixed weights says of them, with some noise.

    Other seeds give other rows of the same classes.
    """
    fixed, varied = np.random.default_rng(columns), np.random.default_rng(seed)
    first = fixed.normal(size=(columns, _HIDDEN)) / np.sqrt(columns)
    second = fixed.normal(size=_HIDDEN)
    features = varied.standard_normal((rows, columns), dtype=np.float32)
    score = np.sin(2 * features @ first) @ second + _NOISE * varied.normal(size=rows)
    return Drawn(features, (score > 0).astype(np.int64))


def write_table(path: Path, *, rows: int, columns: int) -> None:
    """A Parquet file of float32 columns f0, f1, ... and the target y."""
    names = [*(f"f{at}" for at in range(columns)), TARGET]
    schema = pa.schema([*((name, pa.float32()) for name in names[:-1]), (TARGET, pa.int8())])
    with pyarrow.parquet.ParquetWriter(path, schema, use_dictionary=False, compression="none") as writer:
        for piece in _pieces(rows, columns):
            arrays = [pa.array(column) for column in piece.features.T.copy()]
            labels = pa.array(piece.labels.astype(np.int8))
            writer.write_table(pa.table([*arrays, labels], schema=schema))


def write_resource(
    path: Path,
    *,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    split: dict[str, Any] | None = None,
) -> None:
    """A ModelService that learns y; its data is given beside it."""
    data = {"uri": "s3://bench/table.parquet", "target": TARGET} | ({} if split is None else {"split": split})
    spec: dict[str, Any] = {"data": data}
    spec |= {} if model is None else {"model": model}
    spec |= {} if training is None else {"training": training}
    document = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "bench"}, "spec": spec}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def _pieces(rows: int, columns: int) -> Iterator[Drawn]:
    for number, start in enumerate(range(0, rows, _GROUP)):
        yield draw(min(_GROUP, rows - start), columns, seed=number)
