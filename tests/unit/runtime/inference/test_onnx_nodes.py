"""Nodes, attributes and constants are those that the onnx package reads, and the rest of a graph computes on."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from modelservice.artifact.errors import ArtifactError
from modelservice.inference.onnx_engine import open_session
from modelservice.inference.onnx_nodes import OnnxNodes

MODES = st.sampled_from(["LEAF", "BRANCH_LEQ"])
INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=32, allow_nan=False)


def model(*nodes: onnx.NodeProto, constants: tuple[onnx.TensorProto, ...] = (), width: int = 2) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "model",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["rows", width])],
        constants,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


@settings(max_examples=200)
@given(
    ints=st.lists(INTS, max_size=30),
    floats=st.lists(FLOATS, max_size=30),
    modes=st.lists(MODES | st.text(max_size=5), max_size=30),
    single=st.tuples(INTS, FLOATS, st.text(max_size=5)),
)
@example(ints=[], floats=[], modes=["LEAF", "else", "BRANCH_LEQ", "BRANCH_LT ", "LEAF"], single=(0, 0.0, ""))
def test_attributes_are_those_that_were_written(
    ints: list[int], floats: list[float], modes: list[str], single: tuple[int, float, str]
) -> None:
    kinds = onnx.AttributeProto
    node = helper.make_node("Any", ["features"], ["raw"], domain="ai.onnx.ml")
    tensor = numpy_helper.from_array(np.array(floats, np.float64))
    node.attribute.extend(
        [
            kinds(name="ints", ints=ints, type=kinds.INTS),
            kinds(name="floats", floats=floats, type=kinds.FLOATS),
            kinds(name="strings", strings=[mode.encode() for mode in modes], type=kinds.STRINGS),
            kinds(name="i", i=single[0], type=kinds.INT),
            kinds(name="f", f=single[1], type=kinds.FLOAT),
            kinds(name="s", s=single[2].encode(), type=kinds.STRING),
            kinds(name="t", t=tensor, type=kinds.TENSOR),
        ]
    )
    (read,) = OnnxNodes(model(node)).nodes
    assert (read.operator, read.domain, read.inputs, read.outputs) == ("Any", "ai.onnx.ml", ("features",), ("raw",))
    found = read.attributes()
    for name, expected in (("ints", ints), ("floats", floats)):
        assert (found[name] is None and not expected) or found[name].tolist() == expected
    texts = [mode.rstrip("\0").encode() for mode in modes]
    assert (found["strings"] is None and not modes) or found["strings"].tolist() == texts
    assert (found["i"], found["f"], found["s"]) == (single[0], single[1], single[2].encode())
    assert found["t"].tolist() == floats


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_constants_are_read_in_each_form_or_not_at_all(kind: Any, raw: bool) -> None:
    array = np.arange(6).reshape(2, 3).astype(kind)
    stored = numpy_helper.from_array(array, "c")
    if not raw:
        stored = helper.make_tensor("c", stored.data_type, array.shape, array.ravel().tolist())
    graph = OnnxNodes(model(helper.make_node("Identity", ["features"], ["raw"]), constants=(stored,)))
    found = graph.constant("c")
    if kind is np.int64 and not raw:
        assert found is None  # packed as varints, which nobody writes here
    else:
        assert found is not None
        np.testing.assert_array_equal(found, array)
    assert graph.constant("other") is None


def test_a_constant_of_another_type_is_not_read_and_a_short_one_is_damage() -> None:
    node = helper.make_node("Identity", ["features"], ["raw"])
    short = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[3], raw_data=bytes(8))
    bools = numpy_helper.from_array(np.array([True]), "b")
    graph = OnnxNodes(model(node, constants=(short, bools)))
    assert graph.constant("b") is None
    with pytest.raises(ArtifactError, match="is not an ONNX file"):
        graph.constant("c")


@pytest.mark.parametrize("content", [b"\x3a\x05ab", b"\x3b", b"\x38\x01", b"\xff" * 11])
def test_a_damaged_file_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="is not an ONNX file"):
        OnnxNodes(content)


def test_the_rest_of_a_graph_computes_from_a_value_on() -> None:
    """A branch after the value, constants of both halves, and another part of the model that is left out."""
    weights, two = (
        numpy_helper.from_array(np.array(array, np.float32), name)
        for array, name in (([[1, 2, 3], [4, 5, 6]], "w"), ([[2]], "two"))
    )
    content = model(
        helper.make_node("MatMul", ["features", "w"], ["sums"]),
        helper.make_node("Mul", ["sums", "two"], ["twice"]),
        helper.make_node("Sigmoid", ["sums"], ["shares"]),
        helper.make_node("Concat", ["twice", "shares"], ["raw"], axis=1),
        constants=(weights, two),
        width=6,
    )
    rest = OnnxNodes(content).rest("sums", width=3)
    onnx.checker.check_model(rest)
    rows = np.array([[1, -1], [0.5, 0.25]], np.float32)
    (whole,) = open_session(content).run(["raw"], {"features": rows})
    sums = rows @ np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    (found,) = open_session(rest).run(["raw"], {"sums": sums})
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    assert len(rest) < len(content) - 24  # without the weights
