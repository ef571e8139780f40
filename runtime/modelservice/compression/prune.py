"""What matters least is left out: single weights, or whole neurons and channels."""

from collections.abc import Sequence
from typing import Final

from modelservice.compression.base import Compressible, StepContext, single_network
from modelservice.compression.lesson import Lesson
from modelservice.compression.network import StoredNetwork
from modelservice.compression.tuned import tuned
from modelservice.compression.units import joints, kept_units, widths_without, without_units
from modelservice.contract.compression import Prune
from modelservice.contract.failure import StageError


class PruneStep:
    """The step ``prune``; see ``units`` and ``zeros`` for what is chosen."""

    name = "prune"

    def apply(self, settings: Prune, model: Compressible, context: StepContext) -> Compressible:
        """Leave out the given share, and let the rest learn on; see ``Step``."""
        network, lesson = single_network(model, self.name), Lesson(epochs=settings.fine_tune_epochs)
        if settings.structured is not None:
            check_joints(
                network, self.name, remedy="leave it out, or take unstructured, which sets single weights to 0"
            )
            widths = widths_without(network.architecture, settings.structured.ratio)
            return Compressible.of(narrowed("prune", network, widths, lesson, context))
        from modelservice.compression.zeros import with_zeros  # noqa: PLC0415 - torch takes seconds to import

        sparse = with_zeros(network, settings.chosen.ratio)
        return Compressible.of(tuned("prune", sparse, lesson, context))


PRUNE: Final = PruneStep()


def check_joints(network: StoredNetwork, step: str, *, remedy: str) -> None:
    """Refuse a network without a layer between input and output.

    Raises:
        StageError: it has none.
    """
    if not joints(network.architecture):
        message = f"{step} finds no neurons between input and output: {remedy}"
        raise StageError("StepUnsuited", message, field="spec.compression.steps")


def narrowed(
    name: str, network: StoredNetwork, widths: Sequence[int], lesson: Lesson, context: StepContext
) -> StoredNetwork:
    """The network with so many of the units of each joint, tuned by a lesson, kept under a name."""
    return tuned(name, without_units(network, kept_units(network, widths)), lesson, context)
