"""Explanations of images by a model's own derivatives, where its engine has them."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from modelservice.inference.engine import Differentiable
from modelservice.inference.explaining.question import explained_output
from modelservice.inference.explaining.slopes import ENDS, asked, explained
from modelservice.modalities.base import Rows
from modelservice.modalities.parts import Parts
from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.calls import Call
from modelservice.serving.errors import RequestError
from modelservice.serving.model import ServedModel, Slopes
from modelservice.serving.results import Results

STEPS: Final = 64
"""Derivatives of each image, where nobody says how many."""


class SlopesQuestion:
    """What a model is asked about images, and what follows.

    Attributes:
        size: how many images its derivatives are computed of.
        bytes: what these and their derivatives take, about.
    """

    def __init__(self, model: ServedModel, rows: Rows, parts: Sequence[Parts], *, method: str, steps: int) -> None:
        """Args: images as the encoder gives them, in parts of the size that is told; the method's name, and steps."""
        self._model, self._images, self._parts = model, np.asarray(rows), parts
        self._method, self._steps = method, steps + ENDS
        self.size = len(parts) * self._steps
        self.bytes = self.size * self._images[0].size * 2 * np.dtype(np.float32).itemsize

    def call(self, label: int, engine: Differentiable, *, seed: int, timeout: float | None) -> Call[Answer]:
        """The call of one label, or of the one number."""
        plain = np.asarray(self._parts[0].shown(np.zeros((1, self._parts[0].count), dtype=np.bool_)))[0]
        steps = self._steps - ENDS
        rows = asked(self._method, plain.astype(np.float32), self._images.astype(np.float32), steps=steps, seed=seed)
        ends = [rows[at : at + ENDS] for at in range(0, self.size, self._steps)]
        features = [self._model.encoder.encode(one) for one in ends]
        compute = Slopes(self._model.encoder, engine, label)
        render = partial(self._render, features=features, label=label)
        return Call(rows, lambda error: RequestError(str(error)), render, timeout=timeout, compute=compute)

    def _render(self, results: Results, *, features: Sequence[Any], label: int) -> Answer:
        signature = self._model.signature
        explanations = []
        for number, (parts, ends) in enumerate(zip(self._parts, features, strict=True)):
            raw = results.raw[number * self._steps : (number + 1) * self._steps]
            value, base, pixels = explained(self._method, raw, ends)
            named = {"label": signature.labels[label]} if signature.labels else {}
            said = {"output": explained_output(signature.outputs), **named, "value": value, "base": base}
            explanations.append({**said, **parts.told(pixels)})
        return json_answer({"explanations": explanations, "method": self._method, "exact": False})
