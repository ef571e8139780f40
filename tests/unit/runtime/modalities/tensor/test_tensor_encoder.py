"""Tensors of requests: every form, and a sentence for each way that they can be wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from modelservice.modalities.errors import InputError
from modelservice.modalities.tensor.encoder import TensorEncoder
from modelservice.modalities.tensor.preprocessing import TensorInput, TensorPreprocessing
from modelservice.modalities.tensors import Tensor

IDS = {"name": "ids", "datatype": "INT64", "shape": [2], "example": [3, 4]}
FLAG = {"name": "flag", "datatype": "BOOL", "shape": [1]}
MASKED = np.ma.masked_array([[1, 2]], mask=[[True, False]])
PIXELS = {"name": "pixels", "datatype": "FP16", "shape": [2, 2]}


def encoder(*tensors: dict[str, Any]) -> TensorEncoder:
    return TensorEncoder(TensorPreprocessing.model_validate({"tensors": tensors}))


def test_every_form_of_a_request_gives_the_same_rows() -> None:
    both = encoder(IDS, FLAG)
    expected = [[7, 8, 1], [9, 10, 0]]
    forms = [
        both.from_instances([{"ids": [7, 8], "flag": True}, {"flag": [False], "ids": [9, 10]}]),
        both.from_inputs({"ids": [[7, 8], [9, 10]], "flag": [True, [False]]}),
        both.from_tensors([Tensor("flag", "BOOL", (2,), [True, False]), Tensor("ids", "INT64", (2, 2), [7, 8, 9, 10])]),
        both.from_frame({"ids": np.array([[7, 8], [9, 10]]), "flag": [True, False]}),
    ]
    for rows in forms:
        features = both.encode(rows)
        assert features.dtype == np.float32
        assert features.tolist() == expected


def test_a_whole_number_beyond_any_float_is_not_finite() -> None:
    alone = encoder({"name": "x", "datatype": "FP32", "shape": [2]})
    with pytest.raises(InputError):
        alone.encode(alone.from_tensors([Tensor("x", "FP32", (1, 2), [1.5, 10**400])]))


def test_a_lone_tensor_needs_no_name() -> None:
    alone = encoder(PIXELS)
    image = [[1, 2], [3, 4.5]]
    for rows in (alone.from_instances([image]), alone.from_inputs([image]), alone.from_frame(np.array([image]))):
        assert alone.encode(rows).tolist() == [[1, 2, 3, 4.5]]
    assert alone.example() == [[0.0, 0.0], [0.0, 0.0]]
    assert alone.encode(alone.from_instances([])).shape == (0, 4)


def test_its_example_is_one_that_it_takes() -> None:
    both = encoder(IDS, FLAG)
    assert both.example() == {"ids": [3, 4], "flag": [False]}
    assert both.encode(both.from_instances([both.example()])).tolist() == [[3, 4, 0]]
    assert both.tensors()[1] == {"name": "flag", "datatype": "BOOL", "shape": [-1, 1]}


WRONG: dict[str, tuple[Callable[[TensorEncoder], Any], str]] = {
    "shape": (lambda one: one.from_instances([{"ids": [1], "flag": 1}]), r"\[0\].ids: has shape \[1\]; expected \[2\]"),
    "ragged": (lambda one: one.from_instances([{"ids": [1, [2]], "flag": 1}]), "its arrays differ in length"),
    "texts": (lambda one: one.from_instances([{"ids": ["a", "b"], "flag": 1}]), "holds a value that is not a number"),
    "missing": (lambda one: one.from_instances([{"ids": [1, 2]}]), r"\[0\].flag: is missing"),
    "unknown": (lambda one: one.from_instances([{"ids": [1, 2], "flag": 1, "x": 1}]), r"\[0\].x: is no input of this"),
    "no object": (lambda one: one.from_instances([[1, 2]]), r"\[0\]: an array of 2 is not an object of ids, flag"),
    "masked": (lambda one: one.from_frame({"ids": MASKED, "flag": [[1]]}), "values are hidden behind a mask"),
    "inputs": (lambda one: one.from_inputs([1]), "must be an object of ids, flag, not an array of 1"),
    "no array": (lambda one: one.from_inputs({"ids": 1, "flag": [1]}), "ids: must be an array of rows, not the number"),
    "rows": (lambda one: one.from_inputs({"ids": [[1, 2]], "flag": []}), "flag: has 0 rows, but ids has 1"),
    "twice": (
        lambda one: one.from_tensors([Tensor("ids", "INT64", (1, 2), [1, 2]), Tensor("ids", "INT64", (1, 2), [1, 2])]),
        "is none of this model's, or comes twice",
    ),
    "left out": (lambda one: one.from_tensors([Tensor("ids", "INT64", (1, 2), [1, 2])]), "flag is missing"),
    "bytes": (
        lambda one: one.from_tensors([Tensor("ids", "BYTES", (1, 2), ["a"]), Tensor("flag", "BOOL", (1,), [True])]),
        "BYTES; the model takes INT64",
    ),
    "tensor shape": (
        lambda one: one.from_tensors([Tensor("ids", "INT64", (1, 3), [1] * 3), Tensor("flag", "BOOL", (1,), [True])]),
        r"\[1, 3\]; expected \[1, 2\]",
    ),
    "frame": (lambda one: one.from_frame(3), "a int is neither an object of tensors nor an array of rows"),
    "cells": (lambda one: one.cells([]), "a tensor has no columns"),
    "parts": (lambda one: one.parts([]), "a tensor has no parts"),
}


@pytest.mark.parametrize(("ask", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(ask: Callable[[TensorEncoder], Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ask(encoder(IDS, FLAG))


@pytest.mark.parametrize(
    ("told", "value", "sentence"),
    [
        ("INT64", 2**24 + 2, "16777218 is not a whole number from -16777216 to 16777216, as INT64 wants"),
        ("UINT8", 1.5, "1.5 is not a whole number from 0 to 255"),
        ("UINT8", -1, "-1 is not a whole number from 0 to 255"),
        ("BOOL", 2, "2 is not a whole number from 0 to 1"),
        ("FP16", 70000, "70000 is not a number from -65504 to 65504"),
        ("FP32", 1e39, r"1e\+39 is not a finite number of float32"),
        ("FP64", float("nan"), "nan is not a finite number of float32"),
    ],
)
def test_numbers_that_would_not_reach_the_model_as_they_are_are_refused(told: str, value: Any, sentence: str) -> None:
    one = encoder({"name": "x", "datatype": told, "shape": [2]})
    with pytest.raises(InputError, match=rf"\[1\].x: {sentence}"):
        one.encode(one.from_instances([[0, 0], [0, value]]))


def test_a_document_has_to_agree_with_itself() -> None:
    with pytest.raises(ValidationError, match="an example of 2 values is needed, not one of 1"):
        TensorInput.model_validate({**IDS, "example": [1]})
    with pytest.raises(ValidationError, match="names of tensors must differ"):
        encoder(IDS, IDS)
    with pytest.raises(ValidationError, match="a row has 33554432 values, at most"):
        encoder(*({"name": name, "datatype": "FP32", "shape": [2**24]} for name in "ab"))
