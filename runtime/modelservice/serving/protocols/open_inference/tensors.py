"""A model as the Open Inference Protocol sees it: tensors in and out, whatever carries them."""

import json
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Final

from modelservice.modalities.base import STRICT, Tolerance
from modelservice.modalities.compressed import decoding
from modelservice.modalities.errors import InputError
from modelservice.modalities.tensors import Tensor, TensorError, to_binary
from modelservice.serving.asked import read_asked, tell
from modelservice.serving.calls import Call, Rendered, check_rows
from modelservice.serving.errors import OtherArtifactError, RequestError
from modelservice.serving.members import DIGEST
from modelservice.serving.model import ServedModel, outputs_of
from modelservice.serving.protocols.texts import row_texts
from modelservice.serving.results import Results
from modelservice.tasks.base import Array

MAX_RANK: Final = 8
_MAX_SIZE: Final = 2**31


class TensorModel:
    """Reads rows from tensors by the model's encoder, and names outputs by its task."""

    def __init__(self, model: ServedModel, name: str, version: str, tolerance: Tolerance = STRICT) -> None:
        self.name = name
        self.version = version
        self.digest = model.digest
        self.outputs = tuple(output.name for output in model.signature.outputs)
        self.described = {output.name: output for output in model.signature.outputs}
        self.tolerance = tolerance
        self.reads_images = decoding(model.encoder) is not None
        self._model = model
        self._named = outputs_of(model)

    def call(
        self, tensors: Sequence[Tensor], render: Callable[..., Rendered], parameters: Mapping[str, Any]
    ) -> Call[Rendered]:
        """A call of the rows that the tensors hold.

        Args:
            tensors: the inputs.
            render: takes what the model gave.
            parameters: of the request, see ``asked``. Where they ask for something to be told, ``render`` is also
                given ``told``: parameters of the answer by name, each JSON as a text, since parameters of the protocol
                are single values.

        Raises:
            RequestError: they hold none, with the place, such as ``inputs[2] (petal_length).data[3]: ...``.
            OtherArtifactError: the parameters ask for the answers of another artifact.
        """
        asked = read_asked(parameters, self.tolerance, "parameters.")
        said = self._checked_digest(parameters) if parameters else {}

        def place(error: InputError) -> RequestError:
            return _placed(tensors, error)

        try:
            rows = self._model.encoder.from_tensors(tensors, asked.tolerance)
        except InputError as error:
            raise place(error) from None
        check_rows(len(rows), "inputs")
        if not (asked.told or said):
            return Call(rows, place, render, timeout=asked.timeout)

        def render_with_told(results: Results) -> Rendered:
            told = tell(self._model, rows, asked)
            texts = {name: json.dumps(by_row, ensure_ascii=False) for name, by_row in told.items()}
            return render(results, told=said | texts)

        return Call(rows, place, render_with_told, timeout=asked.timeout)

    def _checked_digest(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What the answer says of the artifact: nothing, where the request does not name one."""
        asked = parameters.get(DIGEST)
        if asked is None:
            return {}
        if asked != self.digest:
            raise OtherArtifactError(
                f"parameters.{DIGEST}: {str(asked)[:71]} is asked for, and {self.name} is served as {self.digest}"
            )
        return {DIGEST: self.digest}

    def binaries(self, results: Results, names: Sequence[str]) -> list[bytes]:
        """Outputs of a request as binary tensors, in the order of their names."""
        named = self._named(results.raw)
        return [to_binary(self.described[name].datatype, named[name]) for name in names]

    def row_texts(self, raw: Array) -> list[tuple[bytes, ...]]:
        """For each row of raw outputs the JSON of all outputs in their order, see ``texts.row_texts``."""
        named = self._named(raw)
        return list(zip(*(row_texts(output, named[name]) for name, output in self.described.items()), strict=True))

    def metadata(self) -> dict[str, Any]:
        """The model's metadata: name, versions, platform, inputs and outputs."""
        outputs: list[dict[str, Any]] = []
        for output in self._model.signature.outputs:
            tensor: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": [-1, *output.shape]}
            if output.labels is not None:
                tensor["parameters"] = {"labels": list(output.labels)}
            outputs.append(tensor)
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": f"modelservice_{self._model.engine.name.lower()}",
            "inputs": self._model.encoder.tensors(),
            "outputs": outputs,
        }

    def check_output(self, name: Any, taken: Any, place: str) -> str:
        """The name of a wanted output.

        Raises:
            RequestError: the model has none of that name, or it is in ``taken`` already.
        """
        if not isinstance(name, str) or name not in self.described or name in taken:
            raise RequestError(f"{place}: expected one of {', '.join(self.outputs)}, each at most once")
        return name


def tensor_place(index: int, name: str) -> str:
    """How messages name an input tensor."""
    return f"inputs[{index}] ({name[:64]})"


def is_shape(shape: Sequence[Any]) -> bool:
    """Whether these are sizes of a tensor."""
    for size in shape:
        if type(size) is not int or not 0 <= size < _MAX_SIZE:
            return False
    return 1 <= len(shape) <= MAX_RANK


def misfit(index: int, name: str, error: TensorError) -> RequestError:
    """What to say of a tensor that does not hold what it declares."""
    return RequestError(f"{tensor_place(index, name)}{error.place}: {error.message}")


def _placed(tensors: Sequence[Tensor], error: InputError) -> RequestError:
    """An error of the rows in the words of the tensors that they came in."""
    index = error.tensor
    if index is None:
        by_name = (index for index, tensor in enumerate(tensors) if tensor.name == error.column)
        index = next(by_name, 0 if len(tensors) == 1 and (error.row, error.column) != (None, None) else None)
    if index is None:
        row = "" if error.row is None else f", row {error.row}"
        return RequestError(f"inputs{row}: {error.message}")
    tensor = tensors[index]
    part = "" if error.part is None else f".{error.part}"
    row = ""
    if error.row is not None:
        row = f".data[{error.row}]" if prod(tensor.shape[1:]) == 1 else f", row {error.row}"
    column = "" if error.column in {None, tensor.name} else f", column {error.column}"
    return RequestError(f"{tensor_place(index, tensor.name)}{part}{row}{column}: {error.message}")
