"""``:explain``, as KServe's protocol v1 has it: ``{"instances": [...]}`` is answered by ``{"explanations": [...]}``."""

from functools import partial
from typing import Any, Final

import numpy as np

from modelservice.contract.signature import InputColumn, Output
from modelservice.modalities.base import STRICT, Tolerance
from modelservice.modalities.errors import InputError
from modelservice.modalities.tensors import describe, listed
from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.asked import read_asked
from modelservice.serving.calls import MAX_ROWS, Call
from modelservice.serving.errors import RequestError, TooLargeError
from modelservice.serving.explaining.shapley import Plan, mixed_rows, plan
from modelservice.serving.model import ServedModel
from modelservice.serving.parsing import parse_object
from modelservice.serving.protocols.tensorflow.metadata import check_signature
from modelservice.serving.protocols.tensorflow.places import place_row, read_instances
from modelservice.serving.results import Results

EVALUATIONS: Final = 1024
"""Rows that the model answers for each explained one, unless the request says another number."""
MAX_CELLS: Final = 2_000_000
"""Cells of all rows that one request makes the model answer."""
_MAX_SEED: Final = 2**32


class Explanations:
    """Parses ``:explain`` bodies for one model, and renders what follows from its answers.

    The reference is the row of medians and modes that the signature has as an example.
    """

    def __init__(self, model: ServedModel, tolerance: Tolerance = STRICT) -> None:
        self._tolerance = tolerance
        self._encoder = model.encoder
        self._labels = model.signature.labels
        self._columns = [given.name for given in model.signature.inputs if isinstance(given, InputColumn)]
        self._output = _explained(model.signature.outputs)
        self._reference: list[Any] = []
        if self._columns:
            (self._reference,) = self._encoder.cells(self._encoder.from_instances([self._encoder.example()]))

    @property
    def possible(self) -> bool:
        """Whether the model has columns."""
        return bool(self._columns)

    @property
    def columns(self) -> int:
        """How many."""
        return len(self._columns)

    def parse(self, body: bytes, _header_length: bytes | None = None) -> Call[Answer]:
        """Parse a body.

        Raises:
            RequestError: with the place, as of ``:predict``.
        """
        if not self.possible:
            raise RequestError("explanations are of the columns of a table, and this model has none")
        document = parse_object(body)
        check_signature(document.get("signature_name", ""))
        rows = self._rows(document)
        label = self._label(document.get("label"))
        plan_ = self._plan(document, len(rows))
        coalitions = len(plan_.masks)

        def place(error: InputError) -> RequestError:
            row = None if error.row is None else error.row // coalitions
            return place_row(InputError(error.message, row=row, column=error.column))

        render = partial(self._render, plan_=plan_, label=label)
        return Call(mixed_rows(rows, self._reference, plan_.masks), place, render, hypothetical=True)

    def _rows(self, document: dict[str, Any]) -> list[list[Any]]:
        given = read_instances(
            document.get("instances"), self._encoder, read_asked(document, self._tolerance).tolerance
        )
        try:
            return self._encoder.cells(given)
        except InputError as error:
            raise place_row(error) from None

    def _label(self, said: Any) -> int | None:
        if said is None:
            return None
        if said not in self._labels:
            known = f"one of {listed(self._labels)}" if self._labels else "none: the model predicts a number"
            raise RequestError(f"label: {describe(said)} is no label of this model; expected {known}")
        return self._labels.index(said)

    def _plan(self, document: dict[str, Any], rows: int) -> Plan:
        evaluations = _whole(document, "evaluations", EVALUATIONS, MAX_ROWS)
        seed = _whole(document, "seed", 0, _MAX_SEED)
        try:
            found = plan(self.columns, evaluations=evaluations, seed=seed)
        except ValueError as error:
            raise RequestError(f"evaluations: {evaluations}; {self.columns} columns need {error}") from None
        needed = rows * len(found.masks)
        if needed > MAX_ROWS or needed * self.columns > MAX_CELLS:
            raise TooLargeError(
                f"instances: {rows} rows of {self.columns} columns take {needed} evaluations; at most"
                f" {min(MAX_ROWS, MAX_CELLS // self.columns)} in one request: send fewer rows, or fewer evaluations"
            )
        return found

    def _render(self, results: Results, *, plan_: Plan, label: int | None) -> Answer:
        raw = results.raw.astype(np.float64).reshape(-1, len(plan_.masks), results.raw.shape[1])
        explained = raw[:, plan_.whole].argmax(axis=1) if label is None else np.full(len(raw), label)
        values = np.take_along_axis(raw, explained[:, None, None], axis=2)[:, :, 0]
        contributions = plan_.contributions(values)
        explanations = [
            {
                "output": self._output,
                **({"label": self._labels[explained[row]]} if self._labels else {}),
                "value": values[row, plan_.whole],
                "base": values[row, plan_.none],
                "contributions": dict(zip(self._columns, contributions[row].tolist(), strict=True)),
            }
            for row in range(len(raw))
        ]
        return json_answer({"explanations": explanations, "exact": plan_.exact})


def _explained(outputs: tuple[Output, ...]) -> str:
    """The output of numbers: probabilities of labels, or the number itself."""
    return next((output.name for output in outputs if output.labels is not None), outputs[0].name)


def _whole(document: dict[str, Any], name: str, default: int, most: int) -> int:
    said = document.get(name, default)
    if type(said) is not int or not 0 <= said <= most:
        raise RequestError(f"{name}: must be a whole number from 0 to {most}, not {describe(said)}")
    return said
