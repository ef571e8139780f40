"""The predict API of TensorFlow Serving, which KServe calls its protocol v1: bytes in, bytes out.

``{"instances": [row, ...]}`` is answered by ``{"predictions": [...]}``, one for each row; a row is an array in the
order of the columns, or an object by column name. ``{"inputs": {column: [value, ...]}}`` is answered by
``{"outputs": {"label": [...], "probabilities": {label: [...]}}}``.
"""

from typing import Any

import numpy as np
import orjson

from modelservice.data.errors import InputError
from modelservice.serving.answer import Answer, json_answer, json_headers
from modelservice.serving.call import Call, check_rows, listed, rows_of
from modelservice.serving.errors import RequestError
from modelservice.serving.model import Array, ServedModel
from modelservice.serving.parsing import describe, parse_object

_EXPECTED = 'expected {"instances": [row, ...]} or {"inputs": {column: [value, ...]}}'
_ROW_TYPES = {list, dict}


class ProtocolV1:
    """Parses ``:predict`` bodies for one model."""

    def __init__(self, *, model: ServedModel) -> None:
        self._labels = model.signature.labels
        self._quoted = [orjson.dumps(label) for label in self._labels]
        probabilities = b",".join(label.replace(b"%", b"%%") + b":%b" for label in self._quoted)
        self._template = b'{"label":%b,"probabilities":{' + probabilities + b"}}"
        self._columns = tuple(column.name for column in model.signature.inputs)

    def parse(self, body: bytes) -> Call:
        """Parse a body.

        Raises:
            RequestError: with the place, such as ``instances[3]: the text 'x' is not a row``.
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
        if not _ROW_TYPES.issuperset(map(type, instances)):
            index, row = next((index, row) for index, row in enumerate(instances) if type(row) not in _ROW_TYPES)
            expected = f"an array or an object of {listed(self._columns)}"
            raise RequestError(f"instances[{index}]: {describe(row)} is not a row; expected {expected}")
        return Call(instances, _place_row, self._render_rows)

    def _by_column(self, inputs: Any) -> Call:
        if not isinstance(inputs, dict):
            raise RequestError(f"inputs: must be an object of columns, not {describe(inputs)}")
        for name, values in inputs.items():
            if not isinstance(values, list):
                raise RequestError(f"inputs.{name}: must be an array of values, not {describe(values)}")
        return Call(rows_of(inputs, self._columns, "inputs"), _place_column, self._render_columns)

    def _render_rows(self, probabilities: Array) -> Answer:
        # All numbers are written by one call; what stands around them is the same in each row.
        numbers = orjson.dumps(np.ascontiguousarray(probabilities), option=orjson.OPT_SERIALIZE_NUMPY)
        rows = zip(probabilities.argmax(axis=1).tolist(), numbers[2:-2].split(b"],["), strict=True)
        predictions = [self._template % (self._quoted[best], *row.split(b",")) for best, row in rows]
        body = b'{"predictions":[%b]}' % b",".join(predictions)
        return Answer(200, json_headers(body), body)

    def _render_columns(self, probabilities: Array) -> Answer:
        by_label = {label: probabilities[:, index].copy() for index, label in enumerate(self._labels)}
        labels = [self._labels[best] for best in probabilities.argmax(axis=1).tolist()]
        return json_answer({"outputs": {"label": labels, "probabilities": by_label}})


def _place_row(error: InputError) -> RequestError:
    row = "" if error.row is None else f"[{error.row}]"
    column = "" if error.column is None else f".{error.column}"
    return RequestError(f"instances{row}{column}: {error.message}")


def _place_column(error: InputError) -> RequestError:
    column = "" if error.column is None else f".{error.column}"
    row = "" if error.row is None else f"[{error.row}]"
    return RequestError(f"inputs{column}{row}: {error.message}")
