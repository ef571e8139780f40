"""The Open Inference Protocol over REST: JSON with the binary tensor extension, both ways.

Source: the Open Inference Protocol specification, and Triton's "binary tensor data" extension of it.
"""

from functools import partial
from typing import Any, Final

import orjson

from modelservice.cells import is_unicode
from modelservice.contract.signature import Output
from modelservice.modalities.tensors import (
    DATATYPES,
    Tensor,
    TensorError,
    describe,
    from_binary,
    from_json,
)
from modelservice.serving.answer import JSON_HEADERS, Answer, binary_answer
from modelservice.serving.calls import Call
from modelservice.serving.errors import RequestError
from modelservice.serving.members import check_parameters, check_tensors_members
from modelservice.serving.parsing import parse_object
from modelservice.serving.protocols.open_inference.tensors import TensorModel, is_shape, misfit, tensor_place
from modelservice.serving.protocols.texts import template
from modelservice.serving.results import Results
from modelservice.tasks.base import Array

_KNOWN: Final = frozenset(DATATYPES)
_SHORT: Final = 4096
"""Bytes of JSON that describe tensors, and hold hardly any themselves."""
_QUICK: Final = 2**20 + _SHORT
"""Bytes of a body of numbers: a head asks for no more at once, and a millisecond or two are enough for them."""
_SLOW: Final = (b"BYTES", b"FP16", b"\\")
"""Texts are read one by one, half floats take ten times what other numbers take, and escapes may hide either."""

Wanted = tuple[tuple[str, bool], ...]
"""Names of the wanted outputs, in order, and whether each is wanted in binary form."""


class RestCodec:
    """Parses ``infer`` bodies for one model, and renders what it answers."""

    def __init__(self, model: TensorModel) -> None:
        self._model = model
        self._outputs = {output.name: _Written(index, output) for index, output in enumerate(model.described.values())}
        self._lone = b",".join(output.text.replace(b"%%", b"%%%%") % (1, b"%b") for output in self._outputs.values())
        self._start = b'{"model_name":%b,"model_version":%b,' % (
            orjson.dumps(model.name),
            orjson.dumps(model.version),
        )
        self._all = {binary: tuple((name, binary) for name in model.outputs) for binary in (False, True)}

    def parse(self, body: bytes, header_length: bytes | None = None) -> Call[Answer]:
        """Parse a body, of which the first ``header_length`` bytes (default all) are JSON, the rest binary tensors.

        Raises:
            RequestError: with the place, such as ``inputs[2] (petal_length).data[3]: ...``.
        """
        text, binary = _divide(body, header_length)
        document = parse_object(text)
        if len(document) > 1:
            check_tensors_members(document)
        request_id = _request_id(document)
        wanted = self._wanted(document)
        tensors = _tensors(document.get("inputs"), binary)
        parameters = _parameters(document, "parameters") if "parameters" in document else {}
        if parameters:
            check_parameters(parameters)
        render = partial(self._render, request_id=request_id, wanted=wanted)
        return self._model.call(tensors, render, parameters)

    def is_quick(self, body: bytes, header_length: bytes | None = None) -> bool:
        """Whether a body holds little but numbers in binary form, of a model whose rows are pictures.

        These are taken as they lie, and rows of a few columns are many. A datatype has no need of escapes, and where
        there are none it stands in the JSON, which is UTF-8, as it is.
        """
        if not self._model.reads_images or header_length is None or len(body) > _QUICK:
            return False
        if not header_length.isdigit() or len(header_length) > len(str(_SHORT)) or int(header_length) > _SHORT:
            return False
        text = body[: int(header_length)]
        return not any(sign in text for sign in _SLOW)

    def _wanted(self, document: dict[str, Any]) -> Wanted:
        if "outputs" not in document and "parameters" not in document:
            return self._all[False]
        all_binary = _parameters(document, "parameters").get("binary_data_output", False) is True
        requested = document.get("outputs")
        if requested is None or requested == []:
            return self._all[all_binary]
        most = len(self._model.outputs)
        if not isinstance(requested, list) or len(requested) > most:
            raise RequestError(f"outputs: must be an array of at most {most} objects, not {describe(requested)}")
        wanted: dict[str, bool] = {}
        for index, output in enumerate(requested):
            given = output.get("name") if isinstance(output, dict) else None
            name = self._model.check_output(given, wanted, f"outputs[{index}].name")
            parameters = _parameters(output, f"outputs[{index}].parameters")
            if parameters.get("classification"):
                raise RequestError(f"outputs[{index}].parameters.classification: not supported; ask for all outputs")
            wanted[name] = parameters.get("binary_data", all_binary) is True
        return tuple(wanted.items())

    def _render(
        self, results: Results, *, request_id: str | None, wanted: Wanted, told: dict[str, str] | None = None
    ) -> Answer:
        tail = b"" if request_id is None else b',"id":' + orjson.dumps(request_id)
        if told is not None:
            tail += b',"parameters":' + orjson.dumps(told)
        tensors: list[bytes] = []
        if len(results) == 1 and wanted is self._all[False]:
            (outputs,) = results.rows(self._write_lone)
        else:
            outputs = self._outputs_of(results, wanted, tensors)
        head = b'%b"outputs":[%b]%b}' % (self._start, outputs, tail)
        return binary_answer(head, tensors) if tensors else Answer(200, JSON_HEADERS, head)

    def _write_lone(self, raw: Array) -> list[bytes]:
        """All outputs of each row, as of a request of that row alone."""
        return [self._lone % row for row in self._model.row_texts(raw)]

    def _outputs_of(self, results: Results, wanted: Wanted, tensors: list[bytes]) -> bytes:
        """The wanted outputs; data of those that go as binary tensors is added to ``tensors``."""
        rows = len(results)
        named = [name for name, binary in wanted if binary]
        if named:
            tensors += self._model.binaries(results, named)
        columns: list[Any] = []
        if len(named) < len(wanted):
            columns = list(zip(*results.rows(self._model.row_texts), strict=True))
        data = iter(tensors)
        described: list[bytes] = []
        for name, binary in wanted:
            output = self._outputs[name]
            if binary:
                described.append(output.binary % (rows, len(next(data))))
            else:
                described.append(output.text % (rows, b",".join(columns[output.index])))
        return b",".join(described)


class _Written:
    """How an output is described: templates for the number of its rows, and its data or the size of that."""

    def __init__(self, index: int, output: Output) -> None:
        self.index = index
        sizes = b"".join(b",%d" % size for size in output.shape)
        described = b'{"name":%b,"datatype":%b,"shape":[%%d%b],' % (
            template(output.name),
            template(output.datatype),
            sizes,
        )
        self.text = described + b'"data":[%b]}'
        self.binary = described + b'"parameters":{"binary_data_size":%d}}'


def _divide(body: bytes, header_length: bytes | None) -> tuple[bytes | memoryview, memoryview]:
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isdigit() or len(header_length) > 12 or int(header_length) > len(body):  # noqa: PLR2004
        shown = header_length[:32].decode("ascii", "replace")
        raise RequestError(
            f"Inference-Header-Content-Length: {shown!r}; expected a length within the {len(body)} bytes"
        )
    view = memoryview(body)
    return view[: int(header_length)], view[int(header_length) :]


def _request_id(document: dict[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is not None and not (isinstance(request_id, str) and is_unicode(request_id)):
        raise RequestError(f"id: must be a text, not {describe(request_id)}")
    return request_id


def _tensors(inputs: Any, binary: memoryview) -> list[Tensor]:
    if not isinstance(inputs, list) or not inputs:
        raise RequestError(f"inputs: must be an array of at least one tensor, not {describe(inputs)}")
    tensors = []
    for index, tensor in enumerate(inputs):
        parsed, binary = _tensor(index, tensor, binary)
        tensors.append(parsed)
    if len(binary):
        raise RequestError(f"the body has {len(binary)} bytes after its last binary tensor")
    return tensors


def _tensor(index: int, tensor: Any, binary: memoryview) -> tuple[Tensor, memoryview]:
    if not isinstance(tensor, dict):
        raise RequestError(f"inputs[{index}]: must be an object, not {describe(tensor)}")
    name = tensor.get("name")
    if not isinstance(name, str):
        raise RequestError(f"inputs[{index}].name: must be a text, not {describe(name)}")
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in _KNOWN:
        expected = f"one of {', '.join(DATATYPES)}"
        raise RequestError(f"{tensor_place(index, name)}.datatype: {describe(datatype)}; expected {expected}")
    shape = _shape(index, name, tensor.get("shape"))
    size = None
    if "parameters" in tensor:
        parameters = _parameters(tensor, f"{tensor_place(index, name)}.parameters")
        if "shared_memory_region" in parameters:
            raise RequestError(f"{tensor_place(index, name)}: shared memory is not supported; send the data")
        size = parameters.get("binary_data_size")
    try:
        if size is None:
            return Tensor(name, datatype, shape, from_json(datatype, shape, tensor.get("data"))), binary
        data, rest = _cut(binary, size, alone="data" not in tensor)
        return Tensor(name, datatype, shape, from_binary(datatype, shape, data)), rest
    except TensorError as error:
        raise misfit(index, name, error) from None


def _cut(binary: memoryview, size: Any, *, alone: bool) -> tuple[memoryview, memoryview]:
    if not alone:
        raise TensorError("", "has both data and binary_data_size; expected one of them")
    if type(size) is not int or not 0 <= size <= len(binary):
        raise TensorError(".parameters.binary_data_size", f"expected a size within the {len(binary)} bytes left")
    return binary[:size], binary[size:]


def _shape(index: int, name: str, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, list) and is_shape(shape):
        return tuple(shape)
    shown = str(shape)[:64] if isinstance(shape, list) else describe(shape)
    raise RequestError(f"{tensor_place(index, name)}.shape: {shown}; expected sizes such as [rows] or [rows, columns]")


def _parameters(document: dict[str, Any], place: str) -> dict[str, Any]:
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(f"{place}: must be an object, not {describe(parameters)}")
    return parameters
