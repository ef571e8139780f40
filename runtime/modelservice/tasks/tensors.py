"""Numbers as a model gives them, such as embeddings: of models that were packed; nothing is learned with this task."""

from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.documents import DocumentError
from modelservice.contract.signature import Output
from modelservice.tasks.base import Array

DATATYPE: Final = "FP32"


@dataclass(frozen=True)
class Tensors:
    """Some tensors of floats for each row; a model gives them one after the other, flat, float32 [rows, width]."""

    said: tuple[Output, ...] = ()

    name = "Tensors"

    def of_outputs(self, outputs: tuple[Output, ...]) -> "Tensors":
        """The task of these outputs.

        Raises:
            DocumentError: one of them is no tensor of floats.
        """
        for output in outputs:
            if output.datatype != DATATYPE or output.labels is not None:
                raise DocumentError(f"output {output.name[:64]!r} is not one of {DATATYPE} without labels")
        return Tensors(outputs)

    def outputs(self, labels: tuple[str, ...]) -> tuple[Output, ...]:  # noqa: ARG002 - the seam's signature
        """Those that the signature said."""
        return self.said

    def decide(self, raw: Array) -> NDArray[np.int64]:
        """The first one; of several none is the answer."""
        return np.zeros(len(raw), dtype=np.int64)

    def named(self, raw: Array, labels: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG002 - the seam's signature
        """Each output as float32 [rows, *shape]."""
        named, at = {}, 0
        for output in self.said:
            end = at + prod(output.shape)
            named[output.name] = raw[:, at:end].reshape(len(raw), *output.shape)
            at = end
        return named


TENSORS: Final = Tensors()
