"""A training on a table that is not held."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelservice.contract.failure import DataError, StageError
from modelservice.contract.manifest import DATA_REPORT_FILE, METRICS_FILE
from modelservice.contract.progress import Progress
from modelservice.modalities.table import measuring, parquet_pieces, streamed
from modelservice.modalities.table.parquet_pieces import PIECE_ROWS
from modelservice.stages import evaluate
from modelservice.stages.base import Produced
from modelservice.stages.documents import read_resource
from modelservice.stages.local import run_locally

ROWS = 3000


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of two features and classes that they tell, of which little is held."""
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    monkeypatch.setattr(parquet_pieces, "PIECE_ROWS", 100)
    monkeypatch.setattr(measuring, "_HELD", dict.fromkeys(measuring._HELD, 2 * 4 * 150))
    draw = np.random.default_rng(0)
    x, z = draw.normal(size=ROWS), draw.normal(size=ROWS)
    y = [None if row < 10 else label for row, label in enumerate(np.where(x * z > 0, "same", "other").tolist())]
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": x, "z": z, "y": y}), path, row_group_size=500)
    return path


def trained(table: Path, folder: Path, observe: Callable[[Progress], None] = lambda _: None, **spec: Any) -> Produced:
    data = {"uri": "s3://bench/table.parquet", "target": "y"}
    document = {"apiVersion": "modelservice.dev/v1alpha1", "kind": "ModelService", "metadata": {"name": "m"}}
    resource = read_resource({**document, "spec": {"data": data, **spec}})
    return run_locally(resource, data=table, output=folder, observe=observe).produced


def test_every_row_is_accounted_for_and_all_test_rows_are_measured(table: Path, tmp_path: Path) -> None:
    produced = trained(table, tmp_path / "m", model={"mlp": {}})
    data = produced.manifest.data
    report = json.loads(produced.files[DATA_REPORT_FILE])
    rows = report["rows"]
    assert data is not None
    assert data.rows + data.dropped == ROWS
    assert data.dropped == 10
    assert sum(rows.values()) == data.rows
    assert {name: sum(one["rows"][name] for one in report["classes"]) for name in rows} == rows
    assert all(100 < report["sampled"][name] < min(rows[name], 200) for name in rows)
    metrics = json.loads(produced.files[METRICS_FILE])
    assert metrics["test"]["rows"] == rows["test"]
    assert metrics["validation"]["rows"] == report["sampled"]["validation"]
    assert next(one["value"] for one in metrics["test"]["metrics"] if one["name"] == "accuracy") > 0.85
    assert any(note.startswith("the table has more than") for note in data.notes)
    assert any(note.startswith("mlp is one network") for note in data.notes)


def test_of_too_many_answers_evenly_chosen_ones_are_measured(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "MAX_OUTPUTS", 200)
    produced = trained(table, tmp_path / "m", model={"mlp": {}}, training={"epochs": 1, "batchSize": 64})
    rows = json.loads(produced.files[DATA_REPORT_FILE])["rows"]["test"]
    step = -(-2 * rows // 200)
    assert step > 2
    assert json.loads(produced.files[METRICS_FILE])["test"]["rows"] == -(-rows // step)


def test_the_same_table_gives_the_same_bytes(table: Path, tmp_path: Path) -> None:
    training = {"epochs": 2, "batchSize": 64}
    first, second = (trained(table, tmp_path / name, training=training, model={"mlp": {}}) for name in "ab")
    assert first.digest == second.digest


def test_auto_is_the_network_alone_and_says_so(table: Path, tmp_path: Path) -> None:
    produced = trained(table, tmp_path / "m")
    assert produced.manifest.data is not None
    assert any(note.startswith("auto is the network alone") for note in produced.manifest.data.notes)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"model": {"svm": {}}}, "spec.model.svm"),
        ({"model": {"mlp": {"ensemble": 4}}}, "spec.model.mlp.ensemble"),
        (
            {"model": {"mlp": {}}, "training": {"optimizer": {"gradientDescent": {}}}},
            "spec.training.optimizer.gradientDescent",
        ),
    ],
)
def test_what_needs_all_rows_is_refused(table: Path, tmp_path: Path, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(StageError, match="the table is too large to be held") as error:
        trained(table, tmp_path / "m", **spec)
    assert (error.value.reason, error.value.field) == ("ModelUnsuited", field)


def test_a_compression_is_refused_before_the_training(table: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    with pytest.raises(DataError, match="the table has more than 0 bytes as numbers, so it is not held") as error:
        trained(table, tmp_path / "m", observe=told.append, compression={"steps": [{"quantize": {}}]})
    assert (error.value.reason, error.value.field) == ("TableNotHeld", "spec.compression")
    assert told == []


def test_a_small_table_is_held(tmp_path: Path) -> None:
    assert streamed.MAX_HELD > 1000 * 50 * 4
    assert PIECE_ROWS > 1000
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": np.arange(60.0), "y": [*"ab"] * 30}), path)
    produced = trained(path, tmp_path / "m", model={"logistic": {}})
    assert "sampled" not in json.loads(produced.files[DATA_REPORT_FILE])
