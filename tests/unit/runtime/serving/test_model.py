"""What is asked of a model before it is served."""

from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.serving.fakes import (
    FakeModel,
    core_of,
    image_model,
    mixed_model,
    numeric_model,
    regression_model,
)

from modelservice.serving.budget import Budget
from modelservice.serving.calls import Call
from modelservice.serving.errors import RequestError
from modelservice.serving.model import (
    Computation,
    ImprobableError,
    ModelFaultError,
    check_answer,
    computed,
    example_rows,
)


@pytest.mark.parametrize("build", [numeric_model, mixed_model, regression_model, image_model])
def test_a_models_own_example_is_answered_as_its_signature_says(build: Any) -> None:
    model: FakeModel = build()
    check_answer(model, computed(Computation(model), example_rows(model, 1)))
    assert len(computed(Computation(model), example_rows(model, 5))) == 5


def test_a_model_with_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ModelFaultError, match=r"probabilities \[1, 2\]; the signature says .*probabilities \[1, 3\]"):
        check_answer(numeric_model(), np.array([[0.5, 0.5]], dtype=np.float32))
    with pytest.raises(ModelFaultError, match=r"one row with shape \[1, 2, 3\], expected \[1, width\]"):
        check_answer(numeric_model(), np.zeros((1, 2, 3), dtype=np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_is_not_finite_on_its_own_example_is_refused(value: float) -> None:
    with pytest.raises(ModelFaultError, match="not finite: train it again"):
        check_answer(regression_model(), np.array([[value]], dtype=np.float32))


async def test_answers_that_are_not_one_for_each_row_reach_nobody() -> None:
    model = numeric_model()
    run = model.engine.run
    model.engine.run = lambda features: run(features)[:1]  # type: ignore[method-assign]
    computation = Computation(model)
    assert len(computed(computation, example_rows(model, 1))) == 1
    with pytest.raises(ModelFaultError, match="answers 3 rows with 1"):
        computed(computation, example_rows(model, 3))
    inference = core_of(numeric_model()).inference
    core = core_of(model)
    call = Call(example_rows(model, 3), lambda error: RequestError(str(error)), len)
    assert await inference.answer(lambda: call, large=False, held=Budget().hold()) == 3
    with pytest.raises(ModelFaultError):
        await core.inference.answer(lambda: call, large=False, held=Budget().hold())


@pytest.mark.parametrize("answer", [[-7, 5, 3], [0.5, 0.5, 0.5], [-0.2, 0.6, 0.6]])
async def test_what_a_packed_model_says_of_labels_is_answered_only_where_it_is_probable(answer: list[float]) -> None:
    model = numeric_model()
    rows, call = example_rows(model, 2), Call(example_rows(model, 2), lambda error: RequestError(str(error)), len)
    raw = np.array([[0.2, 0.3, 0.5], answer], np.float32)
    model.engine.run = lambda features: raw  # type: ignore[method-assign] # noqa: ARG005
    assert len(computed(Computation(model), rows)) == 2
    model.trained = False
    with pytest.raises(ImprobableError, match=r"which are no probabilities of 3 labels: say --logits when packing"):
        computed(Computation(model), rows)
    raw = np.array([[0.2, 0.3, 0.5], [0.3331, 0.3331, 0.3331]], np.float32)
    assert await core_of(model).inference.answer(lambda: call, large=False, held=Budget().hold()) == 2
    raw = np.array([[0.2, 0.3, 0.5], answer], np.float32)
    with pytest.raises(ImprobableError):
        await core_of(model).inference.answer(lambda: call, large=False, held=Budget().hold())


def test_categories_that_training_never_saw_are_told_once_they_are_answered() -> None:
    mixed = mixed_model()
    told: list[Any] = []
    computation = Computation(mixed, record=told.append)
    computed(computation, [[0, "Basel"]])
    computed(computation, [[0, "Basel"], [0, "Nowhere"], [0, "Elsewhere"]])
    assert told == [{"city (home)": 2}]
