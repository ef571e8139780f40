"""One fold: a large model, the small one that is made of it, and the controls.

What was fitted on the way is kept in folders beside the fold until it is done, so a bench that is stopped goes on after
the last network. Delete them where the code that fits has changed.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests.bench.compression.rows import HOME, STORED
from tests.bench.compression.subjects import FOLD_BUDGET, RATIO, STUDENT_EPOCHS, Subject, subject_named

from modelservice.artifact.stores import open_checkpoints
from modelservice.compression import Compressible, KeptNetworks, StepContext, apply_step
from modelservice.compression.auto import stored_as
from modelservice.compression.controls import epochs_of
from modelservice.compression.lesson import Lesson, lesson_of_auto
from modelservice.compression.network import StoredNetwork
from modelservice.compression.quantize import QUANTIZE
from modelservice.compression.tuning import teach
from modelservice.contract.compression import Step
from modelservice.contract.manifest import MODEL_FILE
from modelservice.families.architecture import Architecture
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset, Features
from modelservice.tasks.base import Array

BEFORE, AUTO, SCRATCH, DISTILLED = "uncompressed", "auto", "from scratch", "distilled"
_QUANTIZE = Step.model_validate({"quantize": {}})


@dataclass(frozen=True, kw_only=True)
class FoldName:
    """Which fold of which subject."""

    subject: str
    seed: int
    fold: int

    def place(self, folder: Path) -> Path:
        """Of its document; its arrays lie beside it."""
        return folder / self.subject / f"{self.seed}-{self.fold}.json"


def keys_of(subject: Subject) -> tuple[str, ...]:
    """Its models: the large one first, then the one that the bench is about, then the controls."""
    return (BEFORE, AUTO, SCRATCH, DISTILLED) if subject.student is None else (BEFORE, DISTILLED, SCRATCH)


def fit_fold(subject: Subject, name: FoldName, folder: Path, stored: Path) -> None:
    """Fit and store; the document is written last, so that a fold without one is fitted again.

    Args:
        subject: what is fitted.
        name: of the fold.
        folder: of models, and of networks on the way.
        stored: of predictions and documents.
    """
    dataset, rows = subject.rows(name.seed, name.fold)
    width = len(dataset.labels)

    def nobody(features: Features) -> Array:
        """A teacher whose part in the loss is 0."""
        return np.full((len(features), width), 1 / width, np.float32)

    place = name.place(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    told = name.place(stored)
    told.parent.mkdir(parents=True, exist_ok=True)
    checkpoints = open_checkpoints(place.with_suffix(".kept"))
    kept = KeptNetworks(store=checkpoints, key="fold", data=place.stem, say=lambda _: None)
    alone = StepContext(
        dataset=dataset, learned=dataset, teacher=nobody, seed=name.seed, observe=lambda _: None, kept=kept
    )
    large = _large(subject, name, dataset, place.with_suffix(".large"))
    taught = StepContext(
        dataset=dataset,
        learned=dataset,
        teacher=OnnxEngine(large.onnx).run,
        seed=name.seed,
        observe=lambda _: None,
        budget=FOLD_BUDGET,
        kept=kept,
    )
    made = (_automatically if subject.student is None else _by_distilling)(subject, large, taught, alone)
    models = {BEFORE: large, **made}
    answers = {f"model {key}": _classes(one.onnx, dataset.test.features) for key, one in models.items()}
    truth = dataset.test.values.astype(np.uint8)
    np.savez_compressed(told.with_suffix(".npz"), rows=rows.astype(np.uint16), truth=truth, **_named(answers))
    for key in keys_of(subject)[:2]:
        place.with_suffix(f".{key}.onnx").write_bytes(models[key].onnx)
    small = models[DISTILLED].network
    assert small is not None
    said = {
        "sizes": {key: _size(one) for key, one in models.items()},
        "small": small.architecture.model_dump(mode="json"),
        "tried": [one.model_dump(mode="json") for model in models.values() for one in model.tried],
    }
    waiting = told.with_suffix(".waiting")
    waiting.write_text(json.dumps(said), encoding="utf-8")
    waiting.replace(told)
    checkpoints.discard()
    shutil.rmtree(place.with_suffix(".large"))


def timed_fit(name: FoldName) -> str:
    """Fit a fold with one thread, and say how long it took."""
    torch.set_num_threads(1)
    wall, cpu = time.monotonic(), time.process_time()
    fit_fold(subject_named(name.subject), name, HOME, STORED)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    return f"{name.subject} seed {name.seed} fold {name.fold}: {wall:.0f} s, {cpu:.0f} s of CPU time"


def _automatically(
    subject: Subject, large: Compressible, taught: StepContext, alone: StepContext
) -> dict[str, Compressible]:
    """What ``auto`` makes, and the same small layers from scratch and by distillation alone, of as many passes."""
    asked = {"targetSizeRatio": RATIO, "fineTuneEpochs": subject.turn_epochs}
    step = Step.model_validate({"auto": asked})
    auto = apply_step(large, step, taught)
    assert auto.network is not None
    small = auto.network.architecture
    # As many passes as the large network and all turns had together, as in the controls of a ModelService.
    epochs = subject.training.epochs + epochs_of(step)
    lesson = lesson_of_auto(taught.dataset, epochs)
    return {
        AUTO: auto,
        SCRATCH: _quantised(_taught("scratch", small, replace(lesson, weight=0), alone), alone),
        DISTILLED: _quantised(_taught("distilled", small, lesson, taught), taught),
    }


def _large(subject: Subject, name: FoldName, dataset: Dataset, folder: Path) -> Compressible:
    """The large model, as it was fitted before or is now."""
    if not folder.exists():
        training = subject.training.model_copy(update={"seed": name.seed})
        fitted = subject.family.fit(subject.settings, dataset, training, observe=lambda _: None)
        waiting = folder.with_suffix(".waiting")
        shutil.rmtree(waiting, ignore_errors=True)
        waiting.mkdir()
        for file, content in {**fitted.files, MODEL_FILE: fitted.onnx}.items():
            (waiting / file).write_bytes(content)
        waiting.replace(folder)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return Compressible(onnx=files[MODEL_FILE], network=StoredNetwork.of_files(files))


def _taught(name: str, architecture: Architecture, lesson: Lesson, context: StepContext) -> StoredNetwork:
    return context.kept.once(name, architecture, partial(teach, architecture, lesson, context))


def _by_distilling(
    subject: Subject, large: Compressible, taught: StepContext, alone: StepContext
) -> dict[str, Compressible]:
    """A network of one member's size that learns from the ensemble, and the same from labels alone."""
    layers = {"hiddenLayers": subject.student}
    distill = Step.model_validate({"distill": {"student": {"layers": layers}, "epochs": STUDENT_EPOCHS}})
    student = apply_step(large, distill, taught)
    assert student.network is not None
    alike = _taught("scratch", student.network.architecture, Lesson(epochs=STUDENT_EPOCHS, weight=0), alone)
    return {DISTILLED: apply_step(student, _QUANTIZE, taught), SCRATCH: _quantised(alike, alone)}


def _classes(onnx: bytes, features: Features) -> NDArray[np.uint8]:
    """What a model says of each row."""
    return np.asarray(OnnxEngine(onnx).run(features).argmax(axis=1), np.uint8)


def _named(answers: Mapping[str, NDArray[np.uint8]]) -> dict[str, Any]:
    return dict(answers)


def _size(model: Compressible) -> dict[str, int]:
    assert model.network is not None
    architecture: Architecture = model.network.architecture
    return {
        "parameters": architecture.parameters,
        "multiplyAdds": architecture.multiply_adds,
        "bytes": len(model.onnx),
    }


def _quantised(network: StoredNetwork, context: StepContext) -> Compressible:
    return QUANTIZE.apply(stored_as(network.architecture), Compressible.of(network), context)
