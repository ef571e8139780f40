"""What a step of ``spec.compression.steps`` answers."""

from typing import Any, Protocol


class Step(Protocol):
    """One way to make a model smaller. Members are stateless values in ``compression.STEPS``."""

    name: str
    """As ``spec.compression.steps`` spells its member, such as quantize."""

    def apply(self, settings: Any, model: bytes) -> bytes:
        """Make a model smaller.

        Args:
            settings: what the step of the spec says.
            model: content of ``model.onnx``.

        Returns:
            The smaller model, of the same input and output.

        Raises:
            StageError: there is nothing in this model that the step could make smaller.
        """
