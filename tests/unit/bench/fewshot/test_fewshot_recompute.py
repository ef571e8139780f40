"""The tables of the bench of few examples, from what is stored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.bench.fewshot import recompute
from tests.bench.fewshot.candidates import candidates_of
from tests.bench.fewshot.fitting import DrawName, key_of
from tests.bench.fewshot.recompute import gained, limits, markdown, standing
from tests.bench.fewshot.sets import SETS, Set, set_named

WORTH, NOT_WORTH = set_named("reuters"), set_named("tweets")
ROWS = 100


def store(folder: Path, one: Set, seed: int, wrong: dict[str, int]) -> None:
    """A draw in which some arrays are wrong on so many rows."""
    truth = np.arange(ROWS, dtype=np.uint8) % 2
    said: dict[str, Any] = {}
    for candidate in candidates_of(texts=one.texts):
        for size in candidate.sizes:
            key = key_of(size, candidate.name)
            said[key] = truth.copy()
            said[key][: wrong.get(key, 0)] ^= 1
    place = DrawName(set=one.name, seed=seed).place(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(place, truth=truth, **said)


def test_draws_become_rows_and_what_the_encoder_was_worth(tmp_path: Path) -> None:
    without = {key_of(16, name): 20 for name in ("tf-idf, logistic", "transformer from scratch")}
    for seed, wrong in enumerate((10, 30)):
        store(
            tmp_path, WORTH, seed, {**without, key_of(16, "encoder, svm"): wrong, key_of(16, "encoder, logistic"): 25}
        )
    found = standing(WORTH, tmp_path)
    assert found is not None
    assert (found.draws, found.predictions) == (2, 200)
    lines = markdown([found]).splitlines()
    (row,) = [line for line in lines if line.startswith("| reuters | encoder, svm |")]
    assert row == "| reuters | encoder, svm | 200 | 100.0 ± 0.0 | 80.0 ± 10.0 | 100.0 ± 0.0 | 100.0 ± 0.0 |"
    (scratch,) = [line for line in lines if line.startswith("| reuters | transformer from scratch |")]
    assert scratch.endswith("| - | 80.0 ± 0.0 | - | 100.0 ± 0.0 |")
    assert found.best(16, encoded=True) == "encoder, svm"
    assert gained(found, 16) == pytest.approx(0)
    (worth,) = [line for line in lines if line.startswith("| reuters | news")]
    assert worth.endswith("| yes | +0.0 | +0.0 | +0.0 | +0.0 | no |")


@pytest.mark.parametrize("one", [WORTH, NOT_WORTH], ids=lambda one: one.name)
def test_limits_count_where_an_encoder_was_expected_to_be_worth_having(tmp_path: Path, one: Set) -> None:
    store(tmp_path, one, 0, {key_of(16, "encoder, svm"): 11, key_of(16, "encoder, logistic"): 5})
    found = standing(one, tmp_path)
    assert found is not None
    figures = {told.figure.removeprefix(f"{one.name}: "): told for told in limits(found)}
    svm, logistic = (figures[f"encoder, {head}, 16 examples of a class by 125"] for head in ("svm", "logistic"))
    assert (svm.value, logistic.value) == pytest.approx((0.89, 0.95))
    few = figures["better than without an encoder, 16 examples of a class"]
    assert few.value == pytest.approx(-5)
    holds = [told.holds for told in (svm, logistic, few)]
    assert holds == ([False, True, False] if one.worth else [None, None, None])


def test_without_a_draw_the_bench_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recompute, "STORED", tmp_path)
    monkeypatch.setattr(recompute, "record", lambda *_, **__: 0)
    assert standing(SETS[0], tmp_path) is None
    assert recompute.main() == 1
    assert "What an encoder was worth" in capsys.readouterr().out
