"""What the bench of a GPU trains: a table, images and texts that are drawn, and the ModelServices that learn them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from tests.bench.training_tables import TARGET, draw, write_table

from modelservice.contract.resource import API_VERSION, KIND

COLUMNS: Final = 20
SIDE: Final = 64
_WORDS, _LENGTH = 2000, 64
_SPLIT: Final = {"validation": 0.1, "test": 0.2}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A training.

    Attributes:
        name: what tables call it.
        file: of its rows, whose ending says what they are.
        spec: ``data``, ``model`` and ``training`` of the ModelService.
        write: writes the rows.
    """

    name: str
    file: str
    spec: dict[str, Any]
    write: Callable[[Path], None]

    def rows(self, folder: Path) -> Path:
        """The file of its rows, which is written once."""
        path = folder / self.file
        if not path.exists():
            self.write(path)
        return path

    def resource(self, path: Path, **training: Any) -> Path:
        """Write the ModelService, with other settings of its training."""
        spec = {**self.spec, "training": {**self.spec.get("training", {}), **training}}
        write_service(path, spec)
        return path


def write_service(path: Path, spec: dict[str, Any]) -> None:
    """A ModelService called bench."""
    document = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "bench"}, "spec": spec}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def data_of(file: str, **more: Any) -> dict[str, Any]:
    """``spec.data`` of rows that are given beside the ModelService."""
    return {"uri": f"s3://bench/{file}", "target": TARGET, "split": _SPLIT, **more}


def table(rows: int, width: int, *, layers: int = 3, batch: int = 8192) -> Subject:
    """A multilayer perceptron."""
    return Subject(
        name=f"mlp, {layers} layers of {width:,}",
        file=f"{rows}.parquet",
        spec={
            "data": data_of(f"{rows}.parquet"),
            "model": {"mlp": {"hiddenLayers": [width] * layers, "ensemble": 1}},
            "training": {"optimizer": {"adamW": {"learningRate": 0.0003}}, "batchSize": batch, "epochs": 12},
        },
        write=lambda path: write_table(path, rows=rows, columns=COLUMNS),
    )


def images(rows: int, channels: tuple[int, ...], *, batch: int = 128, **model: Any) -> Subject:
    """A convolutional network that finds where a square is brighter than the noise around it."""
    return Subject(
        name=f"cnn, channels {', '.join(map(str, channels))}, {SIDE} x {SIDE} pixels",
        file=f"{rows}.npz",
        spec={
            "data": data_of(f"{rows}.npz"),
            "model": {"cnn": {"channels": list(channels), "hiddenLayers": [256], **model}},
            "training": {"optimizer": {"adamW": {"learningRate": 0.0005}}, "batchSize": batch, "epochs": 8},
        },
        write=lambda path: _write_images(path, rows),
    )


def texts(rows: int, width: int, *, batch: int = 128) -> Subject:
    """A transformer that finds which of some words is in a text of 64."""
    return Subject(
        name=f"transformer, 6 layers of {width}",
        file=f"{rows}.csv",
        spec={
            "data": data_of(f"{rows}.csv", text={"column": "text", "maxLength": _LENGTH}),
            "model": {"transformer": {"width": width, "heads": 8, "layers": 6, "feedForward": 4 * width}},
            "training": {
                "optimizer": {"adamW": {"learningRate": 0.0005}},
                "schedule": {"cosine": {"warmUpEpochs": 2}},
                "batchSize": batch,
                "epochs": 8,
            },
        },
        write=lambda path: _write_texts(path, rows),
    )


def frame_of(path: Path) -> Any:
    """The rows of a file, as a loaded model takes them."""
    if path.suffix == ".npz":
        with np.load(path) as held:
            return held["x"]
    if path.suffix == ".csv":
        return {"text": [line.partition(",")[0] for line in path.read_text(encoding="utf-8").splitlines()[1:]]}
    drawn = draw(min(int(path.stem), 4096), COLUMNS, seed=0)
    return {f"f{place}": column for place, column in enumerate(drawn.features.T.astype(float))}


def _write_images(path: Path, rows: int) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, rows)
    pixels = generator.integers(0, 160, (rows, SIDE, SIDE), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        top, left = (SIDE // 2 * half + generator.integers(4, SIDE // 2 - 12) for half in divmod(int(label), 2))
        image[top : top + 8, left : left + 8] += 80
    np.savez(path, x=pixels, y=labels)


def _write_texts(path: Path, rows: int) -> None:
    generator = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(_WORDS)])
    said = words[generator.integers(0, _WORDS, (rows, _LENGTH))]
    labels = generator.integers(0, 2, rows)
    tells = words[generator.integers(0, _WORDS // 100, (rows, 8)) * 2 + labels[:, None]]
    said[np.arange(rows)[:, None], generator.integers(0, _LENGTH, (rows, 8))] = tells
    lines = (f"{' '.join(line)},{'even' if label else 'odd'}" for line, label in zip(said, labels, strict=True))
    path.write_text("\n".join((f"text,{TARGET}", *lines)) + "\n", encoding="utf-8")
