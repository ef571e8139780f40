"""Weights clamped to a range."""

from typing import Final

import numpy as np

from modelservice.compression.base import Compressible, StepContext, single_network
from modelservice.compression.lesson import Lesson
from modelservice.compression.network import StoredNetwork
from modelservice.compression.tuned import tuned
from modelservice.contract.compression import Clip


class ClipStep:
    """The step ``clip``."""

    name = "clip"

    def apply(self, settings: Clip, model: Compressible, context: StepContext) -> Compressible:
        """Clamp, let it learn on where that is asked for, and clamp again; see ``Step``."""
        network = _clamped(single_network(model, self.name), settings.limit)
        return Compressible.of(
            _clamped(tuned("clip", network, Lesson(epochs=settings.fine_tune_epochs), context), settings.limit)
        )


CLIP: Final = ClipStep()


def _clamped(network: StoredNetwork, limit: float) -> StoredNetwork:
    weights = {
        name: np.clip(array, -limit, limit) if name.endswith("weight") else array
        for name, array in network.weights.items()
    }
    return StoredNetwork(architecture=network.architecture, weights=weights)
