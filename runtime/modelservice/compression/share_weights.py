"""The weights of each layer share few values."""

from functools import partial
from typing import Final

from modelservice.compression.base import Compressible, StepContext, single_network
from modelservice.compression.codebooks import saves, shared, store_codebooks
from modelservice.compression.lesson import Lesson
from modelservice.compression.network import StoredNetwork
from modelservice.contract.compression import ShareWeights
from modelservice.contract.failure import StageError

_WEIGHT: Final = "weight"


class ShareWeightsStep:
    """The step ``shareWeights``."""

    name = "shareWeights"

    def apply(self, settings: ShareWeights, model: Compressible, context: StepContext) -> Compressible:
        """Choose the values of each layer, let them learn on, and store numbers in place of weights; see ``Step``."""
        network = single_network(model, self.name)
        chosen = [
            name
            for name, array in network.weights.items()
            if name.endswith(_WEIGHT) and saves(array.size, settings.values)
        ]
        if not chosen:
            message = (
                f"shareWeights with {settings.values} values makes no layer smaller: lower them, or leave the step out"
            )
            raise StageError("StepUnsuited", message, field="spec.compression.steps")
        few = {name: shared(network.weights[name], settings.values) for name in chosen}
        sharing = StoredNetwork(architecture=network.architecture, weights={**network.weights, **few})
        learned = _tuned(sharing, chosen, settings.fine_tune_epochs, context)
        return Compressible(onnx=_stored(learned, chosen), network=learned)


SHARE_WEIGHTS: Final = ShareWeightsStep()


def _tuned(network: StoredNetwork, chosen: list[str], epochs: int, context: StepContext) -> StoredNetwork:
    if not epochs:
        return network
    from modelservice.compression.sharing import hold_codebooks  # noqa: PLC0415 - torch takes seconds to import
    from modelservice.compression.tuning import tune  # noqa: PLC0415

    places = [name.removesuffix(f".{_WEIGHT}") for name in chosen]
    learn = partial(tune, network, Lesson(epochs=epochs), context, hold=hold_codebooks(places))
    return context.kept.once("share-weights", network.architecture, learn)


def _stored(network: StoredNetwork, chosen: list[str]) -> bytes:
    import onnx  # noqa: PLC0415

    graph = onnx.load_from_string(network.to_onnx())
    store_codebooks(graph, {name: network.weights[name] for name in chosen})
    onnx.checker.check_model(graph)
    content: bytes = graph.SerializeToString(deterministic=True)
    return content
