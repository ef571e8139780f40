"""Small networks and rows, as the tests of steps need them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from tests.unit.runtime.stages.pipelines import IRIS, train_work

from modelservice.artifact.stores.base import checkpoint_name
from modelservice.compression import Compressible, StepContext, StoredNetwork, apply_step
from modelservice.contract.compression import Step
from modelservice.contract.data import Format
from modelservice.families.architecture import Architecture
from modelservice.modalities.base import Dataset, Features
from modelservice.modalities.dataset import divide_rows, encode
from modelservice.modalities.sources import read_source
from modelservice.tasks.base import Array


class HeldCheckpoints:
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def read(self, name: str, *, limit: int) -> bytes | None:
        content = self.held.get(name)
        assert content is None or len(content) <= limit
        return content

    def write(self, name: str, *content: bytes | memoryview) -> None:
        self.held[checkpoint_name(name)] = b"".join(content)

    def discard(self) -> None:
        self.held.clear()


def iris(target: str = "species") -> Dataset:
    """150 flowers, or one of their sizes to predict."""
    work = train_work(target=target)
    divided = divide_rows(read_source(IRIS.read_bytes(), format=Format.CSV), work.data, work.task)
    return encode(divided, divided.split)


def apply_steps(model: Compressible, steps: Iterable[Step], context: StepContext) -> Compressible:
    """Without measuring what comes out, which takes a model of the context's rows."""
    for step in steps:
        model = apply_step(model, step, context)
    return model


def context_of(dataset: Dataset, teacher: Any) -> StepContext:
    """Rows that count alike, of a task that says nothing of its loss."""
    return StepContext(
        dataset=dataset, learned=dataset, teacher=teacher, seed=0, observe=lambda _: None, clock=lambda: 0.0
    )


def random_network(architecture: Architecture, seed: int = 0) -> StoredNetwork:
    """Any weights that fit."""
    from modelservice.families.modules import build  # noqa: PLC0415

    random = np.random.default_rng(seed)
    shapes = {name: tuple(tensor.shape) for name, tensor in build(architecture, device="meta").state_dict().items()}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return StoredNetwork(architecture=architecture, weights=weights)


def _asked(features: Features) -> Array:
    raise AssertionError(f"a step that learns nothing asked for {len(features)} rows")


NOTHING = context_of(iris(), _asked)
"""For steps that learn nothing: nobody may ask the teacher."""
