"""Any bytes in the binary formats are rows or refused with a sentence: never a fault."""

import json
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.unit.runtime.serving.fakes import FakeModel, image_model, mixed_model, numeric_model, tensor_model

from modelservice.modalities.errors import InputError
from modelservice.modalities.tensors import BYTES, DATATYPES, NUMERIC, from_binary, to_binary
from modelservice.serving.errors import NotFiniteError, RequestError
from modelservice.serving.model import Computation, computed
from modelservice.serving.protocols.base import InferMethod, Spoken
from modelservice.serving.protocols.open_inference.messages import MESSAGES
from modelservice.serving.protocols.open_inference.rest import RestCodec
from modelservice.serving.protocols.open_inference.rpc import RpcCodec
from modelservice.serving.protocols.open_inference.tensors import TensorModel
from modelservice.serving.protocols.tensorflow.messages import DTYPES
from modelservice.serving.protocols.tensorflow.messages import MESSAGES as TENSORFLOW
from modelservice.serving.protocols.tensorflow.rpc import build_services
from modelservice.serving.results import Results

MODELS = (numeric_model(), mixed_model(), image_model(), tensor_model())
SOME = settings(max_examples=60, deadline=None)
SIZES = st.one_of(st.integers(-1, 5), st.just(2**31), st.just(2**63 - 1))
SHAPES = st.lists(SIZES, max_size=5)
NAMES = st.sampled_from(["features", "x", "age", "city (home)", "sepal_length", ""])


def predict(model: FakeModel) -> Callable[[bytes], Any]:
    """How ``Predict`` reads a message."""
    prediction, _ = build_services([Spoken(model, "iris", "7")])
    return next(method.parse for method in prediction.methods if isinstance(method, InferMethod))


def answer(model: FakeModel, parse: Callable[[], Any]) -> Any:
    """What is answered, or the refusal."""
    try:
        call = parse()
        try:
            raw = computed(Computation(model), call.rows)
        except InputError as error:
            raise call.place(error) from None
        if not np.isfinite(raw).all():
            raise NotFiniteError
        return call.render(Results.of(raw))
    except RequestError as refused:
        return refused


@st.composite
def rest_tensors(draw: st.DrawFn) -> dict[str, Any]:
    tensor: dict[str, Any] = {
        "name": draw(NAMES),
        "datatype": draw(st.sampled_from(DATATYPES)),
        "shape": draw(SHAPES),
    }
    if draw(st.booleans()):
        tensor["parameters"] = {"binary_data_size": draw(st.one_of(st.integers(-1, 40), st.just(2**40), st.just("8")))}
    if draw(st.booleans()):
        tensor["data"] = draw(
            st.lists(st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=3)), max_size=6)
        )
    return tensor


@SOME
@given(
    model=st.sampled_from(MODELS),
    tensors=st.lists(rest_tensors(), max_size=3),
    binary=st.binary(max_size=64),
    lie=st.integers(-3, 3),
)
def test_rest_with_binary_tensors(model: FakeModel, tensors: list[Any], binary: bytes, lie: int) -> None:
    header = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    codec = RestCodec(TensorModel(model, "iris", "7"))
    answer(model, lambda: codec.parse(header + binary, b"%d" % (len(header) + lie)))


@SOME
@given(
    model=st.sampled_from(MODELS),
    described=st.lists(st.tuples(NAMES, st.sampled_from(DATATYPES), SHAPES), max_size=3),
    raw=st.lists(st.binary(max_size=32), max_size=3),
    typed=st.lists(st.floats(width=32), max_size=6),
)
def test_grpc(model: FakeModel, described: list[Any], raw: list[bytes], typed: list[float]) -> None:
    request: Any = MESSAGES["ModelInferRequest"](model_name="iris", raw_input_contents=raw)
    for name, datatype, shape in described:
        given_tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        given_tensor.contents.fp32_contents.extend(typed)
    codec = RpcCodec(TensorModel(model, "iris", "7"))
    answer(model, lambda: codec.parse(request.SerializeToString()))


@SOME
@given(
    model=st.sampled_from(MODELS),
    described=st.lists(st.tuples(NAMES, st.sampled_from([*DTYPES.values(), 0, 8, -1]), SHAPES), max_size=3),
    content=st.binary(max_size=32),
    typed=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6),
    texts=st.lists(st.binary(max_size=4), max_size=4),
)
def test_tensorflow(
    model: FakeModel, described: list[Any], content: bytes, typed: list[int], texts: list[bytes]
) -> None:
    request: Any = TENSORFLOW["PredictRequest"](model_spec={"name": "iris"})
    for name, dtype, shape in described:
        tensor = request.inputs[name]
        tensor.dtype, tensor.tensor_content = dtype, content
        for field in (tensor.int_val, tensor.half_val, tensor.float_val):
            field.extend(typed)
        tensor.string_val.extend(texts)
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
    answer(model, lambda: predict(model)(request.SerializeToString()))


@SOME
@given(model=st.sampled_from(MODELS), data=st.binary(max_size=64))
def test_bytes_that_are_no_message(model: FakeModel, data: bytes) -> None:
    tensors = TensorModel(model, "iris", "7")
    for parse in (
        RestCodec(tensors).parse,
        RpcCodec(tensors).parse,
        predict(model),
    ):
        assert isinstance(answer(model, partial(parse, data)), RequestError)


@given(datatype=st.sampled_from(tuple(NUMERIC)), data=st.data())
def test_numbers_go_through_the_binary_format_unchanged(datatype: str, data: st.DataObject) -> None:
    values = data.draw(arrays(NUMERIC[datatype], st.integers(0, 8)))
    packed = to_binary(datatype, values)
    np.testing.assert_array_equal(np.asarray(from_binary(datatype, values.shape, packed)), values)


@given(texts=st.lists(st.text(max_size=8), max_size=6))
def test_texts_go_through_the_binary_format_unchanged(texts: list[str]) -> None:
    packed = to_binary(BYTES, texts)
    assert packed == b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    assert [bytes(one).decode() for one in from_binary(BYTES, (len(texts),), packed)] == texts
