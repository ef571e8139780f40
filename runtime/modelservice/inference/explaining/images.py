"""Images that are explained by a model's own derivatives: what is asked, and what follows."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from modelservice.contract.signature import Signature
from modelservice.inference.explaining.question import explained_output
from modelservice.inference.explaining.slopes import ENDS, Images, asked, explained
from modelservice.modalities.base import Encoder, Rows
from modelservice.modalities.parts import Parts
from modelservice.tasks.base import Array

STEPS: Final = 64
"""Derivatives of each image, where nobody says how many."""


class SlopesQuestion:
    """Ends and steps of some images.

    Attributes:
        size: how many images derivatives are computed of.
        bytes: what these and their derivatives take, about.
    """

    def __init__(self, encoder: Encoder, rows: Rows, parts: Sequence[Parts], *, method: str, steps: int) -> None:
        """Args: images as the encoder gives them, in parts of the size that is told; the method's name, and steps."""
        self._encoder, self._images, self._parts = encoder, np.asarray(rows), parts
        self.method, self._steps = method, steps + ENDS
        self.size = len(parts) * self._steps
        self.bytes = self.size * self._images[0].size * 2 * np.dtype(np.float32).itemsize

    def asked(self, seed: int) -> Images:
        """What derivatives are asked of, ``size`` images; the same for the same seed."""
        plain = np.asarray(self._parts[0].shown(np.zeros((1, self._parts[0].count), dtype=np.bool_)))[0]
        steps = self._steps - ENDS
        return asked(self.method, plain.astype(np.float32), self._images.astype(np.float32), steps=steps, seed=seed)

    def explanations(self, rows: Images, raw: Array, signature: Signature, label: int) -> list[dict[str, Any]]:
        """An explanation of each image, for JSON.

        Args:
            rows: what was asked.
            raw: what ``Differentiable.gradients`` said, [size, 1 + values of a row].
            signature: of the model.
            label: number of the explained output.
        """
        named = {"label": signature.labels[label]} if signature.labels else {}
        found = []
        for parts, start in zip(self._parts, range(0, self.size, self._steps), strict=True):
            ends = self._encoder.encode(rows[start : start + ENDS])
            value, base, pixels = explained(self.method, raw[start : start + self._steps], ends)
            said = {"output": explained_output(signature.outputs), **named, "value": value, "base": base}
            found.append({**said, **parts.told(pixels)})
        return found
