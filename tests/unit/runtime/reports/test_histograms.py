"""The baseline: bounded histograms in which every row is counted, and which a server can fill in the same way."""

import bisect
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.runtime.reports.subjects import subject_of

from modelservice.contract.baseline import MAX_BINS, MAX_TEXTS, Baseline, NumberHistogram, TextHistogram
from modelservice.modalities.base import Variable
from modelservice.reports.histograms import histogram, measure_baseline

cells = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(0, 3).map(float))


@given(values=st.lists(cells, max_size=200))
def test_every_number_is_in_the_bin_that_its_edges_say(values: list[float | None]) -> None:
    found = histogram("x", Variable(np.array([np.nan if value is None else value for value in values], dtype=float)))
    assert isinstance(found, NumberHistogram)
    present = [value for value in values if value is not None]
    counted = Counter(bisect.bisect_left(found.edges, value) for value in present)
    assert found.counts == tuple(counted[at] for at in range(len(found.edges) + 1))
    assert found.missing == len(values) - len(present)
    assert len(found.counts) <= MAX_BINS
    assert not present or min(found.counts) > 0


def test_bins_hold_about_as_many_rows_each() -> None:
    found = histogram("x", Variable(np.exp(np.random.default_rng(0).normal(size=1000) * 5)))
    assert isinstance(found, NumberHistogram)
    assert len(found.counts) == MAX_BINS
    assert set(found.counts) == {50}


@given(codes=st.lists(st.integers(-1, 80), max_size=300))
def test_every_text_is_counted(codes: list[int]) -> None:
    texts = tuple(f"t{code}" for code in range(81))
    found = histogram("x", Variable(np.array(codes, dtype=np.int32), texts))
    assert isinstance(found, TextHistogram)
    assert sum(found.counts) + found.other + found.missing == len(codes)
    assert found.missing == codes.count(-1)
    assert len(found.texts) <= MAX_TEXTS
    assert list(found.counts) == sorted(found.counts, reverse=True)
    for text, count in zip(found.texts, found.counts, strict=True):
        assert codes.count(int(text[1:])) == count


def test_features_are_of_training_rows_and_outputs_of_test_rows() -> None:
    rows = [
        f"{n / 7:.3f},{'ab'[n % 2]},2024-01-{1 + n % 28:02d},{'yes' if n % 3 else 'no'},"
        f"the word {n} is one,{'pq'[n % 2]}"
        for n in range(200)
    ]
    subject = subject_of(rows, header="number,text,day,flag,words,y")
    baseline = measure_baseline(subject)
    assert Baseline.model_validate_json(baseline.model_dump_json()) == baseline
    assert baseline.feature_rows == len(subject.dataset.train.values)
    assert baseline.output_rows == len(subject.dataset.test.values)
    kinds = {one.name: one.unit if isinstance(one, NumberHistogram) else one.texts for one in baseline.features}
    assert kinds.keys() == {"number", "text", "day", "flag", "words"}
    assert (kinds["number"], kinds["day"], kinds["words"]) == (None, "seconds since 1970", "characters")
    assert set(kinds["text"] or ()) == {"a", "b"}
    assert set(kinds["flag"] or ()) == {"yes", "no"}
    assert [one.name for one in baseline.outputs] == ["label", "probabilities: p", "probabilities: q"]
    assert all(sum(one.counts) == baseline.output_rows for one in baseline.outputs)
    assert "the word" not in baseline.model_dump_json()


def test_a_baseline_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValidationError, match="2 edges make 3 bins, not 2"):
        NumberHistogram(name="x", edges=(1.0, 2.0), counts=(1, 2))
    with pytest.raises(ValidationError, match="1 texts need as many counts, not 0"):
        TextHistogram(name="x", texts=("a",), counts=())
