"""The engine Torch: serves the stored network of a gradient family, on a GPU where there is one."""

import os

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import nn

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact
from modelservice.contract.failure import OUT_OF_MEMORY, StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, WEIGHTS_FILE
from modelservice.contract.places import granted_gpus
from modelservice.families.architecture import Architecture
from modelservice.families.gradient import Network, best_device
from modelservice.families.modules import build, laid_out
from modelservice.modalities.base import Features
from modelservice.tasks.base import Array


class TorchEngine:
    """A network that torch computes; an ``inference.engine.Engine``."""

    name = "Torch"

    def __init__(self, network: Network, *, shape: tuple[int, ...], width: int) -> None:
        """Args: the network, the shape of one encoded row, and how many numbers a row comes to."""
        self.shape = shape
        self.width = width
        self._network = network

    def run(self, features: Features) -> Array:
        """Encoded rows float32 [rows, *shape] to raw outputs float32 [rows, width]."""
        return self._network(features)

    def gradients(self, features: Features, output: int) -> Array:
        """See ``inference.engine.Differentiable``."""
        return self._network.gradients(features, output)

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on."""
        torch.set_num_threads(threads)


def load_torch_engine(artifact: Artifact) -> TorchEngine:
    """Build the network of a verified artifact.

    Raises:
        ArtifactError: it holds none, or its parts do not belong together.
        StageError: a GPU is granted, and torch sees none; or the GPU has no room for the model.
    """
    if ARCHITECTURE_FILE not in artifact.contents:
        raise ArtifactError(
            f"the artifact has no {ARCHITECTURE_FILE}, from which torch serves: leave spec.serving.engine out, or set"
            " it to ONNX"
        )
    architecture = artifact.document(ARCHITECTURE_FILE, Architecture)
    labels = len(artifact.signature.labels) or 1
    if architecture.width != labels:
        raise ArtifactError(f"the signature asks for {labels} outputs, the model gives {architecture.width}")
    device = best_device(granted=granted_gpus(os.environ), section="spec.serving")
    module = _load_module(artifact.content(WEIGHTS_FILE), architecture)
    try:
        network = Network(architecture, module, device=device)
    except torch.OutOfMemoryError:
        field = "spec.serving.nodeSelector"
        message = f"the model does not fit into what is free of the GPU's memory: choose a larger one by {field}"
        raise StageError(OUT_OF_MEMORY, message, field=field) from None
    return TorchEngine(network, shape=architecture.shape, width=architecture.width)


def _load_module(content: bytes, architecture: Architecture) -> nn.Sequential:
    """The module with the stored weights; nothing is allocated before names and shapes are known to agree."""
    try:
        weights = load_safetensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"{WEIGHTS_FILE} is not valid: {error}") from None
    module = build(architecture, device="meta")
    expected = {name: (tuple(tensor.shape), torch.float32) for name, tensor in module.state_dict().items()}
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in weights.items()}
    if expected != found:
        raise ArtifactError(f"{WEIGHTS_FILE} does not hold the weights that {ARCHITECTURE_FILE} describes")
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise ArtifactError(f"{WEIGHTS_FILE} holds values that are not finite")
    module.load_state_dict(weights, assign=True)
    return laid_out(module).requires_grad_(requires_grad=False)
