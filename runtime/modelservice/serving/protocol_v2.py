"""The Open Inference Protocol v2 over REST, with the binary tensor extension: bytes in, bytes out.

Source: the Open Inference Protocol specification, and Triton's "binary tensor data" extension of it.
Inputs are one tensor for each column, or, if all columns are numeric, one matrix [rows, columns].
Outputs are ``label`` (BYTES [rows]) and ``probabilities`` (FP32 [rows, classes]).
"""

from functools import partial
from typing import Any, Final

from modelservice.contract.manifest import ColumnKind
from modelservice.data.errors import InputError
from modelservice.serving.answer import Answer, binary_answer, json_answer
from modelservice.serving.call import Call, check_rows, listed, rows_of
from modelservice.serving.errors import RequestError
from modelservice.serving.model import Array, Rows, ServedModel, is_numeric, version_of
from modelservice.serving.parsing import describe, parse_object
from modelservice.serving.tensors import BYTES, NUMERIC, Tensor, TensorError, from_binary, from_json, texts_to_binary

MATRIX_NAME: Final = "features"
OUTPUTS: Final = ("label", "probabilities")
_MATRIX_RANK = 2
_MAX_SIZE = 2**31

Outputs = tuple[tuple[str, bool], ...]
"""Names of the wanted outputs, in order, and whether each is wanted in binary form."""

_ALL_JSON: Final[Outputs] = tuple((name, False) for name in OUTPUTS)
_ALL_BINARY: Final[Outputs] = tuple((name, True) for name in OUTPUTS)


class ProtocolV2:
    """Parses ``infer`` bodies for one model."""

    def __init__(self, *, model: ServedModel, name: str) -> None:
        self._name = name
        self._version = version_of(model)
        self._labels = model.signature.labels
        self._kinds = {column.name: column.kind for column in model.signature.inputs}
        self._names = tuple(self._kinds)
        self._numeric = is_numeric(model.signature)

    def parse(self, body: bytes, header_length: bytes | None = None) -> Call:
        """Parse a body, of which the first ``header_length`` bytes (default all) are JSON, the rest binary tensors.

        Raises:
            RequestError: with the place, such as ``inputs[2] (petal_length).data[3]: ...``.
        """
        text, binary = _divide(body, header_length)
        document = parse_object(text)
        request_id = _request_id(document)
        outputs = _requested_outputs(document)
        tensors = _tensors(document.get("inputs"), binary)
        render = partial(self._render, request_id=request_id, outputs=outputs)
        lone = tensors[0] if len(tensors) == 1 else None
        if lone is not None and self._numeric and (len(lone.shape) == _MATRIX_RANK or lone.name not in self._kinds):
            return Call(self._matrix(lone), partial(_place_in_matrix, lone.name), render)
        return Call(self._columns(tensors), partial(_place_in_columns, tensors), render)

    def metadata(self) -> dict[str, Any]:
        """The model's metadata: name, versions, platform, inputs and outputs."""
        inputs: list[dict[str, Any]] = [
            {"name": name, "datatype": "FP64" if kind is ColumnKind.NUMERIC else BYTES, "shape": [-1]}
            for name, kind in self._kinds.items()
        ]
        if self._numeric:
            matrix = {"name": MATRIX_NAME, "datatype": "FP32", "shape": [-1, len(self._names)]}
            inputs = [{**matrix, "parameters": {"columns": list(self._names)}}]
        return {
            "name": self._name,
            "versions": [self._version],
            "platform": "modelservice_torch",
            "inputs": inputs,
            "outputs": [
                {"name": "label", "datatype": BYTES, "shape": [-1]},
                {
                    "name": "probabilities",
                    "datatype": "FP32",
                    "shape": [-1, len(self._labels)],
                    "parameters": {"labels": list(self._labels)},
                },
            ],
        }

    def _matrix(self, tensor: Tensor) -> Rows:
        width = len(self._names)
        if tensor.datatype == BYTES:
            place = _place(0, tensor.name)
            raise RequestError(f"{place}.datatype: BYTES; all columns are numeric: expected a number type such as FP32")
        if len(tensor.shape) != _MATRIX_RANK or tensor.shape[1] != width:
            shape, expected = list(tensor.shape), f"[rows, {width}] for {listed(self._names)}"
            raise RequestError(f"{_place(0, tensor.name)}.shape: {shape}; expected {expected}")
        check_rows(tensor.shape[0], "inputs[0]")
        values = tensor.values
        if isinstance(values, list):
            return [values[start : start + width] for start in range(0, len(values), width)]
        return values.reshape(tensor.shape)

    def _columns(self, tensors: list[Tensor]) -> Rows:
        columns: dict[str, list[Any]] = {}
        for index, tensor in enumerate(tensors):
            if tensor.name in columns:
                raise RequestError(f"{_place(index, tensor.name)}: is given twice")
            self._check_column(index, tensor)
            columns[tensor.name] = tensor.values if isinstance(tensor.values, list) else tensor.values.tolist()
        return rows_of(columns, self._names, "inputs")

    def _check_column(self, index: int, tensor: Tensor) -> None:
        kind = self._kinds.get(tensor.name)
        if kind is None:
            matrix = f", or one matrix [rows, {len(self._names)}]" if self._numeric else ""
            expected = f"one tensor for each of {listed(self._names)}{matrix}"
            raise RequestError(f"{_place(index, tensor.name)}: is no column of this model; expected {expected}")
        if (tensor.datatype == BYTES) != (kind is ColumnKind.CATEGORICAL):
            expected = "a number type such as FP64" if kind is ColumnKind.NUMERIC else BYTES
            place = _place(index, tensor.name)
            raise RequestError(f"{place}.datatype: {tensor.datatype}; the column is {kind}: expected {expected}")
        if len(tensor.shape) != 1 and tensor.shape[1:] != (1,):
            shape = list(tensor.shape)
            raise RequestError(f"{_place(index, tensor.name)}.shape: {shape}; expected [rows] or [rows, 1]")

    def _render(self, probabilities: Array, *, request_id: str | None, outputs: Outputs) -> Answer:
        described: list[dict[str, Any]] = []
        tensors: list[bytes] = []
        for name, binary in outputs:
            if name == "label":
                labels = [self._labels[best] for best in probabilities.argmax(axis=1).tolist()]
                output: dict[str, Any] = {"name": name, "datatype": BYTES, "shape": [len(labels)]}
                data: Any = texts_to_binary(labels) if binary else labels
            else:
                output = {"name": name, "datatype": "FP32", "shape": list(probabilities.shape)}
                data = probabilities.astype("<f4", copy=False).tobytes() if binary else probabilities.ravel()
            if binary:
                output["parameters"] = {"binary_data_size": len(data)}
                tensors.append(data)
            else:
                output["data"] = data
            described.append(output)
        head = {"model_name": self._name, "model_version": self._version, "outputs": described}
        if request_id is not None:
            head["id"] = request_id
        return binary_answer(head, tensors) if any(binary for _, binary in outputs) else json_answer(head)


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
    if request_id is not None and not (isinstance(request_id, str) and _is_unicode(request_id)):
        raise RequestError(f"id: must be a text, not {describe(request_id)}")
    return request_id


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _requested_outputs(document: dict[str, Any]) -> Outputs:
    all_binary = _parameters(document, "parameters").get("binary_data_output", False) is True
    requested = document.get("outputs")
    if requested is None or requested == []:
        return _ALL_BINARY if all_binary else _ALL_JSON
    if not isinstance(requested, list) or len(requested) > len(OUTPUTS):
        raise RequestError(f"outputs: must be an array of at most {len(OUTPUTS)} objects, not {describe(requested)}")
    wanted: dict[str, bool] = {}
    for index, output in enumerate(requested):
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in OUTPUTS or name in wanted:
            raise RequestError(f"outputs[{index}].name: expected one of {', '.join(OUTPUTS)}, each at most once")
        parameters = _parameters(output, f"outputs[{index}].parameters")
        if parameters.get("classification"):
            raise RequestError(f"outputs[{index}].parameters.classification: not supported; ask for label instead")
        wanted[name] = parameters.get("binary_data", all_binary) is True
    return tuple(wanted.items())


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
    if not isinstance(datatype, str) or (datatype not in NUMERIC and datatype != BYTES):
        expected = f"one of {', '.join(NUMERIC)}, {BYTES}"
        raise RequestError(f"{_place(index, name)}.datatype: {describe(datatype)}; expected {expected}")
    shape = _shape(index, name, tensor.get("shape"))
    size = None
    if "parameters" in tensor:
        parameters = _parameters(tensor, f"{_place(index, name)}.parameters")
        if "shared_memory_region" in parameters:
            raise RequestError(f"{_place(index, name)}: shared memory is not supported; send the data")
        size = parameters.get("binary_data_size")
    try:
        if size is None:
            return Tensor(name, datatype, shape, from_json(datatype, shape, tensor.get("data"))), binary
        data, rest = _cut(binary, size, alone="data" not in tensor)
        return Tensor(name, datatype, shape, from_binary(datatype, shape, data)), rest
    except TensorError as error:
        raise RequestError(f"{_place(index, name)}{error.place}: {error.message}") from None


def _cut(binary: memoryview, size: Any, *, alone: bool) -> tuple[memoryview, memoryview]:
    if not alone:
        raise TensorError("", "has both data and binary_data_size; expected one of them")
    if type(size) is not int or not 0 <= size <= len(binary):
        raise TensorError(".parameters.binary_data_size", f"expected a size within the {len(binary)} bytes left")
    return binary[:size], binary[size:]


def _shape(index: int, name: str, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, list) and 1 <= len(shape) <= _MATRIX_RANK:
        first, last = shape[0], shape[-1]
        if type(first) is type(last) is int and 0 <= first < _MAX_SIZE and 0 <= last < _MAX_SIZE:
            return tuple(shape)
    shown = str(shape)[:64] if isinstance(shape, list) else describe(shape)
    raise RequestError(f"{_place(index, name)}.shape: {shown}; expected [rows] or [rows, columns]")


def _parameters(document: dict[str, Any], place: str) -> dict[str, Any]:
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(f"{place}: must be an object, not {describe(parameters)}")
    return parameters


def _place(index: int, name: str) -> str:
    return f"inputs[{index}] ({name[:64]})"


def _place_in_matrix(name: str, error: InputError) -> RequestError:
    row = "" if error.row is None else f", row {error.row}"
    column = "" if error.column is None else f", column {error.column}"
    return RequestError(f"{_place(0, name)}{row}{column}: {error.message}")


def _place_in_columns(tensors: list[Tensor], error: InputError) -> RequestError:
    row = "" if error.row is None else f".data[{error.row}]"
    for index, tensor in enumerate(tensors):
        if tensor.name == error.column:
            return RequestError(f"{_place(index, tensor.name)}{row}: {error.message}")
    return RequestError(f"inputs{row}: {error.message}")
