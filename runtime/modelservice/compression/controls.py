"""What a compression is compared with: its small network, from initial weights."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from modelservice.compression.auto import PROBES, last_share, stored_as, turns_of
from modelservice.compression.base import Compressible, StepContext
from modelservice.compression.lesson import Lesson, lesson_of_auto
from modelservice.compression.measured import measured
from modelservice.compression.quantize import QUANTIZE
from modelservice.contract.compression import Step
from modelservice.contract.failure import StageError
from modelservice.contract.sizes import Tried


def controls(
    before: Compressible, made: Compressible, steps: Sequence[Step], context: StepContext, *, epochs: int
) -> list[Tried]:
    """The network that was made, from scratch, and by distillation alone where that is not what made it.

    They learn as many epochs as the trained network and all steps together, and are quantised where the model that was
    made is; values are not shared, which would take further epochs.

    Args:
        before: as it was trained.
        made: what the steps came to.
        steps: that did it.
        context: rows and teacher.
        epochs: of the training.

    Returns:
        Nothing where no smaller network was made.
    """
    if made.network is None or (before.network and made.network.architecture == before.network.architecture):
        return []
    from modelservice.compression.tuning import teach  # noqa: PLC0415 - torch takes seconds to import

    architecture, total = made.network.architecture, epochs + sum(map(epochs_of, steps))
    if not total:
        return []
    quantize = next(
        (step.quantize for step in steps if step.quantize), stored_as(architecture) if steps[0].auto else None
    )
    as_made = lesson_of_auto(context.dataset, total) if steps[0].auto else Lesson(epochs=total)
    found = []
    for name in _ways(steps):
        lesson = replace(as_made, weight=0) if name == _SCRATCH else as_made
        try:
            network = context.kept.once(
                name.replace(" ", "-"), architecture, partial(teach, architecture, lesson, context)
            )
        except StageError as error:
            context.kept.say(f"{name}, the small network is not compared: {error.message}")
            continue
        model = Compressible.of(network)
        stored = model if quantize is None else QUANTIZE.apply(quantize, model, context)
        found.append(measured(name, stored, context).model_copy(update={"control": True}))
    return found


def planned_epochs(steps: Sequence[Step], *, epochs: int) -> int:
    """Passes over the training rows that steps have, and where they make a smaller network its controls.

    Args:
        steps: ``spec.compression.steps``.
        epochs: of the training.
    """
    own = sum(map(epochs_of, steps))
    if not any(step.choice in _SMALLER or (step.prune and step.prune.structured) for step in steps):
        return own
    return own + len(_ways(steps)) * (epochs + own)


_SMALLER: Final = frozenset({"lowRank", "distill", "auto"})
"""Steps that make another network; so does structured pruning."""


def _ways(steps: Sequence[Step]) -> tuple[str, ...]:
    """Names of the controls: a student of ``distill`` has learned by distillation alone."""
    return (_SCRATCH,) if any(step.distill for step in steps) else (_SCRATCH, _DISTILLATION)


_SCRATCH, _DISTILLATION = "from scratch", "by distillation alone"


def epochs_of(step: Step) -> int:
    """Passes over the training rows that a step has at most."""
    if step.auto is not None:
        turns = turns_of(step.auto)
        return step.auto.fine_tune_epochs * (PROBES + turns - 1 + last_share(turns))
    if step.distill is not None:
        return step.distill.epochs
    return 0 if step.quantize is not None else int(step.chosen.fine_tune_epochs)
