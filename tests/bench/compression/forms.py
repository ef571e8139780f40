"""The forms in which weights are stored: bytes, accuracy and latency of the same two networks, a part of ``--latency``.

Nothing learns: the networks are those of the first stored folds of digits, and their test rows tell the accuracy.
"""

import json
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import numpy_helper
from tests.bench.compression.fitting import BEFORE, FoldName
from tests.bench.compression.latency import BATCHES, fitted_here, seconds_of
from tests.bench.compression.subjects import Subject, subject_named

from modelservice.compression import Compressible, StepContext, StoredNetwork, apply_step
from modelservice.contract.compression import Step
from modelservice.families.cnn import design_cnn
from modelservice.families.heads import build_head
from modelservice.families.perceptron import design_mlp
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset

_DESIGNS: Final[dict[str, Any]] = {"digits-mlp": design_mlp, "digits-cnn": design_cnn}
_STEPS: Final[dict[str, dict[str, Any]]] = {
    "`Int8`, `None`": {"quantize": {"weights": "Int8", "activations": "None"}},
    "`Int8`, `Dynamic`": {"quantize": {"weights": "Int8", "activations": "Dynamic"}},
    "`Int8`, `Static`": {"quantize": {"weights": "Int8", "activations": "Static"}},
    "`Int4`, `None`": {"quantize": {"weights": "Int4", "activations": "None"}},
    "`Int4`, `Dynamic`": {"quantize": {"weights": "Int4", "activations": "Dynamic"}},
    "`shareWeights`, 16 values": {"shareWeights": {"values": 16, "fineTuneEpochs": 0}},
    "`shareWeights`, 256 values": {"shareWeights": {"values": 256, "fineTuneEpochs": 0}},
}

Forms = dict[str, dict[str, dict[str, float]]]
"""Bytes, accuracy and seconds of a call by batch, by subject and form."""


def measure_forms(folder: Path, stored: Path) -> None:
    """Measure all forms of the first fold of each subject that this machine fitted, and store what was found."""
    found: Forms = {}
    for name in _DESIGNS:
        folds = fitted_here(name, folder)
        if folds:
            found[name] = _of_subject(subject_named(name), folds[0], folder)
    (stored / "forms.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def forms_table(folder: Path) -> str:
    """What was stored as Markdown; nothing where nobody measured."""
    place = folder / "forms.json"
    if not place.exists():
        return ""
    found: Forms = json.loads(place.read_text(encoding="utf-8"))
    lines = [
        "The forms in which weights are stored, without learning on: the uncompressed networks of one fold of digits,"
        " one thread.",
        "",
        "| network | form | bytes | accuracy | 1 row, us | 64 rows, us |",
        "|:--|:--|--:|--:|--:|--:|",
    ]
    for subject, forms in found.items():
        for form, said in forms.items():
            taken = " | ".join(f"{1e6 * said[str(batch)]:,.0f}" for batch in BATCHES)
            lines.append(f"| {subject} | {form} | {said['bytes']:,.0f} | {100 * said['accuracy']:.2f} | {taken} |")
    return "\n".join(lines)


def _of_subject(subject: Subject, fold: FoldName, folder: Path) -> dict[str, dict[str, float]]:
    seed = fold.seed
    dataset, _ = subject.rows(seed, fold.fold)
    content = fold.place(folder).with_suffix(f".{BEFORE}.onnx").read_bytes()
    model = Compressible(onnx=content, network=_network(subject, dataset, content))
    context = StepContext(
        dataset=dataset, learned=dataset, teacher=OnnxEngine(content).run, seed=seed, observe=lambda _: None
    )
    contents = {"floats": content} | {
        form: apply_step(model, Step.model_validate(step), context).onnx for form, step in _STEPS.items()
    }
    engines = {form: OnnxEngine(made) for form, made in contents.items()}
    taken = {str(batch): seconds_of(engines, dataset.shape, batch) for batch in BATCHES}
    return {
        form: {
            "bytes": len(made),
            "accuracy": float((engines[form].run(dataset.test.features).argmax(axis=1) == dataset.test.values).mean()),
            **{batch: seconds[form] for batch, seconds in taken.items()},
        }
        for form, made in contents.items()
    }


def _network(subject: Subject, dataset: Dataset, content: bytes) -> StoredNetwork:
    """The network of a stored model, whose graph names weights as the architecture does."""
    logits = dataset.task.logits(dataset.labels)
    architecture = _DESIGNS[subject.name](subject.settings, dataset.shape, logits, build_head(dataset))
    arrays = {one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(content).graph.initializer}
    weights = {name: array for name, array in arrays.items() if name.endswith((".weight", ".bias"))}
    return StoredNetwork(architecture=architecture, weights=weights)
