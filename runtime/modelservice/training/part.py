"""What a training consists of, as far as it changes from step to step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Part:
    """Something that a training changes, and that a checkpoint holds.

    Names, shapes and types of what it has are the same all the while.
    """

    may_be_infinite = False
    """Whether its tensors may hold infinite numbers while the training goes well."""

    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors themselves, by name: filling them puts the part into another state."""
        return {}

    def numbers(self) -> Mapping[str, float]:
        """All else that changes; counts are ``int`` and not below 0."""
        return {}

    def refusal(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, float]) -> str | None:  # noqa: ARG002
        """Why this part can never be in such a state, None where it can.

        Args:
            arrays: of the names, shapes and types of ``tensors``.
            numbers: of the names and types of ``numbers``.
        """
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not (np.isfinite(array) | (self.may_be_infinite & np.isinf(array))).all():
                return f"{name} has numbers that are none, or infinite"
        return None

    def load(self, numbers: Mapping[str, float]) -> None:
        """Take numbers of the same names and types that ``refusal`` does not refuse."""
