"""Trained models made smaller, and what that costs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from modelservice.compression.auto import AUTO
from modelservice.compression.base import Compressible, Step, StepContext
from modelservice.compression.clip import CLIP
from modelservice.compression.controls import controls, planned_epochs
from modelservice.compression.distill import DISTILL
from modelservice.compression.kept import KeptNetworks
from modelservice.compression.low_rank import LOW_RANK
from modelservice.compression.measured import in_turns, measured
from modelservice.compression.network import StoredNetwork
from modelservice.compression.prune import PRUNE
from modelservice.compression.quantize import QUANTIZE
from modelservice.compression.share_weights import SHARE_WEIGHTS
from modelservice.contract.compression import Step as AskedStep

__all__ = [
    "STEPS",
    "Compressible",
    "KeptNetworks",
    "Step",
    "StepContext",
    "StoredNetwork",
    "apply_step",
    "compress",
    "planned_epochs",
]

STEPS: Final[tuple[Step, ...]] = (QUANTIZE, PRUNE, LOW_RANK, CLIP, SHARE_WEIGHTS, DISTILL, AUTO)


def compress(
    model: Compressible, steps: Sequence[AskedStep], context: StepContext, *, epochs: int = 0, kept_apart: bool = True
) -> Compressible:
    """Apply the steps in order, and measure what each comes to.

    Args:
        model: as it was trained.
        steps: ``spec.compression.steps``.
        context: rows to learn from, and the trained model as a teacher.
        epochs: of the training; controls learn as many.
        kept_apart: whether the training learned none of the validation rows.

    Returns:
        The smaller model; ``tried`` has the first model, what each step came to, and the controls.

    Raises:
        StageError: a step finds nothing to make smaller.
    """
    first = "as it was trained" if kept_apart else "as it was trained, on these rows, too"
    before, tried = model, [measured(first, model, context)]
    for asked in steps:
        model = apply_step(model, asked, context)
        tried += model.tried or [measured(asked.choice, model, context)]
    if not any(one.chosen for one in tried):
        tried[-1] = tried[-1].model_copy(update={"chosen": True})
    place = next(place for place, one in enumerate(tried) if one.chosen)
    tried[0], tried[place] = in_turns([tried[0], tried[place]], [before, model], context)
    return replace(model, tried=(*tried, *controls(before, model, steps, context, epochs=epochs)))


def apply_step(model: Compressible, asked: AskedStep, context: StepContext) -> Compressible:
    """Apply one step; arguments and errors as above."""
    member = next(step for step in STEPS if step.name == asked.choice)
    return member.apply(asked.chosen, replace(model, tried=()), context)
