"""Trained models made smaller, and what that costs."""

from collections.abc import Iterable
from typing import Final

from modelservice.compression.base import Step
from modelservice.compression.quantize import QUANTIZE
from modelservice.contract.compression import Step as AskedStep

__all__ = ["STEPS", "Step", "compress"]

STEPS: Final[tuple[Step, ...]] = (QUANTIZE,)


def compress(model: bytes, steps: Iterable[AskedStep]) -> bytes:
    """Apply the steps in order.

    Args:
        model: content of ``model.onnx``.
        steps: ``spec.compression.steps``.

    Raises:
        StageError: a step finds nothing to make smaller.
    """
    for asked in steps:
        member = next(step for step in STEPS if step.name == asked.choice)
        model = member.apply(asked.chosen, model)
    return model
