"""A further kind of column is one member: recognised, measured, stored, encoded, described and said by itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from modelservice.contract.data import Data, Format
from modelservice.contract.documents import DocumentError
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.base import Features, Variable
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.errors import InputError
from modelservice.modalities.sources import read_source
from modelservice.modalities.split import MISSING
from modelservice.modalities.table import kinds
from modelservice.modalities.table.kinds import KINDS
from modelservice.modalities.table.kinds.base import (
    Column,
    ColumnEncoder,
    ColumnPreprocessing,
    Kind,
    RawColumn,
    Useless,
    Values,
    text_at,
)
from modelservice.modalities.tensors import Tensor

SWITCH = {"on": 1.0, "off": 0.0}


class SwitchPreprocessing(ColumnPreprocessing):
    kind: Literal["Switch"] = "Switch"
    share: float

    @property
    def width(self) -> int:
        return 1

    @property
    def input(self) -> InputColumn:
        return InputColumn(name=self.name, type=ColumnKind.CATEGORY, categories=("off", "on"), example="on")

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:
        return SwitchEncoder(self.name, self.share)


class SwitchEncoder(NamedTuple):
    name: str
    share: float
    linear: None = None

    def encode(self, values: Values, target: Features) -> int:
        for row, value in enumerate(values):
            target[row, 0] = SWITCH.get((text_at(value, row, self.name) or "").lower(), self.share)
        return sum(1 for value in values if isinstance(value, str) and value.lower() not in SWITCH)

    def check(self, value: Any, row: int) -> None:
        if isinstance(value, float):
            raise InputError(f"{value} is no switch", row=row, column=self.name)
        text_at(value, row, self.name)

    def measure(self, values: Values) -> list[str | None]:
        return [text_at(value, row, self.name) for row, value in enumerate(values)]


@dataclass(frozen=True)
class SwitchColumn:
    name: str
    values: NDArray[np.object_]
    type = ColumnKind.CATEGORY

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> int:
        return sum(1 for value in self.values if value is None)

    @property
    def distinct(self) -> int:
        return len({value for value in self.values if value is not None})

    def take(self, rows: NDArray[np.int64]) -> Self:
        return replace(self, values=self.values[rows])

    def useless(self) -> Useless | None:
        return None if self.distinct == 2 else Useless("it is never switched")

    def refusal(self) -> DataError | None:
        return DataError("BrokenSwitch", "mend it") if self.name == "broken" else None

    def notes(self) -> Iterator[str]:
        yield f"column {self.name} is a switch"

    @property
    def told_apart_by(self) -> str:
        return "switch"

    def tokens(self, rows: slice) -> Iterable[bytes]:
        return (MISSING if value is None else value.encode() for value in self.values[rows])

    def example(self) -> str:
        return "on"

    def variable(self) -> Variable:
        return Variable(np.array([np.nan if value is None else SWITCH[value] for value in self.values]))

    def fit(self) -> SwitchPreprocessing:
        present = [SWITCH[value] for value in self.values if value is not None]
        return SwitchPreprocessing(name=self.name, share=float(np.mean(present)))


def read_switch(raw: RawColumn) -> Column | None:
    if raw.floats is not None or not {text.lower() for text in raw.cells.texts} <= set(SWITCH):
        return None
    texts = np.array([*map(str.lower, raw.cells.texts), None], dtype=object)
    return SwitchColumn(raw.name, texts[raw.cells.codes])


SWITCHES = Kind(name="Switch", document=SwitchPreprocessing, read=read_switch)
ROWS = [f"{n},{['on', 'OFF', ''][n % 3]},{'pq'[n % 2]}" for n in range(30)]


def learn(header: str = "a,s,y", **data: Any) -> Any:
    settings = Data.model_validate({"configMap": {"name": "d"}, "target": "y", **data})
    return build_dataset(read_source("\n".join([header, *ROWS]).encode(), format=Format.CSV), settings)


@pytest.fixture
def _switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", (SWITCHES, *KINDS))


@pytest.mark.usefixtures("_switches")
def test_a_further_kind_is_one_member() -> None:
    dataset = learn()
    assert "column s is a switch" in dataset.notes
    assert dataset.inputs[1].categories == ("off", "on")
    assert dataset.train.features.shape[1:] == (2,)
    encoder = open_encoder(dataset.modality, dataset.preprocessing.model_dump_json().encode())
    rows = [[1, "on"], [1, "Off"], [1, None], [1, "new"]]
    switch = encoder.encode(rows)[:, 1]
    assert switch[:2].tolist() == [1, 0]
    assert 0 < switch[2] == switch[3] < 1
    assert encoder.encode_counted(rows)[1] == {"s": 1}
    assert encoder.example()["s"] == "on"
    tensors = [Tensor("a", "FP64", (1,), np.array([1.0])), Tensor("s", "BYTES", (1,), ["on"])]
    np.testing.assert_array_equal(encoder.encode(encoder.from_tensors(tensors)), encoder.encode([[1, "on"]]))
    with pytest.raises(InputError, match=r"\[0\]\.s: 0\.5 is no switch"):
        encoder.encode([["1", 0.5], ["x", "on"]])


@pytest.mark.usefixtures("_switches")
def test_a_member_refuses_and_takes_no_part_by_itself() -> None:
    with pytest.raises(DataError, match="mend it"):
        learn("a,broken,y")
    assert "column s has no effect: it is never switched" not in learn(features=["a", "s"]).notes
    constant = [row.replace("OFF", "on") for row in ROWS]
    settings = Data.model_validate({"configMap": {"name": "d"}, "target": "y", "features": ["a", "s"]})
    dataset = build_dataset(read_source("\n".join(["a,s,y", *constant]).encode(), format=Format.CSV), settings)
    assert "column s has no effect: it is never switched" in dataset.notes
    assert dataset.shape == (1,)


@pytest.mark.usefixtures("_switches")
def test_a_column_of_a_newer_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = learn().preprocessing.model_dump_json().encode()
    monkeypatch.setattr(kinds, "KINDS", KINDS)
    with pytest.raises(DocumentError, match=r"columns.1.: a column of kind 'Switch' is not known here, but Unused, "):
        open_encoder("Table", stored)


def test_kinds_are_stored_under_their_names() -> None:
    assert [kind.name for kind in KINDS] == [kind.document.model_fields["kind"].default for kind in KINDS]
    assert len({kind.name for kind in KINDS}) == len(KINDS)
