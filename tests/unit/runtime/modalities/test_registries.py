"""What a further modality needs: one line in the registry of each side."""

import functools
import json
import operator
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from modelservice.contract.data import ColumnSettings, Data, Format
from modelservice.contract.documents import Document, DocumentError
from modelservice.contract.failure import DataError
from modelservice.contract.signature import Input, InputTensor
from modelservice.modalities import encoders, sources
from modelservice.modalities.base import (
    STRICT,
    Features,
    FileOptions,
    InputError,
    Measure,
    Opener,
    Profile,
    Rows,
    Tolerance,
)
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.encoders import OPENERS, open_encoder
from modelservice.modalities.parts import WHOLE_PARTS, PartOptions, Parts
from modelservice.modalities.scaling import NumberRules
from modelservice.modalities.sources import READERS, from_frame, read_file, read_source
from modelservice.modalities.split import target_tokens
from modelservice.modalities.tensors import Tensor
from modelservice.tasks.base import Target, TargetCells

DATA = Data.model_validate({"configMap": {"name": "d"}, "target": "y"})


class WavePreprocessing(Document):
    kind: Literal["WavePreprocessing"] = "WavePreprocessing"
    length: int
    loudest: float


@dataclass(frozen=True)
class WaveEncoder:
    preprocessing: WavePreprocessing

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.preprocessing.length,)

    @property
    def inputs(self) -> tuple[Input, ...]:
        return (InputTensor(name="wave", datatype="FP32", shape=self.shape),)

    def encode(self, rows: Rows) -> Features:
        return np.asarray(rows, dtype=np.float32) / np.float32(self.preprocessing.loudest)

    def example(self) -> Any:
        return [0.0] * self.preprocessing.length

    def from_instances(self, instances: list[Any], tolerance: Tolerance = STRICT) -> Rows:
        return instances

    def from_inputs(self, inputs: Any, tolerance: Tolerance = STRICT) -> Rows:
        return list(inputs)

    def from_tensors(self, tensors: Sequence[Tensor], tolerance: Tolerance = STRICT) -> Rows:
        return np.reshape(tensors[0].values, tensors[0].shape)

    @property
    def measures(self) -> dict[str, Measure]:
        return {}

    def cells(self, rows: Rows) -> list[list[Any]]:
        raise InputError("a wave has no columns")

    def parts(self, rows: Rows, options: PartOptions = WHOLE_PARTS) -> list[Parts]:
        raise InputError("a wave has no parts")

    def tensors(self) -> list[dict[str, Any]]:
        return [{"name": "wave", "datatype": "FP32", "shape": [-1, *self.shape]}]

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        return self.encode(rows), {}

    def from_frame(self, frame: Any) -> Rows:
        return np.asarray(frame)


@dataclass(frozen=True)
class WaveExamples:
    waves: NDArray[Any]
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        return int(self.waves.shape[1])

    @property
    def told_apart_by(self) -> tuple[str, ...]:
        return ("waves",)

    def digests(self, target: Target, *, seed: int) -> list[bytes]:
        return [wave.tobytes() + token for wave, token in zip(self.waves, target_tokens(target), strict=True)]

    def fit(self, train: NDArray[np.int64]) -> tuple[Document, tuple[Input, ...]]:
        preprocessing = WavePreprocessing(length=self.features, loudest=float(np.abs(self.waves[train]).max()))
        return preprocessing, WaveEncoder(preprocessing).inputs

    def encode(self, preprocessing: Any, rows: NDArray[np.int64]) -> Features:
        return WaveEncoder(preprocessing).encode(self.waves[rows])

    def by_rules(self, rules: NumberRules) -> "WaveExamples":
        return self

    def codes(self, preprocessing: Any) -> None:
        return None

    def profiles(self, preprocessing: Any, rows: NDArray[np.int64]) -> tuple[Profile, ...]:
        return ()


class WaveSource:
    modality = "Wave"
    given = None
    sha256 = "sha256:" + "0" * 64

    def __init__(self, content: bytes) -> None:
        self.content = content
        rows = [line.split() for line in content.decode().splitlines()]
        self.labels = [row[0] for row in rows]
        self.waves = np.array([row[1:] for row in rows], dtype=np.float64)

    def target(
        self, name: str, missing: Sequence[str] | None = None, *, unread: NDArray[np.bool_] | None = None
    ) -> TargetCells:
        texts = tuple(dict.fromkeys(self.labels))
        codes = np.array([texts.index(label) for label in self.labels], dtype=np.int32)
        return TargetCells(name=name, codes=codes, texts=texts, noun="label")

    def aside(self, name: str, missing: Sequence[str] | None = None, *, field: str) -> TargetCells:
        return self.target(name, missing)

    def examples(
        self,
        features: tuple[str, ...],
        target: Target,
        missing: Sequence[str] | None = None,
        columns: Mapping[str, ColumnSettings] | None = None,
        aside: Collection[str] = (),
    ) -> WaveExamples:
        return WaveExamples(self.waves[target.present])


class WaveReader:
    """Stands for NPZ, since the enumeration of formats is the contract's."""

    formats = (Format.NPZ,)
    limit = 10_000

    def read(self, content: bytes, *, format: Format, options: FileOptions, field: str) -> WaveSource:  # noqa: A002
        return WaveSource(content)

    def join(self, sources: Mapping[str, WaveSource], *, sides: Sequence[int], field: str) -> WaveSource:
        return WaveSource(b"".join(source.content for source in sources.values()))

    def from_frame(self, frame: Any) -> WaveSource | None:
        return WaveSource(frame) if isinstance(frame, bytes) else None


def test_a_further_modality_is_one_line_in_each_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    opener = Opener(name="Wave", document=WavePreprocessing, build=WaveEncoder)
    monkeypatch.setattr(encoders, "OPENERS", (*OPENERS, opener))
    monkeypatch.setattr(sources, "READERS", (WaveReader(), *READERS))
    content = "".join(f"{'ab'[n % 2]} {n} {2 * n} {-n}\n" for n in range(40)).encode()
    dataset = build_dataset(read_source(content, format=Format.NPZ), DATA)
    assert (dataset.modality, dataset.task.name, dataset.shape) == ("Wave", "Binary", (3,))
    encoder = open_encoder(dataset.modality, dataset.preprocessing.model_dump_json().encode())
    assert encoder.inputs == dataset.inputs
    np.testing.assert_array_equal(encoder.encode(encoder.from_instances([encoder.example()])), [[0, 0, 0]])
    assert np.abs(dataset.train.features).max() == 1
    assert build_dataset(from_frame(content), DATA).rows == 40


def test_a_modality_of_a_newer_release_is_refused() -> None:
    known = "Table, Image, Text, EmbeddedText, EmbeddedImage, Tensor"
    with pytest.raises(DocumentError, match=f"modality 'Sound' is not known here, but {known}: use"):
        open_encoder("Sound", b"{}")


@pytest.mark.parametrize(
    ("modality", "content", "text"),
    [
        ("Table", b"{", "preprocessing.json is not JSON"),
        ("Table", b'{"kind": "ImagePreprocessing"}', "of kind 'ImagePreprocessing', expected TablePreprocessing"),
        ("Image", b'{"kind": "ImagePreprocessing", "schemaVersion": "2.0"}', "has schema version '2.0'"),
        ("Image", b'{"kind": "ImagePreprocessing", "schemaVersion": "1.0"}', "preprocessing.json is not valid: name"),
    ],
)
def test_a_preprocessing_of_another_kind_is_refused(modality: str, content: bytes, text: str) -> None:
    with pytest.raises(DocumentError, match=text):
        open_encoder(modality, content)


@pytest.mark.parametrize("place", [(), ("columns", 0)])
def test_what_a_newer_release_would_compute_differently_is_not_guessed(place: tuple[Any, ...]) -> None:
    """An older server that left out such a field would answer with other numbers than those that were tested."""
    dataset = build_dataset(from_frame({"a": list(range(20)), "y": ["u", "v"] * 10}), DATA)
    stored = json.loads(dataset.preprocessing.model_dump_json())
    part = functools.reduce(operator.getitem, place, stored)
    part["clip"] = 3
    with pytest.raises(DocumentError, match=r"preprocessing\.json is not valid: .*clip: there is no such field"):
        open_encoder("Table", json.dumps(stored).encode())


def test_several_files_are_one_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "READERS", (WaveReader(),))
    for name in ("b.npz", "a.npz", ".c.npz", "a.txt"):
        (tmp_path / name).write_bytes(f"{name} 1\n".encode())
    (tmp_path / "d.npz").mkdir()
    source = read_file(tmp_path / "*.npz", format=Format.NPZ)
    assert isinstance(source, WaveSource)
    assert source.labels == ["a.npz", "b.npz"]
    (tmp_path / "e.npz").write_bytes(b"a 1\n" * 2499)
    with pytest.raises(DataError, match=r"e\.npz: the data has more than 9984 bytes"):
        read_file(tmp_path / "*.npz", format=Format.NPZ)


def test_every_format_has_a_reader() -> None:
    assert sorted(format_ for reader in READERS for format_ in reader.formats) == sorted(Format)


@pytest.mark.parametrize("frame", [3, "a,b", [1, 2], None])
def test_what_is_no_data_is_refused(frame: Any) -> None:
    with pytest.raises(DataError, match="is no table: give a DataFrame or the path of a file"):
        from_frame(frame)


def test_a_file_is_read_within_the_limit_of_its_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = WaveReader()
    monkeypatch.setattr(sources, "READERS", (reader,))
    (tmp_path / "a").write_bytes(b"a 1\n" * 3000)
    with pytest.raises(DataError, match="more than 10000 bytes") as caught:
        read_file(tmp_path / "a", format=Format.NPZ, field="spec.data.persistentVolumeClaim.path")
    assert caught.value.field == "spec.data.persistentVolumeClaim.path"


def test_serving_loads_nothing_that_only_training_needs() -> None:
    loaded = "[m for m in ('pyarrow', 'torch', 'PIL', 'tokenizers') if m in sys.modules]"
    code = f"import sys, modelservice.modalities.encoders; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
