"""Our candidates of the quality bench."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.bench.quality.fitting import make_fit
from tests.bench.quality.folds import repeated_folds
from tests.bench.quality.ours import MLP, OURS, OurCandidate
from tests.bench.quality.prediction import Candidate
from tests.bench.quality.scikit import LOGISTIC
from tests.bench.quality.tables import SOURCES, Kind, Packaged, Source, as_table, load_table, source_named

from modelservice.contract.resource import ModelService
from modelservice.families import ensemble

PACKAGED = Packaged(requirement="p==1", path="x")
NOWHERE = Path("no-packages-needed")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_resources_are_valid(source: Source) -> None:
    service = ModelService.model_validate(MLP.resource(source))
    assert service.spec.known_data.target == source.target
    assert service.spec.known_data.split.test == 0.01
    assert service.spec.task is not None
    assert (service.spec.task.classification is None) == (source.kind is Kind.NUMBERS)


def test_nothing_else_is_set() -> None:
    for candidate in OURS:
        spec = candidate.resource(source_named("iris"))["spec"]
        assert set(spec) - {"data", "task"} == (set() if candidate.model is None else {"model"})
        assert all(settings == {} for settings in (candidate.model or {}).values())


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks and epochs: these learn what is easy, and what leaks, as well."""
    monkeypatch.setattr(ensemble, "_MEMBERS", 4)
    monkeypatch.setattr(ensemble, "_EPOCHS", 25)


def test_raw_rows_are_learned_and_predicted() -> None:
    generator = np.random.default_rng(0)
    label = np.array(["0", "1"] * 50)
    number = generator.normal(size=100) + 4 * (label == "1")
    number[5::20] = np.nan
    text = generator.choice(np.array(["u", "v", None], dtype=object), 100)
    source = Source(name="mixed", origin=PACKAGED, kind=Kind.CLASSES, target="y")
    table = as_table(source, pd.DataFrame({"number": number, "text": text, "y": label}))
    fit, predictions = make_fit(MLP, table, next(repeated_folds(table.target, stratified=True, repeats=1)), key="k")
    assert fit.error is None
    assert predictions is not None
    assert fit.scores["accuracy"] > 0.85
    assert predictions.probabilities.sum(axis=1) == pytest.approx(1)


def test_numbers_are_learned_and_predicted() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(200, 2)), columns=["a", "b"])
    source = Source(name="line", origin=PACKAGED, kind=Kind.NUMBERS, target="y")
    table = as_table(source, frame.assign(y=300 * frame["a"] - 200 * frame["b"] + 1000))
    fit, _ = make_fit(MLP, table, next(repeated_folds(table.target, stratified=False, repeats=1)), key="k")
    assert fit.scores["r2"] > 0.9


@pytest.mark.parametrize("candidate", [MLP, LOGISTIC], ids=lambda candidate: candidate.name)
def test_shuffled_labels_reach_chance(candidate: Candidate) -> None:
    iris = load_table(source_named("iris"), NOWHERE)
    shuffled = replace(iris, target=np.random.default_rng(0).permutation(iris.target))
    folds = repeated_folds(shuffled.target, stratified=True, repeats=1)
    scores = [make_fit(candidate, shuffled, fold, key="k")[0].scores["accuracy"] for fold in islice(folds, 3)]
    # Of 90 rows of three equal classes; 0.15 is three deviations of the mean of that many guesses.
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.15)


def test_another_model_is_another_fingerprint() -> None:
    assert len({candidate.fingerprint() for candidate in OURS}) == len(OURS)
    assert OurCandidate(name="mlp", model={"mlp": {}}).fingerprint() == MLP.fingerprint()
