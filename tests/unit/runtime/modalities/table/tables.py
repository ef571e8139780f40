"""Tables of one's own for tests of columns."""

from typing import Any

import pytest

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.signature import InputColumn
from modelservice.modalities.base import Dataset, Encoder
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.sources import read_source

ROWS = 60


def settings(columns: Any, **more: Any) -> Data:
    """``spec.data`` with the types of some columns."""
    described = {name: {"type": kind} for name, kind in columns.items()}
    return Data.model_validate({"configMap": {"name": "d"}, "target": "y", "columns": described, **more})


def learn(columns: Any, header: str, cells: Any, rows: int = ROWS, **more: Any) -> Dataset:
    """A table of ``rows`` rows: the cells of a row by its number, and a class."""
    lines = [f"{cells(n)},{'pq'[n % 2]}" for n in range(rows)]
    source = read_source("\n".join([f"{header},y", *lines]).encode(), format=Format.CSV)
    return build_dataset(source, settings(columns, **more))


def refused(columns: Any, header: str, cells: Any, **more: Any) -> DataError:
    """Why nothing can be learned from such a table."""
    with pytest.raises(DataError) as caught:
        learn(columns, header, cells, **more)
    return caught.value


def column(dataset: Dataset, at: int = 0) -> InputColumn:
    """A column of the signature."""
    given = dataset.inputs[at]
    assert isinstance(given, InputColumn)
    return given


def opened(dataset: Dataset) -> Encoder:
    """The encoder that a server makes of what is stored."""
    return open_encoder(dataset.modality, dataset.preprocessing.model_dump_json().encode())
