"""Fits of the quality bench, without packages or a pool."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.bench.quality.fitting import fit_key, fold_of, make_fit
from tests.bench.quality.folds import FOLDS
from tests.bench.quality.prediction import Candidate, Prediction
from tests.bench.quality.running import names_of, pending
from tests.bench.quality.scikit import SCIKIT, ScikitCandidate
from tests.bench.quality.store import FitName, Store
from tests.bench.quality.tables import Bundled, Frame, Kind, Packaged, Source, Table, as_table

MIXED = Source(name="mixed", origin=Packaged(requirement="p==1", path="x"), kind=Kind.CLASSES, target="y")


@pytest.fixture(scope="module")
def mixed() -> Table:
    """Numbers with gaps, texts with gaps, dates, and a class of four rows that the numbers tell."""
    generator = np.random.default_rng(0)
    label = np.array(["few"] * 4 + ["one", "two"] * 48)
    number = generator.normal(size=100) + 4 * (label == "two") - 4 * (label == "few")
    number[5::20] = np.nan
    text = generator.choice(np.array(["u", "v", None], dtype=object), 100)
    date = pd.date_range("2024-01-01", periods=100).strftime("%Y/%m/%d")
    return as_table(MIXED, pd.DataFrame({"number": number, "text": text, "date": date, "y": label}))


@dataclass(frozen=True, kw_only=True)
class Fake:
    """Answers what it is told to; refuses if it is told nothing."""

    answer: Prediction | None
    name: str = "fake"
    most_repeats: int | None = None

    def fingerprint(self) -> str:
        return "1"

    def fit_predict(self, source: Source, train: Frame, test: Frame) -> Prediction:
        assert source.target in train
        assert source.target not in test
        if self.answer is None:
            raise ValueError("too few rows")
        return self.answer


@pytest.mark.parametrize("candidate", SCIKIT, ids=lambda candidate: candidate.name)
def test_candidates_learn_mixed_tables(candidate: ScikitCandidate, mixed: Table) -> None:
    name = FitName(table="mixed", candidate=candidate.name, repeat=0, fold=1)
    fit, predictions = make_fit(candidate, mixed, fold_of(mixed, name), key="k")
    assert fit.error is None
    assert predictions is not None
    assert fit.scores["accuracy"] > 0.85
    assert predictions.probabilities.sum(axis=1) == pytest.approx(1)
    assert predictions.truth.tolist() == mixed.target[predictions.rows].tolist()


@pytest.mark.parametrize("candidate", SCIKIT, ids=lambda candidate: candidate.name)
def test_candidates_learn_numbers(candidate: ScikitCandidate) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(200, 2)), columns=["a", "b"])
    source = replace(MIXED, name="line", kind=Kind.NUMBERS)
    line = as_table(source, frame.assign(y=300 * frame["a"] - 200 * frame["b"] + 1000))
    name = FitName(table="line", candidate=candidate.name, repeat=0, fold=0)
    fit, predictions = make_fit(candidate, line, fold_of(line, name), key="k")
    assert fit.scores["r2"] > 0.85
    assert predictions is not None
    assert predictions.probabilities.shape == (40, 0)


def test_a_class_that_training_never_saw_is_given_nothing() -> None:
    probabilities = np.array([[0.25, 0.75]])
    found = Prediction(values=np.array(["c"], dtype=object), probabilities=probabilities, labels=("c", "a"))
    assert found.aligned(("a", "b", "c")).tolist() == [[0.75, 0.0, 0.25]]


def test_a_candidate_that_refuses_is_stored_as_such_and_is_tried_again(mixed: Table, tmp_path: Path) -> None:
    store, refuses = Store(folder=tmp_path), Fake(answer=None)
    name = FitName(table="mixed", candidate="fake", repeat=0, fold=0)
    store.write(*make_fit(refuses, mixed, fold_of(mixed, name), key=fit_key(refuses, mixed)))
    fit = store.read(name)
    assert fit is not None
    assert (fit.error, fit.scores, fit.sha256) == ("ValueError: too few rows", {}, None)
    assert name in pending([mixed], [refuses], store)


def test_a_stored_fit_is_not_made_again_unless_what_decides_it_changed(mixed: Table, tmp_path: Path) -> None:
    store = Store(folder=tmp_path)
    values = np.array(["one"] * 20, dtype=object)
    knows = Fake(answer=Prediction(values=values, probabilities=np.ones((20, 1)), labels=("one",)))
    candidates: list[Candidate] = [knows]
    name = FitName(table="mixed", candidate="fake", repeat=1, fold=0)
    assert len(pending([mixed], candidates, store)) == MIXED.repeats * FOLDS
    store.write(*make_fit(knows, mixed, fold_of(mixed, name), key=fit_key(knows, mixed)))
    assert name not in pending([mixed], candidates, store)
    changed = mixed.features.assign(number=mixed.features["number"] + 1)
    assert name in pending([replace(mixed, features=changed)], candidates, store)


def test_first_repeats_of_all_tables_come_first() -> None:
    twice = replace(MIXED, repeats=2)
    once = replace(MIXED, name="once", repeats=1)
    order = [(name.table, name.repeat) for name in names_of([twice, once], [Fake(answer=None)])]
    assert order == [("mixed", 0)] * FOLDS + [("once", 0)] * FOLDS + [("mixed", 1)] * FOLDS
    brief = list(names_of([twice], [Fake(answer=None), Fake(answer=None, name="brief", most_repeats=1)]))
    assert [name.repeat for name in brief if name.candidate == "brief"] == [0] * FOLDS
    assert len(brief) == 3 * FOLDS


def test_the_key_is_the_same_in_another_process() -> None:
    source = Source(name="x", origin=Bundled(load=dict), kind=Kind.CLASSES, target="y")
    table = as_table(source, pd.DataFrame({"a": [1.0, 2.0], "y": ["u", "v"]}))
    keys = {candidate.name: candidate.fingerprint() for candidate in SCIKIT}
    assert all(" at 0x" not in fingerprint for fingerprint in keys.values())
    assert len({fit_key(candidate, table) for candidate in SCIKIT}) == len(SCIKIT)
