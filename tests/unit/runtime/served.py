"""Models that are served in a thread of this process, on loopback: for clients that wait, as heads do."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.runtime.families.berts import write_bert
from tests.unit.runtime.families.image_networks import write_network
from tests.unit.runtime.serving.fakes import core_of
from tests.unit.runtime.serving.talking import listening

from modelservice.contract.encoders import PretrainedModel
from modelservice.families.pretrained import read_pretrained
from modelservice.inference.predictor import Predictor
from modelservice.modalities.base import Features
from modelservice.packing.pack import pack_pretrained
from modelservice.serving.model import ServedModel
from modelservice.serving.transports.http.connection import InferenceConnection
from modelservice.tasks.base import Array

NAME, SEES = "minilm", "vision"
DEADLINE = 60


def bert(folder: Path, *, length: int = 8, **changes: Any) -> Predictor:
    """A pretrained encoder of a few weights, as its ModelService serves it; what changes is of its configuration."""
    return _pretrained(PretrainedModel(uri=write_bert(folder, **changes), max_length=length), NAME)


def vision(folder: Path, **changes: Any) -> Predictor:
    """The same of images; for what changes see ``write_network``."""
    return _pretrained(PretrainedModel(uri=write_network(folder, **changes)), SEES)


def _pretrained(settings: PretrainedModel, name: str) -> Predictor:
    read_pretrained.cache_clear()
    return Predictor.from_artifact(
        pack_pretrained(settings, name=name, key="abc", section="spec.model.pretrained").artifact
    )


@dataclass
class Counting:
    """An engine that counts the rows of each batch."""

    engine: Any
    batches: list[int] = field(default_factory=list)
    name: str = "ONNX"

    def run(self, features: Features) -> Array:
        self.batches.append(len(features))
        result: Array = self.engine.run(features)
        return result

    def use_threads(self, threads: int) -> None:
        self.engine.use_threads(threads)


@contextmanager
def served(model: ServedModel, *, name: str = NAME, port: int = 0, **more: Any) -> Iterator[str]:
    """The address of a server of the model, until the block ends."""
    started, found, stop = threading.Event(), [], threading.Event()

    async def serve() -> None:
        async with listening(InferenceConnection, core=core_of(model, name=name, **more), port=port) as (taken, _):
            found.append(f"http://127.0.0.1:{taken}")
            started.set()
            while not stop.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.005)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(DEADLINE)
    try:
        yield found[0]
    finally:
        stop.set()
        thread.join(DEADLINE)
