"""What a step of ``spec.compression.steps`` works on, and what it answers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from modelservice.compression.kept import NOTHING_KEPT, KeptNetworks
from modelservice.compression.network import StoredNetwork
from modelservice.contract.failure import StageError
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.progress import Progress
from modelservice.contract.sizes import Tried
from modelservice.families.architecture import MemberMean, TokenAttention, TokenRecurrence
from modelservice.modalities.base import Dataset, Features
from modelservice.tasks.base import Array
from modelservice.training.checkpointing import Clock


@dataclass(frozen=True, kw_only=True, eq=False)
class Compressible:
    """A model between two steps.

    Attributes:
        onnx: content of ``model.onnx``.
        network: its layers and weights where torch trained it, else None; of quantised models those that they are
            made of.
        tried: what a step looked at on its way here, where it looked at several.
    """

    onnx: bytes
    network: StoredNetwork | None = None
    tried: tuple[Tried, ...] = ()

    @classmethod
    def of(cls, network: StoredNetwork) -> "Compressible":
        """The network, with the file that serves it."""
        return cls(onnx=network.to_onnx(), network=network)


@dataclass(frozen=True, kw_only=True, eq=False)
class StepContext:
    """What steps learn from.

    Attributes:
        dataset: rows as they are, whose validation rows choose among models; no step looks at test rows.
        learned: the same rows as the training weighed them, and its loss: its training rows teach networks, its
            validation rows choose the epoch.
        teacher: the model as it was before the first step: features to raw outputs float32 [rows, width], of a network
            with curves behind it those in front of them, as networks have learned them.
        seed: of order and initial weights.
        observe: is told of each epoch.
        budget: how much may be lost.
        metric: of what; None for the primary metric.
        kept: networks that a process before tuned, and where those are put that are tuned now.
        clock: a monotonic clock, for latencies.
    """

    dataset: Dataset
    learned: Dataset
    teacher: Callable[[Features], Array]
    seed: int
    observe: Callable[[Progress], None]
    budget: float = 0.0
    metric: KnownMetric | None = None
    kept: KeptNetworks = NOTHING_KEPT
    clock: Clock = time.perf_counter


class Step(Protocol):
    """One way to make a model smaller. Members are stateless values in ``compression.STEPS``."""

    name: str
    """As ``spec.compression.steps`` spells its member, such as quantize."""

    def apply(self, settings: Any, model: Compressible, context: StepContext) -> Compressible:
        """Make a model smaller.

        The same model, settings and rows give the same bytes.

        Args:
            settings: what the step of the spec says.
            model: what the steps before left.
            context: rows to learn from.

        Returns:
            The smaller model, of the same input and output.

        Raises:
            StageError: there is nothing in this model that the step could make smaller.
        """


def single_network(model: Compressible, step: str) -> StoredNetwork:
    """The network that a step works on.

    Args:
        model: what the steps before left.
        step: name of the step, for messages.

    Raises:
        StageError: the model is none, an ensemble of several, or reads tokens.
    """
    field = "spec.compression.steps"
    if model.network is None:
        message = f"{step} works on the layers of one network: choose spec.model mlp or cnn, or leave the step out"
        raise StageError("StepUnsuited", message, field=field)
    layers = model.network.architecture.layers
    if any(isinstance(layer, TokenRecurrence | TokenAttention) for layer in layers):
        message = f"{step} works on linear layers and convolutions, and this network reads tokens: leave the step out"
        if not any(isinstance(layer, TokenRecurrence) for layer in layers):  # of whose cells no integers are made
            message += ", or take quantize"
        raise StageError("StepUnsuited", message, field=field)
    if isinstance(model.network.before_curves.architecture.head, MemberMean):
        message = (
            f"{step} works on one network, and mlp made an ensemble: set spec.model.mlp.ensemble to 1, or put distill"
            " before it, which makes one network of many"
        )
        raise StageError("StepUnsuited", message, field=field)
    return model.network
