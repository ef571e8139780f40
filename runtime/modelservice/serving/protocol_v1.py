"""The predict API of TensorFlow Serving, which KServe calls its protocol v1: bytes in, bytes out.

``{"instances": [row, ...]}`` is answered by ``{"predictions": [...]}``, one for each row; a row is an array in the
order of the columns, or an object by column name. ``{"inputs": {column: [value, ...]}}`` is answered by
``{"outputs": {"label": [...], "probabilities": {label: [...]}}}``.
"""

from typing import Any

from modelservice.data.errors import InputError
from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.call import Call, check_rows
from modelservice.serving.errors import RequestError, place_error
from modelservice.serving.model import Array, ServedModel
from modelservice.serving.parsing import describe, parse_object

_EXPECTED = 'expected {"instances": [row, ...]} or {"inputs": {column: [value, ...]}}'


class ProtocolV1:
    """Parses ``:predict`` bodies for one model."""

    def __init__(self, *, model: ServedModel) -> None:
        self._model = model
        self._labels = model.signature.labels
        self._columns = tuple(column.name for column in model.signature.inputs)

    def parse(self, body: bytes) -> Call:
        """Parse a body.

        Raises:
            RequestError: with the place, such as ``instances[3].petal_length: 'x' is not a number``.
        """
        document = parse_object(body)
        if "instances" in document:
            if "inputs" in document:
                raise RequestError(f"both instances and inputs are set; {_EXPECTED}")
            return self._by_row(document["instances"])
        if "inputs" in document:
            return self._by_column(document["inputs"])
        raise RequestError(f"neither instances nor inputs is set; {_EXPECTED}")

    def _by_row(self, instances: Any) -> Call:
        if not isinstance(instances, list):
            raise RequestError(f"instances: must be an array of rows, not {describe(instances)}")
        check_rows(len(instances), "instances")
        for index, row in enumerate(instances):
            if type(row) is not list and type(row) is not dict:
                raise RequestError(f"instances[{index}]: {describe(row)} is not a row; {self._expected_row()}")
        try:
            return Call(self._model.encode_rows(instances), self._render_rows)
        except InputError as error:
            raise place_error(error, "instances{row}{column}") from None

    def _by_column(self, inputs: Any) -> Call:
        if not isinstance(inputs, dict):
            raise RequestError(f"inputs: must be an object of columns, not {describe(inputs)}")
        for name, values in inputs.items():
            if not isinstance(values, list):
                raise RequestError(f"inputs.{name}: must be an array of values, not {describe(values)}")
            check_rows(len(values), f"inputs.{name}")
        try:
            return Call(self._model.encode_columns(inputs), self._render_columns)
        except InputError as error:
            raise place_error(error, "inputs{column}{row}") from None

    def _expected_row(self) -> str:
        shown = ", ".join(self._columns[:8]) + (", ..." if len(self._columns) > 8 else "")  # noqa: PLR2004
        return f"expected an array or an object of {shown}"

    def _render_rows(self, probabilities: Array) -> Answer:
        labels = self._labels
        predictions = [
            {"label": labels[best], "probabilities": dict(zip(labels, row, strict=True))}
            for best, row in zip(probabilities.argmax(axis=1).tolist(), probabilities, strict=True)
        ]
        return json_answer({"predictions": predictions})

    def _render_columns(self, probabilities: Array) -> Answer:
        by_label = {label: probabilities[:, index].copy() for index, label in enumerate(self._labels)}
        labels = [self._labels[best] for best in probabilities.argmax(axis=1).tolist()]
        return json_answer({"outputs": {"label": labels, "probabilities": by_label}})
