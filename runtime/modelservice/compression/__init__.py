"""Trained models made smaller, and what that costs."""

from collections.abc import Iterable
from typing import Final

from modelservice.compression.base import Compressible, Step, StepContext
from modelservice.compression.distill import DISTILL
from modelservice.compression.network import StoredNetwork
from modelservice.compression.prune import PRUNE
from modelservice.compression.quantize import QUANTIZE
from modelservice.contract.compression import Step as AskedStep

__all__ = ["STEPS", "Compressible", "Step", "StepContext", "StoredNetwork", "compress"]

STEPS: Final[tuple[Step, ...]] = (QUANTIZE, PRUNE, DISTILL)


def compress(model: Compressible, steps: Iterable[AskedStep], context: StepContext) -> Compressible:
    """Apply the steps in order.

    Args:
        model: as it was trained.
        steps: ``spec.compression.steps``.
        context: rows to learn from, and the trained model as a teacher.

    Raises:
        StageError: a step finds nothing to make smaller.
    """
    for asked in steps:
        member = next(step for step in STEPS if step.name == asked.choice)
        model = member.apply(asked.chosen, model, context)
    return model
