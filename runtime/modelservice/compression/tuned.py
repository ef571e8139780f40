"""Learning on after a step."""

from modelservice.compression.base import StepContext
from modelservice.compression.network import StoredNetwork


def tuned(network: StoredNetwork, epochs: int, context: StepContext) -> StoredNetwork:
    """The network after so many epochs, in which weights that are 0 stay so; as it is without any."""
    if not epochs:
        return network
    from modelservice.compression.tuning import Lesson, tune  # noqa: PLC0415 - torch takes seconds to import
    from modelservice.compression.zeros import hold_zeros  # noqa: PLC0415

    return tune(network, Lesson(epochs=epochs), context, hold=hold_zeros)
