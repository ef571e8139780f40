"""A row in parts, each of which can be hidden: what explanations ask a model about."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
"""Coalitions: bool [coalitions, parts], whether a part is shown."""
Contributions = NDArray[np.float64]
"""What each part adds to an answer: float64 [parts]."""


MAX_PATCH: Final = 4096
"""The largest side of a patch that can be asked for, in pixels."""


class PartOptions(NamedTuple):
    """How a picture is divided and told: side of a patch in pixels, None for an eighth of it; whether it is drawn."""

    patch: int | None = None
    heat_map: bool = False


WHOLE_PARTS = PartOptions()
"""As the modality divides by itself."""


class Parts(Protocol):
    """One row of a request.

    Attributes:
        noun: what the parts are, in messages.
        remedy: what makes fewer rows of it, in messages.
        count: how many there are, one at least.
        size: bytes that a row takes with some of them hidden, about.
        additive: whether parts join a typical row, so that each has a share of what all change together; else they are
            hidden from this row, one by one, since there is no typical one.
    """

    noun: str
    remedy: str
    count: int
    size: int
    additive: bool

    def shown(self, masks: Masks) -> list[Any] | NDArray[Any]:
        """The row once for each coalition, with the parts that it has."""

    def told(self, contributions: Contributions) -> dict[str, Any]:
        """Members of an explanation, for JSON, ``contributions`` first; of an image those of pixels [h, w] will do."""


@runtime_checkable
class Conditions(Protocol):
    """An encoder of columns, which says what a condition on a number of an encoded row is of the column itself."""

    @property
    def columns(self) -> NDArray[np.int64]:
        """The column of each number of an encoded row, by its place among the inputs: int64 [width]."""

    def told(self, place: int, threshold: float, *, value: float, cells: Sequence[Any]) -> dict[str, Any]:
        """A condition that a row meets, for JSON: ``column``, ``condition``, and ``cell``, null where it is missing.

        Args:
            place: of the number in an encoded row.
            threshold: what it was compared with.
            value: the number; the condition is that it is at most the threshold, if it is, and else that it is more.
            cells: of the row, see ``Encoder.cells``.
        """
