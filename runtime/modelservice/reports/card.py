"""``MODEL_CARD.md``: the model card, in the form that model hubs read.

The sections are those of Mitchell et al. (2019) as Hugging Face's template has them, and the YAML block is what its hub
indexes. What nobody told the training, such as a licence and who a model is meant for, is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from modelservice.contract.base import Tolerant
from modelservice.contract.keys import PLACES_OF_TRAINING
from modelservice.contract.manifest import CompressionSummary, DataSummary, Producer
from modelservice.contract.signature import Signature
from modelservice.contract.sizes import Sizes
from modelservice.reports.card_sections import calling, data_section, evaluation, limits, sizes_section, training
from modelservice.reports.findings import Findings
from modelservice.reports.markdown import plain, sentence
from modelservice.reports.subject import Subject

_PIPELINES: Final = {
    ("Table", "classification"): "tabular-classification",
    ("Table", "regression"): "tabular-regression",
    ("Image", "classification"): "image-classification",
    ("EmbeddedImage", "classification"): "image-classification",
}
"""Names of tasks on the hub; a model of another kind has none there."""

_PLACES: Final[dict[str, Any]] = {
    "data": {"config_map", "persistent_volume_claim", "uri", "secret_ref"},
    "training": PLACES_OF_TRAINING,
}
"""Where something lies is nobody's business who only reads what a model is, and changes no byte of it."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What only a card says beside what was found out.

    ``settings`` are the parts of the spec that differ from the defaults, ``parent`` the key of the model that a
    compressed one was made of, ``sizes`` what else was made of that one, ``pictures`` the names of those there are.
    """

    name: str
    family: str
    parameters: int | None
    producer: Producer
    data: DataSummary | None
    signature: Signature
    settings: dict[str, Any]
    compression: CompressionSummary | None = None
    parent: str | None = None
    sizes: Sizes | None = None
    pictures: tuple[str, ...] = ()


def settings_of(work: Tolerant) -> dict[str, Any]:
    """The parts of a spec that decide the result, without what is left at its default; of a compression all of it."""
    parts = {name: getattr(work, name, None) for name in ("data", "task", "model", "training")}
    written = {
        name: part.model_dump(mode="json", exclude_defaults=True, exclude=_PLACES.get(name))
        for name, part in parts.items()
        if part is not None
    }
    compression = getattr(work, "compression", None)
    if compression is not None:
        written["compression"] = compression.model_dump(mode="json", exclude_none=True)
    return {name: part for name, part in written.items() if part}


def write_card(subject: Subject, findings: Findings, about: About) -> bytes:
    """The card."""
    lines = ["---", _metadata(subject, about), "---", "", *_body(subject, findings, about)]
    return ("\n".join(lines).rstrip() + "\n").encode()


def _metadata(subject: Subject, about: About) -> str:
    """The YAML block, in the order of the hub's own example."""
    pipeline = _PIPELINES.get((subject.dataset.modality, subject.dataset.task.choice))
    metrics = subject.metrics.test.metrics
    results = {
        "task": {"type": pipeline or "other"},
        "dataset": {"name": about.name, "type": about.name, "split": "test", "revision": subject.dataset.sha256},
        "metrics": [{"type": metric.name, "value": round(metric.value, 6)} for metric in metrics],
    }
    block = {
        "library_name": "modelservice",
        **({"pipeline_tag": pipeline} if pipeline else {}),
        "tags": ["modelservice", "onnx", about.family],
        "metrics": [metric.name for metric in metrics],
        "model-index": [{"name": about.name, "results": [results]}],
    }
    return yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=1000).rstrip()


def _body(subject: Subject, findings: Findings, about: About) -> Iterator[str]:
    yield from (f"# Model Card for {plain(about.name)}", "", *_summary(subject, about))
    yield from ("", "## Uses", "", *_uses(subject))
    yield from ("", "## Bias, Risks, and Limitations", "", *limits(subject, findings))
    yield from ("", "## How to Get Started with the Model", "")
    yield from calling(about.signature, name=about.name)
    yield from (
        "",
        "## Training Details",
        "",
        "### Training Data",
        "",
        *data_section(subject, findings, about.data.notes if about.data else ()),
    )
    yield from ("", "### Training Procedure", "")
    yield from training(subject, settings=about.settings, parent=about.parent, pictures=about.pictures)
    if about.sizes is not None:
        yield from ("", "### Compression", "", *sizes_section(about.sizes))
    yield from ("", "## Evaluation", "", *evaluation(subject, findings, pictures=about.pictures))
    yield from ("", "## Technical Specifications", "", *_technical(about))


def _summary(subject: Subject, about: About) -> Iterator[str]:
    dataset, primary = subject.dataset, subject.metrics.test.primary_metric
    what = f"one of {len(dataset.labels)} classes" if dataset.labels else "a number"
    inputs = f"{len(subject.columns)} columns" if subject.columns else "images"
    interval = "" if primary.low is None else f" (95 % interval {primary.low:.3g} to {primary.high:.3g})"
    yield (
        f"Predicts **{plain(dataset.target)}**, {what}, from {inputs}. On {subject.metrics.test.rows} rows that it"
        f" never saw its {primary.name} is {primary.value:.3g}{interval}."
    )
    yield ""
    yield f"- **Model type:** {about.family}"
    yield f"- **Task:** {dataset.task.name}"
    if dataset.labels:
        yield f"- **Classes:** {', '.join(plain(label) for label in dataset.labels[:60])}"
    if about.compression is not None:
        yield f"- **Compression:** {sentence(about.compression.message)}"


def _uses(subject: Subject) -> Iterator[str]:
    yield (
        f"Rows like those that it was trained on, whose {plain(subject.dataset.target)} is not known yet. Rows of other"
        " people, places or times than those of the data are out of scope until they were tested."
    )


def _technical(about: About) -> Iterator[str]:
    made = about.producer
    libraries = ", ".join(f"{name} {version}" for name, version in made.libraries.items())
    size = "" if about.parameters is None else f"{about.parameters} parameters; "
    yield (
        f"`model.onnx`, {size}made by modelservice {made.modelservice}, Python {made.python}"
        f"{f', {libraries}' if libraries else ''}. `manifest.json` lists all files with their sha256."
    )
