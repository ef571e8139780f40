"""The answer of a server to one request, without one: no queue, no limits of others, the same bytes."""

import numpy as np

from modelservice.inference.batches import BATCH_ROWS
from modelservice.modalities.errors import InputError
from modelservice.serving.batch import finite
from modelservice.serving.model import Computation, ServedModel, computed
from modelservice.serving.protocols.tensorflow.explanations import Explanations
from modelservice.serving.protocols.tensorflow.predictions import Predictions
from modelservice.serving.results import Results


def answer_alone(model: ServedModel, body: bytes, *, explains: bool, method: str | None = None) -> bytes:
    """Answer the body of ``:predict`` or ``:explain``; ``method`` is that of a body that names none.

    Raises:
        RequestError: as a server says it.
    """
    call = (Explanations(model, method=method) if explains else Predictions(model)).parse(body)
    computation = call.compute or Computation(model)
    batches = []
    for start in range(0, len(call.rows), BATCH_ROWS):
        try:
            batches.append(finite(computed(computation, call.rows[start : start + BATCH_ROWS])))
        except InputError as error:
            raise call.place(error if error.row is None else error.at(start + error.row)) from None
    return call.render(Results.of(np.concatenate(batches))).body
