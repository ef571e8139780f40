"""The samples of kinds of columns: what each column of theirs is read as, and that its example is answered."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from tests.support.samples import SAMPLES, model_service, sample_table
from tests.unit.runtime.modalities.table.tables import opened

from modelservice.contract.data import Format
from modelservice.contract.resource import ModelService
from modelservice.modalities.base import Dataset
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.sources import read_source


def learn(name: str) -> Dataset:
    spec = ModelService.model_validate(model_service(SAMPLES / name)).spec
    source = read_source(sample_table(SAMPLES / name), format=Format.CSV)
    return build_dataset(source, spec.known_data, spec.task)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("boolean.yaml", {"visits": "Number", "zone": "Category", "trial": "Boolean", "newsletter": "Boolean"}),
        ("date.yaml", {"time": "Date", "temperature": "Number"}),
        ("text.yaml", {"message": "Text", "channel": "Category"}),
    ],
)
def test_columns_of_samples_are_of_their_kinds(name: str, kinds: dict[str, str]) -> None:
    dataset = learn(name)
    columns = {column.name: column.kind for column in dataset.preprocessing.columns}  # type: ignore[attr-defined]
    assert columns == kinds
    encoder = opened(dataset)
    assert np.isfinite(encoder.encode([encoder.example()])).all()


def test_dates_tell_what_their_sample_is_about() -> None:
    dataset = learn("date.yaml")

    def score(*, of: slice) -> float:
        forest = RandomForestRegressor(random_state=0).fit(dataset.train.features[:, of], dataset.train.values)
        return float(forest.score(dataset.test.features[:, of], dataset.test.values))

    temperature = slice(-1, None)
    assert score(of=slice(None)) > score(of=temperature) + 0.3


def test_letters_tell_what_their_sample_is_about() -> None:
    dataset = learn("text.yaml")
    fitted = LogisticRegression(max_iter=500).fit(dataset.train.features, dataset.train.values)
    assert fitted.score(dataset.test.features, dataset.test.values) > 0.85
