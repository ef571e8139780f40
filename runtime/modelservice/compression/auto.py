"""Steps and strengths that are found: a network made narrower in turns, as far as the budget seems to allow.

Each turn takes about half of the parameters that are left (structured pruning), tunes the rest on labels and on what
the uncompressed model says, and looks at the result with weights of 8 bits. Pruning in turns loses less than at once
(Han et al., 2015; Li et al., 2017). Networks for images learn from images that are moved, and from the network of the
turn before, which stands between a large teacher and a small pupil (Mirzadeh et al., 2020). The validation rows choose
among the turns; of the test rows only their number is looked at.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Final

from modelservice.compression.base import Compressible, StepContext, single_network
from modelservice.compression.lesson import lesson_of_auto
from modelservice.compression.measured import measured, validation_outputs
from modelservice.compression.prune import narrowed
from modelservice.compression.quantize import QUANTIZE
from modelservice.compression.units import ratio_for
from modelservice.contract.compression import Auto, Quantize
from modelservice.families.architecture import Architecture
from modelservice.inference.batches import run_batches
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.tasks.paired import metric_drop


class AutoStep:
    """The step ``auto``."""

    name = "auto"

    def apply(self, settings: Auto, model: Compressible, context: StepContext) -> Compressible:
        """Find the strongest turn that seems to keep the budget; see ``Step``."""
        network = single_network(model, self.name)
        first = network.parameters
        names, found = ["Int8"], [QUANTIZE.apply(Quantize(), model, context)]
        lesson, learning = lesson_of_auto(context.dataset, settings.fine_tune_epochs), context
        for parameters, multiply_adds in targets(network.architecture, settings):
            ratio = ratio_for(network.architecture, parameters, multiply_adds)
            network = narrowed(f"auto-{parameters}", network, ratio, lesson, learning)
            if lesson.augmentation is not None:
                learning = replace(context, teacher=partial(run_batches, OnnxEngine(network.to_onnx()).run))
            names.append(f"{first / network.parameters:.3g} x fewer parameters, Int8")
            found.append(QUANTIZE.apply(Quantize(), Compressible.of(network), context))
        tried = [measured(name, one, context) for name, one in zip(names, found, strict=True)]
        place = choose(expected_losses(model, found, context), budget=context.budget)
        tried[place] = tried[place].model_copy(update={"chosen": True})
        return replace(found[place], tried=tuple(tried))


AUTO: Final = AutoStep()


def turns_of(settings: Auto) -> int:
    """How many turns lead to both targets if none of them takes more than a half."""
    return math.ceil(math.log2(max(settings.target_size_ratio, settings.target_latency_ratio or 1)))


def targets(architecture: Architecture, settings: Auto) -> list[tuple[int, int]]:
    """Parameters and multiply-adds of a row at most, after each turn.

    Multiply-adds stand for the latency, which another machine, or the same one a minute later, would measure otherwise:
    what is chosen must not hang on that.
    """
    turns = turns_of(settings)
    shares = [turn / turns for turn in range(1, turns + 1)]
    ratio = settings.target_latency_ratio or 1
    return [
        (
            math.floor(architecture.parameters / settings.target_size_ratio**share),
            math.floor(architecture.multiply_adds / ratio**share),
        )
        for share in shares
    ]


def expected_losses(before: Compressible, found: list[Compressible], context: StepContext) -> list[float]:
    """For each model the upper end of the interval that as many rows as the test rows would show of it.

    What is lost on the validation rows, and the upper part of its interval narrower or wider by the root of how many
    times more or fewer test rows there are.
    """
    dataset, side = context.dataset, context.dataset.validation
    shrink = math.sqrt(len(side.values) / len(dataset.test.values))
    outputs = validation_outputs(before, context)
    compare = partial(metric_drop, dataset.task, context.metric, outputs, weights=side.weights)
    drops = [compare(validation_outputs(one, context), side.values) for one in found]
    assert None not in drops  # noqa: S101 - the stage asked before whether these rows tell the metric
    return [drop.value + (drop.high - drop.value) * shrink for drop in drops if drop is not None]


def choose(losses: list[float], *, budget: float) -> int:
    """The last model that is expected to keep the budget; where none is, the one of which least is lost."""
    within = [place for place, loss in enumerate(losses) if loss <= budget]
    return within[-1] if within else min(range(len(losses)), key=lambda place: (losses[place], -place))
