"""What a training consists of, as far as it changes from step to step."""

from collections.abc import Mapping

from torch import Tensor


class Part:
    """Something that a training changes, and that a checkpoint holds.

    Names, shapes and types of what it has are the same all the while.
    """

    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors themselves, by name: filling them puts the part into another state."""
        return {}

    def numbers(self) -> Mapping[str, float]:
        """All else that changes; counts are ``int`` and not below 0."""
        return {}

    def load(self, numbers: Mapping[str, float]) -> None:
        """Take numbers of the same names and types."""
