"""Steps and strengths that are found: a network made narrower in turns, as far as the budget seems to allow.

Each turn takes about half of the parameters that are left (structured pruning), tunes the rest on labels and on what
the uncompressed model says, and looks at the result with weights of 8 bits. Pruning in turns loses less than at once
(Han et al., 2015; Li et al., 2017). Networks for images learn from images that are moved, and from the network of the
turn before, which stands between a large teacher and a small pupil (Mirzadeh et al., 2020).

Where a layer takes many values, such as the pixels of an image, few of its units are left of so few parameters; two
layers in its place, with a narrow one between them, leave room for more (``low_rank``). Whether that suits is told by
two networks of the size asked for, made at once, one of them with layers of a lower rank.

The validation rows choose between these and among the turns; of the test rows only their number is looked at.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from modelservice.compression.base import Compressible, StepContext, single_network
from modelservice.compression.lesson import Lesson, lesson_of_auto
from modelservice.compression.low_rank import factorised
from modelservice.compression.measured import measured, validation_outputs
from modelservice.compression.network import StoredNetwork
from modelservice.compression.prune import check_joints, narrowed
from modelservice.compression.quantize import QUANTIZE
from modelservice.compression.units import widths_within
from modelservice.contract.compression import Activations, Auto, Quantize
from modelservice.families.architecture import Architecture, Convolution, Dropout
from modelservice.inference.batches import run_batches
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.tasks.paired import metric_drop


class AutoStep:
    """The step ``auto``."""

    name = "auto"

    def apply(self, settings: Auto, model: Compressible, context: StepContext) -> Compressible:
        """Find the strongest turn that seems to keep the budget; see ``Step``."""
        network = single_network(model, self.name)
        check_joints(network, self.name, remedy="leave compression out, or take quantize")
        goals = targets(network.architecture, settings)
        lesson = lesson_of_auto(context.dataset, settings.fine_tune_epochs)
        forms = forms_of(network)
        probes = _probes(forms, goals[-1], lesson, context)
        losses = expected_losses(model, [Compressible.of(one) for one in probes], context)
        form = forms[losses.index(min(losses))] if losses else forms[0]
        *larger, last = _turns(form, goals, lesson, context)
        made = [*larger, *probes, last]
        ways = [""] * len(larger) + list(_AT_ONCE[: len(probes)]) + [""]
        names = [
            f"{network.parameters / one.parameters:.3g} x fewer parameters{way}, Int8"
            for one, way in zip(made, ways, strict=True)
        ]
        small = [QUANTIZE.apply(stored_as(one.architecture), Compressible.of(one), context) for one in made]
        found = [QUANTIZE.apply(Quantize(), model, context), *small]
        tried = [measured(name, one, context) for name, one in zip(["Int8", *names], found, strict=True)]
        place = choose(expected_losses(model, found, context), budget=context.budget)
        tried[place] = tried[place].model_copy(update={"chosen": True})
        return replace(found[place], tried=tuple(tried))


AUTO: Final = AutoStep()
_RANK: Final = 0.25
"""Of the rank of a layer, where its layers are of a lower one; turns narrow what is between the two further."""
_AT_ONCE: Final = (" at once", " at once, low rank")
PROBES: Final = len(_AT_ONCE)
"""Networks at most that are made to find out from which of its forms the turns start."""


def stored_as(architecture: Architecture) -> Quantize:
    """How a small network is stored: with convolutions, which compute with floats, its narrow linear layers do, too.

    To find the scales of a row takes longer there than integers save.
    """
    convolves = any(isinstance(layer, Convolution) for layer in architecture.layers)
    return Quantize(activations=Activations.NONE) if convolves else Quantize()


def forms_of(network: StoredNetwork) -> list[StoredNetwork]:
    """The network as turns may start from it: as it is, and of a lower rank where that makes a layer smaller.

    Without dropout, as students of ``distill`` are: what keeps a large network from learning by heart keeps a small one
    from learning.
    """
    layers = tuple(
        layer.model_copy(update={"share": 0.0}) if isinstance(layer, Dropout) else layer
        for layer in network.architecture.layers
    )
    plain = replace(network, architecture=network.architecture.model_copy(update={"layers": layers}))
    split = factorised(plain, _RANK, hidden_only=True)
    return [plain] if split is None else [plain, split]


def _probes(
    forms: Sequence[StoredNetwork], goal: tuple[int, int], lesson: Lesson, context: StepContext
) -> list[StoredNetwork]:
    """Each form as small as it is to become, at once; nothing where there is but one."""
    names = [f"auto-once-{place}" for place in range(len(forms))] if len(forms) > 1 else []
    return [_narrowed(name, form, goal, lesson, context) for name, form in zip(names, forms, strict=False)]


def _turns(
    network: StoredNetwork, goals: Sequence[tuple[int, int]], lesson: Lesson, context: StepContext
) -> list[StoredNetwork]:
    """The network after each turn."""
    made = []
    longest = replace(lesson, epochs=lesson.epochs * last_share(len(goals)))
    lessons = [*[lesson] * (len(goals) - 1), longest]
    for turn, (goal, own) in enumerate(zip(goals, lessons, strict=True), start=1):
        # By its number, for the goals of a tiny network may be the same.
        network = _narrowed(f"auto-{turn}", network, goal, own, context)
        made.append(network)
        if lesson.augmentation is not None:
            context = replace(context, teacher=partial(run_batches, OnnxEngine(network.before_curves.to_onnx()).run))
    return made


def _narrowed(
    name: str, network: StoredNetwork, goal: tuple[int, int], lesson: Lesson, context: StepContext
) -> StoredNetwork:
    return narrowed(name, network, widths_within(network.architecture, *goal), lesson, context)


def turns_of(settings: Auto) -> int:
    """How many turns lead to both targets if none of them takes more than a half."""
    return math.ceil(math.log2(max(settings.target_size_ratio, settings.target_latency_ratio or 1)))


def last_share(turns: int) -> int:
    """How many times longer the last network learns: as long as all before it together.

    It is of the smallest target, so its epochs take least, and a small network that is taught goes on to gain for long
    (Beyer et al., 2022).
    """
    return PROBES + turns - 1


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
    """The last model that is expected to keep the budget; where none is, the one of which least is lost.

    Not the one of fewest parameters: the last three are of one target, and it is by the rounding of their widths that
    they differ, while the very last learned longest.
    """
    within = [place for place, loss in enumerate(losses) if loss <= budget]
    return within[-1] if within else min(range(len(losses)), key=lambda place: (losses[place], -place))
