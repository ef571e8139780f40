"""The tables of the bench of compression, from what is stored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.bench.compression import recompute
from tests.bench.compression.fitting import BEFORE, keys_of
from tests.bench.compression.recompute import limits, markdown, paired, standing
from tests.bench.compression.subjects import SUBJECTS, Subject, subject_named

AUTO = subject_named("glyphs-mlp")
DISTILLED = subject_named("digits-ensemble")
ROWS = 400


def store(folder: Path, subject: Subject, fold: int, wrong: dict[str, int]) -> None:
    """A fold in which models of some keys are wrong on so many rows, the first ones."""
    truth = np.arange(ROWS) % 10
    answers: dict[str, Any] = {}
    for key in keys_of(subject):
        said = truth.astype(np.uint8)
        said[: wrong.get(key, 0)] = (said[: wrong.get(key, 0)] + 1) % 10
        answers[f"model {key}"] = said
    place = folder / subject.name / f"0-{fold}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(place.with_suffix(".npz"), truth=truth, **answers)
    times = {BEFORE: 1000}
    sizes = {key: {"parameters": times.get(key, 40), "bytes": 4 * times.get(key, 20)} for key in keys_of(subject)}
    place.write_text(json.dumps({"sizes": sizes}), encoding="utf-8")


def test_the_interval_is_that_of_the_paired_differences() -> None:
    before, after = np.array([True] * 90 + [False] * 10), np.array([True] * 88 + [False] * 12)
    lost, low, high = paired(before, after)
    assert lost == pytest.approx(0.02)
    middle, deviation = 2 / 102, (3 / 102 - (2 / 102) ** 2) ** 0.5 / 102**0.5
    assert (low, high) == pytest.approx((middle - 1.96 * deviation, middle + 1.96 * deviation), abs=1e-5)
    # Where nothing differs, something may be lost all the same.
    lost, low, high = paired(before, before)
    assert (lost, low) == (0, -high)
    assert high == pytest.approx(1.96 / 102, abs=1e-5)


@pytest.mark.parametrize("subject", [AUTO, DISTILLED], ids=lambda one: one.name)
def test_folds_become_rows_and_figures_with_their_limits(tmp_path: Path, subject: Subject) -> None:
    made = keys_of(subject)[1]
    for fold in range(2):
        store(tmp_path, subject, fold, {made: 4, "from scratch": 40})
    found = standing(subject, tmp_path)
    assert found is not None
    lines = markdown([found]).splitlines()
    (row,) = [line for line in lines if line.startswith(f"| {subject.name} | {made} |")]
    assert row.startswith(f"| {subject.name} | {made} | 2 | 800 | 40 | 80 | 99.00 | 1.00 | ")
    figures = {one.figure.removeprefix(f"{subject.name}: "): one for one in limits(found, {})}
    loss = figures["lost, upper end of the 95 % interval"]
    assert loss.value > 1
    assert loss.holds is False
    assert figures["fewer bytes, every fold"].value == 50
    if subject is AUTO:
        assert figures["fewer parameters, every fold"].holds
        assert figures["better than from scratch"].value == pytest.approx(9)


def test_only_the_larger_batch_has_a_limit(tmp_path: Path) -> None:
    store(tmp_path, AUTO, 0, {})
    found = standing(AUTO, tmp_path)
    assert found is not None
    seconds = {batch: {BEFORE: 3.0, found.made: 2.0} for batch in ("1", "64")}
    one, many = limits(found, seconds)[-2:]
    assert (one.value, one.holds, many.value, many.holds) == (1.5, None, 1.5, False)


def test_without_a_fold_the_bench_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recompute, "STORED", tmp_path)
    monkeypatch.setattr(recompute, "record", lambda *_, **__: 0)
    assert standing(SUBJECTS[0], tmp_path) is None
    assert recompute.main() == 1
    assert "Accuracy over all test rows" in capsys.readouterr().out
