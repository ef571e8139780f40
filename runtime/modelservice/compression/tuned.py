"""Learning on after a step."""

from modelservice.compression.base import StepContext
from modelservice.compression.lesson import Lesson
from modelservice.compression.network import StoredNetwork


def tuned(name: str, network: StoredNetwork, lesson: Lesson, context: StepContext) -> StoredNetwork:
    """The network after a lesson, in which weights that are 0 stay so; as it is after one of no epochs.

    Args:
        name: of what was done, by which it is kept.
        network: where it starts.
        lesson: how it learns on.
        context: rows and teacher.
    """
    if not lesson.epochs:
        return network
    from modelservice.compression.tuning import tune  # noqa: PLC0415 - torch takes seconds to import
    from modelservice.compression.zeros import hold_zeros  # noqa: PLC0415

    return context.kept.once(name, network.architecture, lambda: tune(network, lesson, context, hold=hold_zeros))
