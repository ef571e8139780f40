"""The predict API of TensorFlow Serving over REST, which KServe calls its protocol v1.

``{"instances": [row, ...]}`` is answered by ``{"predictions": [...]}``, one for each row: an object of the outputs,
or the lone output itself. ``{"inputs": ...}``, values by column or one tensor, is answered by ``{"outputs": ...}``.
An output whose values have labels, such as probabilities, is an object by label. ``{"unseen": true}`` beside the rows
asks for one member more: for each row the columns whose category training never saw; see ``asked`` for what else
can be asked.
"""

from functools import partial
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson

from modelservice.contract.signature import Output
from modelservice.modalities.base import STRICT, Encoder, Tolerance
from modelservice.modalities.tensors import BYTES
from modelservice.serving.answer import JSON_HEADERS, Answer, json_answer
from modelservice.serving.asked import Asked, read_asked, tell
from modelservice.serving.calls import Call
from modelservice.serving.members import ROWS
from modelservice.serving.model import ServedModel, outputs_of
from modelservice.serving.protocols.tensorflow.metadata import check_signature
from modelservice.serving.protocols.tensorflow.places import body_reader, read_rows
from modelservice.serving.protocols.texts import row_texts, template
from modelservice.serving.results import Results
from modelservice.serving.uploads import INSTANCES
from modelservice.tasks.base import Array

_NATIVE: Final = orjson.OPT_SERIALIZE_NUMPY


class Predictions:
    """Parses ``:predict`` bodies for one model, and renders what it answers."""

    def __init__(self, model: ServedModel, tolerance: Tolerance = STRICT) -> None:
        self._tolerance = tolerance
        self._asked = read_asked({}, tolerance)
        self._model = model
        self._encoder: Encoder = model.encoder
        self._read = body_reader(model.signature, ROWS)
        self._named = outputs_of(model)
        self._outputs = outputs = model.signature.outputs
        self._columns = [_Column(output) for output in outputs]
        self._alone = len(outputs) == 1
        members = b",".join(template(output.name) + b":" + column.template for output, column in self._described())
        self._template = self._columns[0].template if self._alone else b"{" + members + b"}"

    def _described(self) -> "list[tuple[Output, _Column]]":
        return list(zip(self._outputs, self._columns, strict=True))

    def parse(self, body: bytes, _header_length: bytes | None = None) -> Call[Answer]:
        """Parse a body.

        Raises:
            RequestError: with the place, such as ``instances[3]: the text 'x' is not a row``.
        """
        document = self._read(body)
        asked = self._asked
        if len(document) > 1:
            check_signature(document.get("signature_name", ""))
            asked = read_asked(document, self._tolerance)
        rows, place = read_rows(document, self._encoder, asked.tolerance)
        render = self._render_rows if INSTANCES in document else self._render_columns
        call = Call(rows, place, render, timeout=asked.timeout)
        return call._replace(render=partial(self._render_with_told, call, asked)) if asked.told else call

    def _render_with_told(self, call: Call[Answer], asked: Asked, results: Results) -> Answer:
        told = orjson.dumps(tell(self._model, call.rows, asked))
        body = b"%b,%b" % (call.render(results).body[:-1], told[1:])
        return Answer(200, JSON_HEADERS, body)

    def _render_rows(self, results: Results) -> Answer:
        rows: list[bytes] = results.rows(self._write_rows)
        body = b'{"predictions":[%b]}' % b",".join(rows)
        return Answer(200, JSON_HEADERS, body)

    def _write_rows(self, raw: Array) -> list[bytes]:
        # All numbers of an output are written by one call; what stands around them is the same in each row.
        named = self._named(raw)
        parts = [column.parts(values) for column, values in zip(self._columns, named.values(), strict=True)]
        return [self._template % tuple(chain.from_iterable(row)) for row in zip(*parts, strict=True)]

    def _render_columns(self, results: Results) -> Answer:
        named = self._named(results.raw)
        outputs = {
            output.name: column.by_column(values)
            for (output, column), values in zip(self._described(), named.values(), strict=True)
        }
        return json_answer({"outputs": next(iter(outputs.values())) if self._alone else outputs})


class _Column:
    """How one output is written: ``template`` for a row takes what ``parts`` gives for it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._text = output.datatype == BYTES
        self._labels = output.labels
        self._rank = len(output.shape)
        self.template = b"%b"
        if self._by_label:
            members = b",".join(template(label) + b":%b" for label in self._labels or ())
            self.template = b"{" + members + b"}"

    @property
    def _by_label(self) -> bool:
        return self._labels is not None and not self._text and self._rank == 1

    def parts(self, values: Any) -> list[Any]:
        """For each row the texts that its template takes."""
        texts = row_texts(self._output, values)
        if self._by_label:
            return [text.split(b",") for text in texts]
        if self._text or self._rank == 0:
            return [(text,) for text in texts]
        if self._rank == 1:
            return [(b"[%b]" % text,) for text in texts]
        return [(orjson.dumps(np.ascontiguousarray(row), option=_NATIVE),) for row in values]

    def by_column(self, values: Any) -> Any:
        """All rows of the output, for JSON."""
        if self._by_label:
            return {label: values[:, index].copy() for index, label in enumerate(self._labels or ())}
        return values if self._text else np.ascontiguousarray(values)
