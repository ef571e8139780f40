"""A small training, as the tests of artifacts, tasks and commands need it."""

from pathlib import Path
from typing import Any

from modelservice.contract.data import ConfigMapSource, Data
from modelservice.contract.model import Model, MultilayerPerceptron
from modelservice.contract.training import Hyperparameters
from modelservice.data.csv_file import parse_csv
from modelservice.training.run import Pipeline, Trained, train_table
from modelservice.training.stopwatch import Stopwatch

IRIS = Path(__file__).parents[3] / "data" / "iris.csv"


def pipeline(*, epochs: int = 3, hidden: tuple[int, ...] = (8,), target: str = "species", **training: Any) -> Pipeline:
    return Pipeline(
        name="iris",
        key="abc",
        data=Data(config_map=ConfigMapSource(name="iris"), target=target),
        model=Model(mlp=MultilayerPerceptron(hidden_layers=hidden)),
        training=Hyperparameters(epochs=epochs, **training),
    )


def still_clock() -> float:
    return 0.0


def train_iris(settings: Pipeline, content: bytes | None = None) -> Trained:
    table = parse_csv(IRIS.read_bytes() if content is None else content)
    return train_table(table, settings, observe=lambda _: None, watch=Stopwatch(still_clock))
