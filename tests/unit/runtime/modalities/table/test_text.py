"""Columns of free text."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.modalities.table.tables import column, learn, opened

from modelservice.contract.signature import ColumnContent
from modelservice.modalities.errors import InputError
from modelservice.modalities.table.grams import READ_CHARACTERS, hashed_grams, words_of
from modelservice.modalities.table.kinds.text import BUCKETS, NORM

ADJECTIVES = ("good", "slow", "kind", "loud", "cheap", "small", "dirty", "warm")
THINGS = ("room", "staff", "breakfast", "pool", "bed", "view", "lift", "bar", "garden")


def review(n: int) -> str:
    return f"The {THINGS[n % 9]} was {ADJECTIVES[n % 8]} on day {n}"


def cells(n: int) -> str:
    return f"{n % 7},{'' if n % 6 == 5 else review(n)}"


def test_texts_of_several_words_are_free_text_and_said() -> None:
    dataset = learn({}, "a,t", cells)
    assert (column(dataset, 1).content, column(dataset, 1).categories) == (ColumnContent.TEXT, ())
    said = "column t holds free text: what is learned from are pairs and triples of its letters"
    assert said in dataset.notes
    assert dataset.shape == (1 + BUCKETS + 1,)
    assert "breakfast" not in dataset.preprocessing.model_dump_json()
    texts = ["the pool was good", None, "?!", "  THE Pool was good "]
    encoded = opened(dataset).encode([[0, text] for text in texts])[:, 1:]
    np.testing.assert_allclose(np.linalg.norm(encoded[:, :-1], axis=1), [NORM, 0, 0, NORM], rtol=1e-6)
    assert encoded[:, -1].tolist() == [0, 1, 0, 0]
    np.testing.assert_array_equal(encoded[0], encoded[3])


def test_of_a_long_text_the_beginning_is_read_and_that_is_said() -> None:
    long = "the pool was good " * READ_CHARACTERS
    dataset = learn({}, "a,t", lambda n: f"{n % 7},{review(n)}{long if n < 2 else ''}")
    said = f"column t: 2 texts have more than {READ_CHARACTERS} characters, of which the first are read"
    assert said in dataset.notes
    encoder = opened(dataset)
    cut, whole = encoder.encode([[0, long[:READ_CHARACTERS]], [0, long]])
    np.testing.assert_array_equal(cut, whole)


def test_a_character_that_stands_for_many_makes_no_text_longer_than_any() -> None:
    assert sum(map(len, words_of("\ufdfa" * 2 * READ_CHARACTERS))) <= READ_CHARACTERS


def test_the_example_is_no_row_but_usual_words() -> None:
    encoder = opened(learn({}, "a,t", cells))
    assert encoder.example()["t"] == "day on the"
    alone = learn({"t": "Text"}, "a,t", lambda n: f"{n},{chr(97 + n % 26)}{n}")
    assert opened(alone).example()["t"] == "text"


@pytest.mark.parametrize(
    ("cell", "content"),
    [
        (lambda n: f"id-{n}", None),  # an identifier
        (lambda n: f"{THINGS[n % 9]} on the left", None),  # comes again
        (lambda n: f"John Smith{n}", None),  # two words
        (lambda n: f"{1000 + n} 000 000;-", None),  # no letters
        (review, ColumnContent.TEXT),
    ],
)
def test_what_is_free_text(cell: Any, content: Any) -> None:
    dataset = learn({}, "a,t", lambda n: f"{n},{cell(n)}")
    found = {column(dataset, at).content for at, one in enumerate(dataset.inputs) if one.name == "t"}
    assert found <= {content}


def test_an_identifier_is_left_out_and_said() -> None:
    assert "ignored column t: every value differs" in learn({}, "a,t", lambda n: f"{n},id-{n}").notes


def test_any_column_is_text_where_it_is_said() -> None:
    dataset = learn({"t": "Text", "a": "Text"}, "a,t", lambda n: f"{n},{'xyz'[n % 3]}")
    assert dataset.shape == (2 * BUCKETS,)
    np.testing.assert_array_equal(opened(dataset).encode([[7, "x"]]), opened(dataset).encode([["7", "x"]]))
    # More texts than categories can be told apart.
    assert learn({"t": "Text"}, "a,t", lambda n: f"{n},w{n % 1200}", rows=2400).shape == (1 + BUCKETS,)


def test_texts_alike_are_alike() -> None:
    encoded = opened(learn({}, "a,t", cells)).encode(
        [[0, text] for text in ("the staff was friendly", "the staff was unfriendly", "parking costs ten euros")]
    )[:, 1:]
    one, other, third = encoded
    assert one @ other > 2 * abs(one @ third)


def test_words_that_are_not_parted_by_blanks_have_letters_all_the_same() -> None:
    good, bad = "\u9910\u5385\u5f88\u597d", "\u9910\u5385\u5f88\u5dee"
    one, other = (hashed_grams(text, buckets=512, norm=1.0) for text in (good, bad))
    assert 0 < len(one.keys() & other.keys()) < len(one)


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from modelservice.modalities.table.grams import hashed_grams as f; print(f('to', buckets=8, norm=1.0))"
    paths = ":".join(sys.path)
    for seed in ("1", "2"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout == f"{hashed_grams('to', buckets=8, norm=1.0)}\n"


def test_places_never_change_since_models_were_trained_on_them() -> None:
    places = {0: 1, 1: -1, 4: 1, 6: -1, 7: 1}
    assert hashed_grams("to", buckets=8, norm=5**0.5) == pytest.approx(places)


@given(st.text(max_size=40), st.integers(1, 64))
def test_any_text_has_the_length_that_is_asked_for_or_none(text: str, buckets: int) -> None:
    hashed = hashed_grams(text, buckets=buckets, norm=2.0)
    assert all(0 <= place < buckets for place in hashed)
    assert sum(value**2 for value in hashed.values()) == pytest.approx(4.0 if hashed else 0.0)


def test_encoding_does_not_depend_on_how_many_rows_there_are() -> None:
    encoder = opened(learn({}, "a,t", cells))
    rows = [[n, review(n)] for n in range(60)]
    np.testing.assert_array_equal(encoder.encode(rows), np.concatenate([encoder.encode([row]) for row in rows]))


def test_a_structure_is_no_text() -> None:
    with pytest.raises(InputError, match=r"\[0\]\.t: \['x'\] is neither text nor a number"):
        opened(learn({}, "a,t", cells)).encode([[0, ["x"]]])
