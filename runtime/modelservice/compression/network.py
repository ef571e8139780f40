"""A network as an artifact stores it: its architecture, and its weights by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.documents import read_document
from modelservice.contract.manifest import ARCHITECTURE_FILE, WEIGHTS_FILE
from modelservice.families.architecture import Architecture, Curve, Isotonic

Weights = Mapping[str, NDArray[np.float32]]
"""Arrays by the names of ``families.modules.build``, such as ``0.weight``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredNetwork:
    """Layers and what they compute with; nothing of torch."""

    architecture: Architecture
    weights: Weights

    @classmethod
    def of_files(cls, files: Mapping[str, bytes]) -> "StoredNetwork | None":
        """The one of a verified artifact's files; None where torch did not train it.

        Raises:
            DocumentError: its architecture is of a newer release.
        """
        if ARCHITECTURE_FILE not in files:
            return None
        from safetensors.numpy import load  # noqa: PLC0415

        architecture = read_document(ARCHITECTURE_FILE, files[ARCHITECTURE_FILE], Architecture)
        return cls(architecture=architecture, weights=load(files[WEIGHTS_FILE]))

    @property
    def curves(self) -> tuple[Curve, ...]:
        """What a calibration put behind its probabilities; none where there was no such."""
        head = self.architecture.head
        return head.curves if isinstance(head, Isotonic) else ()

    @property
    def before_curves(self) -> "StoredNetwork":
        """The network that the calibration found: what learns from this one keeps the curves, and has them once."""
        head = self.architecture.head
        if not isinstance(head, Isotonic):
            return self
        return replace(self, architecture=self.architecture.model_copy(update={"head": head.head}))

    @property
    def parameters(self) -> int:
        """Stored values, zeros among them."""
        return self.architecture.parameters

    @property
    def nonzero(self) -> int:
        """Stored values that are not 0."""
        return sum(int(np.count_nonzero(array)) for array in self.weights.values())

    def to_onnx(self) -> bytes:
        """``model.onnx``."""
        from modelservice.families.architecture_graph import architecture_graph  # noqa: PLC0415 - onnx is slow to import

        return architecture_graph(self.architecture, self.weights)
