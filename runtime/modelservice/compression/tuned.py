"""Learning on after a step."""

from modelservice.compression.base import StepContext
from modelservice.compression.network import StoredNetwork


def tuned(name: str, network: StoredNetwork, epochs: int, context: StepContext) -> StoredNetwork:
    """The network after so many epochs, in which weights that are 0 stay so; as it is without any.

    Args:
        name: of what was done, by which it is kept.
        network: where it starts.
        epochs: passes over the training rows.
        context: rows and teacher.
    """
    if not epochs:
        return network
    from modelservice.compression.tuning import Lesson, tune  # noqa: PLC0415 - torch takes seconds to import
    from modelservice.compression.zeros import hold_zeros  # noqa: PLC0415

    lesson = Lesson(epochs=epochs)
    return context.kept.once(name, network.architecture, lambda: tune(network, lesson, context, hold=hold_zeros))
