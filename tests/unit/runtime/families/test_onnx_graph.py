"""Several models in one graph: parts of their own names, and models that were written before."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.unit.runtime.families.datasets import fit, load, run_onnx

from modelservice.families.architecture import Scale
from modelservice.families.onnx_graph import Graph

MODELS: tuple[dict[str, Any], ...] = (
    {"mlp": {"hiddenLayers": [8]}},
    {"logistic": {}},
    {"svm": {}},
    {"decisionTree": {}},
)


def test_parts_begin_at_the_rows_and_share_no_name() -> None:
    graph = Graph()
    outputs = []
    for place, factor in enumerate((2, 3)):
        part = graph.part(f"member{place}")
        part.to_float64()
        part.add_linear(np.full((2, 1), factor, np.float64), np.zeros(1))
        part.add_head(Scale(mean=factor, std=10))
        outputs.append(part.value)
    assert graph.value == "features"
    graph.add("Sub", *outputs)
    content = graph.model(shape=(2,), width=1)
    np.testing.assert_allclose(run_onnx(content, np.array([[1, 2], [0, 0]])), [[-31], [-1]])
    names = [constant.name for constant in onnx.load_from_string(content).graph.initializer]
    assert {name.partition("/")[0] for name in names} == {"member0", "member1"}


def test_models_that_were_written_before_answer_in_one_graph_as_they_do_alone() -> None:
    dataset = load("iris")
    models = [fit(dataset, model, epochs=2).onnx for model in MODELS * 2]
    graph = Graph()
    outputs = [graph.part(f"{place}").append_model(content) for place, content in enumerate(models)]
    graph.add("Concat", *outputs, axis=1)
    together = graph.model(shape=dataset.shape, width=3 * len(models))
    onnx.checker.check_model(onnx.load_from_string(together), full_check=True)
    rows = dataset.test.features
    expected = np.concatenate([run_onnx(content, rows) for content in models], axis=1)
    np.testing.assert_allclose(run_onnx(together, rows), expected, rtol=1e-6, atol=1e-7)


def test_a_model_of_other_operators_is_refused() -> None:
    model = onnx.load_from_string(fit(load("iris"), {"logistic": {}}).onnx)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 13))
    with pytest.raises(ValueError, match=r"a model of operators \{'': 13\} does not fit into one of"):
        Graph().append_model(model.SerializeToString())
