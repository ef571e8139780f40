"""The second script finds what the bench found, and what is wrong with it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.bench.quality.__main__ import verdicts
from tests.bench.quality.fitting import fit_key, fold_of, make_fit
from tests.bench.quality.measured import standings_in, write_summary
from tests.bench.quality.prediction import Prediction
from tests.bench.quality.recompute import RIVALS, differences
from tests.bench.quality.running import names_of
from tests.bench.quality.store import Store
from tests.bench.quality.summary import compare
from tests.bench.quality.tables import Frame, Kind, Source, load_table, source_named

NOWHERE = Path("no-packages-needed")
CANDIDATES = ("mlp", "auto", *RIVALS)


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """Probabilities or numbers at random, those of a lower number closer to what a column tells."""

    name: str
    most_repeats: int | None = None

    def fingerprint(self) -> str:
        return self.name

    def fit_predict(self, source: Source, train: Frame, test: Frame) -> Prediction:
        generator = np.random.default_rng(CANDIDATES.index(self.name))
        if source.kind is Kind.NUMBERS:
            values = train[source.target].mean() + generator.normal(scale=10, size=len(test))
            return Prediction(values=values, probabilities=np.empty((len(test), 0)))
        labels = np.array(sorted(set(train[source.target])), dtype=object)
        shares = generator.dirichlet([1] * len(labels), len(test))
        return Prediction(values=labels[shares.argmax(axis=1)], probabilities=shares, labels=tuple(labels))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, Any]]:
    store = Store(folder=tmp_path_factory.mktemp("fits"))
    tables = [load_table(source_named(name), NOWHERE) for name in ("breast_cancer", "diabetes")]
    candidates = [Guesses(name=name) for name in CANDIDATES]
    for table in tables:
        for candidate in candidates:
            key = fit_key(candidate, table)
            for name in names_of([table.source], [candidate]):
                store.write(*make_fit(candidate, table, fold_of(table, name), key=key))
    standings = standings_in(store, tables, candidates)
    compared = [one for ours in ("auto", "mlp") for one in compare(standings, ours, RIVALS)]
    place = store.folder / "summary.json"
    write_summary(place, standings, compared, verdicts(tables, standings))
    return store, json.loads(place.read_text(encoding="utf-8"))


def changed(document: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    inner: Any = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copy


def test_both_agree(measured: tuple[Store, dict[str, Any]]) -> None:
    store, document = measured
    assert len(document["comparisons"]) == 4
    assert list(differences(document, store, NOWHERE, {})) == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("standings", 0, "scores", "accuracy", "mean"), "breast_cancer mlp: mean accuracy"),
        (("standings", 0, "scores", "log_loss", "deviation"), "breast_cancer mlp: deviation of log_loss"),
        (("comparisons", 0, "p_value"), "breast_cancer, auto against"),
        (("standings", 0, "fits"), "breast_cancer mlp: 10 fits are stored"),
    ],
)
def test_what_differs_is_named(measured: tuple[Store, dict[str, Any]], path: tuple[str | int, ...], said: str) -> None:
    store, document = measured
    found = list(differences(changed(document, *path, value=2), store, NOWHERE, {}))
    assert len(found) == 1
    assert found[0].startswith(said)


def test_each_verdict_is_found_again(measured: tuple[Store, dict[str, Any]]) -> None:
    store, document = measured
    limited = {one["figure"] for one in document["figures"] if one["unit"] in {"points", "R2"}}
    limited.add("auto: mean log loss, by that of logistic regression")
    figures = [{**one, "value": 777.0} for one in document["figures"]]
    found = list(differences({**document, "figures": figures}, store, NOWHERE, {}))
    assert {problem.rpartition(": ")[0] for problem in found} == limited


def test_another_best_is_named(measured: tuple[Store, dict[str, Any]]) -> None:
    store, document = measured
    best = document["comparisons"][0]["best"]
    other = next(rival for rival in RIVALS if rival != best)
    found = list(differences(changed(document, "comparisons", 0, "best", value=other), store, NOWHERE, {}))
    assert f"breast_cancer, auto against {other}: another one is better" in found
