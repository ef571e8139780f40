"""Any table that can be learned from has reports, in which every row is counted."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from tests.unit.runtime.reports.subjects import subject_of

from modelservice.contract.failure import DataError
from modelservice.contract.manifest import BASELINE_FILE, CARD_FILE, DATA_REPORT_FILE, Producer
from modelservice.contract.signature import Signature
from modelservice.contract.task import Task
from modelservice.modalities.base import Features
from modelservice.reports.card import About
from modelservice.reports.files import write_reports
from modelservice.reports.findings import examine
from modelservice.reports.subject import Subject
from modelservice.tasks.base import Array

WORDS = ("amber", "blue|green", "<b>", "`x`", "naïve", "日本", "=1+1")
KINDS: dict[str, Callable[[int], str]] = {
    "number": lambda draw: f"{draw / 7:.4f}",
    "whole": str,
    "few": lambda draw: str(draw % 3),
    "huge": lambda draw: f"{draw}e20",
    "text": lambda draw: WORDS[draw % len(WORDS)],
    "flag": lambda draw: "yes" if draw % 2 else "no",
    "date": lambda draw: f"20{10 + draw % 15}-{1 + draw % 12:02d}-{1 + draw % 28:02d}",
    "free": lambda draw: f"the {WORDS[draw % 2]} one is word {draw}",
}


def table(kinds: list[str], *, rows: int, gaps: int, seed: int, classes: int) -> tuple[str, list[str]]:
    """The header and the lines of a table; every ``gaps``th draw or so is a gap, and 0 leaves none."""
    random = np.random.default_rng(seed)
    lines = []
    for row in range(rows):
        draws = (random.integers(0, 1000, size=len(kinds)) * rows + row).tolist()
        cells = [
            "" if gaps and random.integers(gaps) == 0 else KINDS[kind](draw)
            for kind, draw in zip(kinds, draws, strict=True)
        ]
        answer = f"class {random.integers(classes)}" if classes else f"{random.normal():.5f}"
        lines.append(",".join([*cells, answer]))
    return ",".join([*(f"{kind} {at}" for at, kind in enumerate(kinds)), "y"]), lines


def guess(width: int) -> Callable[[Features], Array]:
    def predict(features: Features) -> Array:
        raw = np.abs(np.cos(features[:, :1] + np.arange(width))) + 0.1
        return np.asarray(raw / raw.sum(axis=1, keepdims=True) if width > 1 else raw, dtype=np.float32)

    return predict


@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5),
    rows=st.integers(12, 80),
    gaps=st.sampled_from([0, 2, 5]),
    seed=st.integers(0, 1000),
    classes=st.sampled_from([0, 2, 4]),
)
@settings(max_examples=60)
def test_any_table_has_reports(kinds: list[str], rows: int, gaps: int, seed: int, classes: int) -> None:
    header, lines = table(kinds, rows=rows, gaps=gaps, seed=seed, classes=classes)
    task = None if classes else Task.model_validate({"regression": {}})
    width = len({line.rpartition(",")[2] for line in lines}) if classes else 1
    try:
        subject = subject_of(lines, header=header, predict=guess(width), task=task)
    except DataError:
        raise UnsatisfiedAssumption from None  # a table of which nothing can be learned has no model
    check(subject, write(subject))


def write(subject: Subject) -> dict[str, bytes]:
    dataset = subject.dataset
    signature = Signature(
        modality=dataset.modality,
        task=dataset.task.name,
        target=dataset.target,
        inputs=dataset.inputs,
        outputs=dataset.task.outputs(dataset.labels),
    )
    about = About(
        name="any",
        family="guess",
        parameters=None,
        producer=Producer(modelservice="0", python="3"),
        data=None,
        signature=signature,
        settings={},
    )
    return write_reports(subject, examine(subject), about)


def check(subject: Subject, files: dict[str, bytes]) -> None:
    findings: Any = examine(subject)
    report, baseline = findings.data, findings.baseline
    rows = len(subject.values)
    assert report.rows.train + report.rows.validation + report.rows.test == rows
    assert len(report.columns) == len(subject.dataset.inputs) == len(baseline.features)
    for column, histogram in zip(report.columns, baseline.features, strict=True):
        assert column.missing + column.distinct <= rows
        counted = sum(histogram.counts) + histogram.missing + getattr(histogram, "other", 0)
        assert counted == baseline.feature_rows == report.rows.train
    assert {CARD_FILE, DATA_REPORT_FILE, BASELINE_FILE} <= files.keys()
    assert yaml.safe_load(files[CARD_FILE].decode().split("---\n")[1])["tags"] == ["modelservice", "onnx", "guess"]
    for name, content in files.items():
        if name.endswith(".svg"):
            assert Xml.fromstring(content).get("role") == "img"  # noqa: S314 - our own
