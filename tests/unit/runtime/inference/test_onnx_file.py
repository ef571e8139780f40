"""A model is data: whatever would reach beyond its own file is refused before onnxruntime sees it."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data
from tests.unit.runtime.inference.graphs import linear, model, tensor, value

from modelservice.artifact.errors import ArtifactError
from modelservice.inference import onnx_file
from modelservice.inference.onnx_engine import OnnxEngine, open_session
from modelservice.inference.onnx_file import MAX_DEPTH, check_onnx, read_field


def outside(weights: onnx.TensorProto, location: str = "secret.bin") -> onnx.TensorProto:
    """The same tensor, its data said to lie in another file."""
    set_external_data(weights, location=location, offset=0, length=len(weights.raw_data))
    weights.ClearField("raw_data")
    return weights


def constant(weights: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["w"], value=weights)


def within_branch(node: onnx.NodeProto) -> onnx.ModelProto:
    """A node in a graph in an attribute of a node."""
    branch = helper.make_graph([node], "branch", [], [value("w", [4, 3])])
    condition = onnx.numpy_helper.from_array(np.array(True), "c")
    chosen = helper.make_node("If", ["c"], ["m"], then_branch=branch, else_branch=branch)
    return model([chosen, helper.make_node("MatMul", ["features", "m"], ["raw"])], weights=[condition])


def sparse_outside() -> onnx.ModelProto:
    file = linear()
    values, indices = tensor("s", [1.0]), onnx.numpy_helper.from_array(np.array([0], np.int64), "i")
    sparse = helper.make_sparse_tensor(outside(values), indices, [4])
    file.graph.sparse_initializer.append(sparse)
    return file


def with_functions() -> onnx.ModelProto:
    file = linear()
    body = [helper.make_node("Identity", ["x"], ["y"])]
    file.functions.append(helper.make_function("ai.onnx", "Own", ["x"], ["y"], body, [helper.make_opsetid("", 21)]))
    return file


def with_training() -> onnx.ModelProto:
    file = linear()
    file.training_info.add()
    return file


def of_domain(domain: str) -> onnx.ModelProto:
    node = helper.make_node("MatMul", ["features", "w"], ["raw"], domain=domain)
    return model([node], weights=[tensor("w", np.ones((4, 3)))], domains=("", domain))


WEIGHTS = np.ones((4, 3))


@pytest.mark.parametrize(
    "file",
    [
        linear(),
        of_domain("ai.onnx"),
        of_domain("ai.onnx.ml"),
        of_domain("com.microsoft"),
        within_branch(constant(tensor("w", WEIGHTS))),
    ],
)
def test_a_graph_with_its_own_weights_is_taken(file: onnx.ModelProto) -> None:
    check_onnx(file.SerializeToString())


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (model([], weights=[outside(tensor("w", WEIGHTS))]), "data in another file"),
        (model([constant(outside(tensor("w", WEIGHTS)))]), "data in another file"),
        (within_branch(constant(outside(tensor("w", WEIGHTS)))), "data in another file"),
        (sparse_outside(), "data in another file"),
        (of_domain("com.example"), "operators of 'com.example', allowed are ai.onnx, ai.onnx.ml, com.microsoft"),
        (of_domain("ai.onnx.preview.training"), "operators of 'ai.onnx.preview.training'"),
        (with_functions(), "functions of its own"),
        (with_training(), "training information"),
    ],
)
def test_what_reaches_beyond_the_file_is_refused(file: onnx.ModelProto, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        OnnxEngine(file.SerializeToString())


def test_onnxruntime_alone_would_read_the_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the check is there: with this test failing, onnxruntime has become as strict as we are."""
    from onnxruntime import InferenceSession  # noqa: PLC0415

    (tmp_path / "secret.bin").write_bytes(np.full((4, 3), 7, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    product = helper.make_node("MatMul", ["features", "w"], ["raw"])
    file = model([product], weights=[outside(tensor("w", WEIGHTS))]).SerializeToString()
    (answer,) = InferenceSession(file).run(None, {"features": np.ones((1, 4), np.float32)})
    assert answer.tolist() == [[28, 28, 28]]
    with pytest.raises(ArtifactError, match="another file"):
        check_onnx(file)


def test_a_second_graph_is_looked_into_too() -> None:
    """Protobuf merges a field that comes twice: so both are read."""
    hidden = model([], weights=[outside(tensor("w", WEIGHTS))])
    with pytest.raises(ArtifactError, match="another file"):
        check_onnx(linear().SerializeToString() + hidden.SerializeToString())


def lists_of(**members: Any) -> onnx.ModelProto:
    """A node in a branch, with an attribute of these members."""
    node = helper.make_node("Constant", [], ["w"])
    node.attribute.add(name="a", **members)
    return within_branch(node)


def outside_sparse() -> onnx.SparseTensorProto:
    return sparse_outside().graph.sparse_initializer[0]


def graph_outside() -> onnx.GraphProto:
    return model([], weights=[outside(tensor("w", WEIGHTS))]).graph


def of_domain_within() -> onnx.ModelProto:
    return within_branch(helper.make_node("Own", [], ["w"], domain="com.example"))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (lists_of(t=outside(tensor("w", WEIGHTS))), "another file"),
        (lists_of(tensors=[tensor("v", WEIGHTS), outside(tensor("w", WEIGHTS))]), "another file"),
        (lists_of(g=graph_outside()), "another file"),
        (lists_of(graphs=[linear().graph, graph_outside()]), "another file"),
        (lists_of(sparse_tensor=outside_sparse()), "another file"),
        (lists_of(sparse_tensors=[outside_sparse()]), "another file"),
        (of_domain_within(), "com.example"),
    ],
)
def test_every_place_within_a_branch_is_looked_into(file: onnx.ModelProto, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        check_onnx(file.SerializeToString())


def encoded(number: int) -> bytes:
    """A varint of protobuf."""
    rest = number >> 7
    return bytes([number & 0x7F | 0x80]) + encoded(rest) if rest else bytes([number])


def hidden(field: int, content: bytes | int, *, beyond: int = 1 << 32) -> bytes:
    """A field whose tag has a bit more than the 32 that protobuf keeps."""
    if isinstance(content, int):
        return encoded(beyond + (field << 3)) + encoded(content)
    return encoded(beyond + (field << 3 | 2)) + encoded(len(content)) + content


def members(message: Any, number: int) -> bytes:
    """A message as the field of another."""
    content = message if isinstance(message, bytes) else message.SerializeToString()
    return encoded(number << 3 | 2) + encoded(len(content)) + content


def hidden_outside() -> bytes:
    """A tensor whose data lie in another file, as protobuf reads it."""
    told, weights = outside(tensor("w", WEIGHTS)), tensor("w", WEIGHTS)
    weights.ClearField("raw_data")
    entries = b"".join(hidden(13, entry.SerializeToString()) for entry in told.external_data)
    return weights.SerializeToString() + entries + hidden(14, int(TensorProto.EXTERNAL))


HIDDEN = {
    "an initializer": members(members(hidden_outside(), 5), 7),
    "a sparse initializer": members(members(members(hidden_outside(), 1), 15), 7),
    "an attribute": members(members(members(members(hidden_outside(), 5), 5), 1), 7),
    "a branch": members(members(members(members(members(hidden_outside(), 5), 6), 5), 1), 7),
    "a hidden graph": hidden(7, members(outside(tensor("w", WEIGHTS)), 5)),
    "a domain": members(members(hidden(7, b"com.example"), 1), 7),
    "an operator set": members(hidden(1, b"com.example"), 8),
    "functions": hidden(25, b""),
    "training information": hidden(20, b""),
    "a higher bit": hidden(25, b"", beyond=1 << 34),
}


@pytest.mark.parametrize("end", HIDDEN.values(), ids=HIDDEN)
def test_a_tag_that_protobuf_would_cut_hides_nothing(end: bytes) -> None:
    """Protobuf keeps 32 bits of a tag: one with more is another field to it than its number says."""
    with pytest.raises(ArtifactError, match="is not an ONNX file"):
        check_onnx(linear().SerializeToString() + end)


def test_onnxruntime_cuts_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the test above is there."""
    from onnxruntime import InferenceSession  # noqa: PLC0415

    (tmp_path / "secret.bin").write_bytes(np.full((4, 3), 7, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    product = helper.make_node("MatMul", ["features", "w"], ["raw"])
    content = model([product]).SerializeToString() + HIDDEN["an initializer"]
    (answer,) = InferenceSession(content).run(None, {"features": np.ones((1, 4), np.float32)})
    assert answer.tolist() == [[28, 28, 28]]


MERGED = {
    "tensors of an attribute": members(
        members(members(members(tensor("w", WEIGHTS), 5) + members(encoded(14 << 3) + b"\x01", 5), 5), 1), 7
    ),
    "graphs of an attribute": members(
        members(members(members(linear().graph, 6) + members(graph_outside(), 6), 5), 1), 7
    ),
    "domains of a node": members(members(members(b"com.example", 7) + members(b"ai.onnx", 7), 1), 7),
    "values of a sparse tensor": members(
        members(members(tensor("v", [1.0]), 1) + members(encoded(14 << 3) + b"\x01", 1), 15), 7
    ),
    "a longer tag": members(members(b"\xf0\x80\x00\x01", 5), 7),
    "a longer number": members(members(encoded(14 << 3) + b"\x81" + b"\x80" * 8 + b"\x00", 5), 7),
}


@pytest.mark.parametrize("end", MERGED.values(), ids=MERGED)
def test_what_protobuf_merges_or_reads_though_it_is_written_otherwise_is_refused(end: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"another file|com\.example"):
        check_onnx(linear().SerializeToString() + end)


@pytest.mark.parametrize(
    "end",
    [
        members(b"\x73\x70\x01\x74", 7),  # a group within a graph
        members(members(encoded(9 << 3) + b"\x80" * 10 + b"\x01", 5), 7),  # a number of eleven bytes
        encoded(7 << 3 | 2) + b"\x80" * 10 + b"\x00",  # such a length
        encoded(7 << 3 | 6),  # a kind that there is not
    ],
)
def test_what_protobuf_reads_otherwise_or_not_at_all_is_refused(end: bytes) -> None:
    with pytest.raises(ArtifactError, match="is not an ONNX file"):
        check_onnx(linear().SerializeToString() + end)


def test_a_model_in_the_format_of_onnxruntime_is_refused_by_onnxruntime_too(tmp_path: Path) -> None:
    """Its format is found out from bytes 4 to 8, which a protobuf message may have too."""
    from onnxruntime import InferenceSession, SessionOptions  # noqa: PLC0415

    options = SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 3
    InferenceSession(linear().SerializeToString(), options, providers=["CPUExecutionProvider"])
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        open_session((tmp_path / "model.ort").read_bytes())


def test_graphs_in_graphs_end_somewhere() -> None:
    node = constant(tensor("w", WEIGHTS))
    for _ in range(MAX_DEPTH // 3 + 1):
        node = helper.make_node("If", ["c"], ["m"], then_branch=helper.make_graph([node], "b", [], []))
    with pytest.raises(ArtifactError, match="nests graphs"):
        check_onnx(model([node]).SerializeToString())


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04K\x01.",  # a pickle
        b"\xff" * 20,
        b"\x3a\x7fshort",
        b"\x0b\x0c",  # a group, which protobuf has given up
        b"\x39\x00",
        linear().SerializeToString()[:-1],
    ],
)
def test_what_is_no_onnx_file_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"is not an ONNX file|cannot be loaded"):
        OnnxEngine(content)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_is_refused_in_words_or_is_still_a_model(data: Any) -> None:
    content = bytearray(linear().SerializeToString())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ArtifactError):
        check_onnx(bytes(content))


@settings(max_examples=100)
@given(
    floats=st.lists(st.floats(width=32, allow_nan=False), max_size=20),
    ints=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
    bad=st.booleans(),
)
def test_lists_of_numbers_are_passed_over_and_hide_nothing(floats: list[float], ints: list[int], bad: Any) -> None:
    node = helper.make_node("TreeEnsembleRegressor", ["features"], ["raw"], domain="ai.onnx.ml")
    attribute = onnx.AttributeProto(name="a", floats=floats, ints=ints, type=onnx.AttributeProto.INTS)
    if bad:
        attribute.t.CopyFrom(outside(tensor("w", WEIGHTS)))
    node.attribute.append(attribute)
    content = model([node], domains=("", "ai.onnx.ml")).SerializeToString()
    if bad:
        with pytest.raises(ArtifactError, match="another file"):
            check_onnx(content)
    else:
        check_onnx(content)


@pytest.mark.parametrize(
    "listed",
    [members(b"LEAF", 9) + b"\x4a\x0a", members(b"LEAF", 9) + b"\x4a\x04", b"\x40\x01\x40\x80", b"\x3d0000\x3d"],
    ids=["long text", "short text", "integer", "float"],
)
def test_what_begins_as_an_element_of_a_list_hides_nothing(listed: bytes) -> None:
    """Python before 3.11.5 goes on amid one that a possessive pattern does not match."""
    branch = members(onnx.GraphProto(node=[onnx.NodeProto(op_type="Any", domain="com.example")]), 6)
    found = 0
    for length in range(len(branch), len(branch) + 12):
        for filler in range(12):
            attribute = listed + bytes([length]) + b"y" * filler + branch
            content = members(members(members(attribute, 5), 1), 7)
            if reaches(content, "com.example"):
                found += 1
                with pytest.raises(ArtifactError):
                    check_onnx(content)
    assert found


def reaches(content: bytes, domain: str) -> bool:
    """Whether protobuf reads a graph within the graph that asks for operators of a domain."""
    try:
        (node,) = onnx.load_from_string(content).graph.node
    except DecodeError:
        return False
    return any(within.domain == domain for attribute in node.attribute for within in attribute.g.node)


def test_a_tree_of_a_million_numbers_is_checked_by_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    node = helper.make_node("TreeEnsembleRegressor", ["features"], ["raw"], nodes_values=[0.5] * 500_000)
    node.attribute.append(helper.make_attribute("nodes_featureids", list(range(500_000))))
    looks = 0

    def look(message: memoryview, at: int) -> Any:
        nonlocal looks
        looks += 1
        return read_field(message, at)

    monkeypatch.setattr(onnx_file, "read_field", look)
    check_onnx(model([node]).SerializeToString())
    assert looks < 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.graph.input.append(value("other", ["rows", 1])), "has inputs features, other, expected features"),
        (lambda m: m.graph.ClearField("output"), "has outputs none, expected raw|cannot be loaded"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_param"), None),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 8),
            r"expected tensor\(float\)",
        ),
        (lambda m: setattr(m.graph.node[0], "op_type", "NoSuchOperator"), "cannot be loaded"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING), "cannot be loaded"),
    ],
)
def test_another_graph_than_ours_is_refused_in_words(change: Callable[..., Any], words: str | None) -> None:
    file = linear()
    change(file)
    if words is None:
        assert OnnxEngine(file.SerializeToString())
        return
    with pytest.raises(ArtifactError, match=words):
        OnnxEngine(file.SerializeToString())


def test_an_engine_computes_with_any_number_of_threads() -> None:
    engine = OnnxEngine(linear().SerializeToString())
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    expected = rows @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10)
    np.testing.assert_allclose(engine.run(rows), expected, rtol=1e-6)
    engine.use_threads(2)
    np.testing.assert_allclose(engine.run(rows), expected, rtol=1e-6)
    assert engine.run(rows).dtype == np.float32
