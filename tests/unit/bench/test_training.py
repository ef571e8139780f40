"""The tables of the bench of trainings."""

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from tests.bench import training
from tests.bench.record import Figure
from tests.bench.training_tables import TARGET, draw, write_resource, write_table

from modelservice.stages.documents import read_resource


def test_a_table_holds_the_rows_that_are_drawn(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", rows=150_000, columns=3)
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    first = draw(100_000, 3, seed=0)
    assert table.num_rows == 150_000
    assert table.column_names == ["f0", "f1", "f2", TARGET]
    assert np.array_equal(table.column("f1").to_numpy()[:100_000], first.features[:, 1])
    assert np.array_equal(table.column(TARGET).to_numpy()[:100_000], first.labels)


def test_other_rows_have_the_same_classes() -> None:
    one, other = draw(5000, 4, seed=1), draw(5000, 4, seed=2)
    assert not np.array_equal(one.features, other.features)
    assert abs(one.labels.mean() - other.labels.mean()) < 0.05
    assert 0.2 < one.labels.mean() < 0.8


def test_a_resource_is_one_that_the_command_takes(tmp_path: Path) -> None:
    write_resource(tmp_path / "r.yaml", model={"mlp": {"ensemble": 1}}, training={"epochs": 1})
    spec = read_resource(tmp_path / "r.yaml").service.spec
    assert spec.training.hyperparameters.epochs == 1
    assert spec.model.choice == "mlp"


def test_an_epoch_that_costs_too_much_misses_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"network": (1.2, 1.0), "ensemble": (1.0, 1.0)}
    monkeypatch.setattr(training, "measure", lambda *_, **__: seconds)
    found: list[Figure] = []
    monkeypatch.setattr(training, "record", lambda _, figures, **__: found.extend(figures))
    training.main(["--only", "epoch"])
    held = {one.figure: one.holds for one in found if one.limit}
    assert held == {
        "an epoch of one network, ratio to the bare loop": False,
        "an epoch of 16 networks side by side, ratio to the bare loop": True,
    }
