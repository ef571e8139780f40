"""What computes a model: from encoded rows to its raw outputs."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from modelservice.artifact.load import Artifact
from modelservice.modalities.base import Features
from modelservice.tasks.base import Array


class Engine(Protocol):
    """A loaded model; ``run`` may be called from one thread at a time."""

    name: str
    """ONNX or Torch."""

    def run(self, features: Features) -> Array:
        """Encoded rows float32 [rows, *shape] to raw outputs float32 [rows, width]."""

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on."""


@runtime_checkable
class Differentiable(Protocol):
    """An engine that also says how an output changes with what it is computed from."""

    def gradients(self, features: Features, output: int) -> Array:
        """Of each row one raw output, and its derivative by each value: float32 [rows, 1 + values of a row]."""


@runtime_checkable
class FileEngine(Protocol):
    """An engine that computes a file whose nodes can be read."""

    @property
    def content(self) -> bytes:
        """The bytes of ``model.onnx``, as ``onnx_file.check_onnx`` passed them."""


EngineLoader = Callable[[Artifact], Engine]
"""Builds the engine of a verified artifact; raises ArtifactError where its files do not belong together."""
