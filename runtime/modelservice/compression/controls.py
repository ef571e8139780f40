"""What a compression is compared with: its small network, from initial weights."""

from collections.abc import Sequence
from functools import partial

from modelservice.compression.auto import ladder
from modelservice.compression.base import Compressible, StepContext
from modelservice.compression.measured import measured
from modelservice.compression.quantize import QUANTIZE
from modelservice.contract.compression import Quantize, Step
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
    from modelservice.compression.tuning import Lesson, teach  # noqa: PLC0415 - torch takes seconds to import

    architecture, total = made.network.architecture, epochs + sum(map(_epochs, steps))
    if not total:
        return []
    ways = {"from scratch": Lesson(epochs=total, weight=0), "by distillation alone": Lesson(epochs=total)}
    if any(step.distill for step in steps):
        del ways["by distillation alone"]
    quantize = next((step.quantize for step in steps if step.quantize), Quantize() if steps[0].auto else None)
    found = []
    for name, lesson in ways.items():
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


def _epochs(step: Step) -> int:
    """Passes over the training rows that a step has."""
    if step.auto is not None:
        return step.auto.fine_tune_epochs * len(ladder(1, step.auto.target_size_ratio))
    if step.distill is not None:
        return step.distill.epochs
    return 0 if step.quantize is not None else int(step.chosen.fine_tune_epochs)
