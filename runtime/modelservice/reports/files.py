"""The files of all reports, as they stand in an artifact."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from modelservice.artifact.files import document_bytes
from modelservice.contract.manifest import (
    BASELINE_FILE,
    CALIBRATION_PICTURE,
    CARD_FILE,
    CONFUSION_PICTURE,
    CURVES_PICTURE,
    DATA_REPORT_FILE,
    IMPORTANCE_FILE,
    IMPORTANCE_PICTURE,
    SEARCH_FILE,
    SEARCH_PICTURE,
    SIZES_FILE,
    SIZES_PICTURE,
    VALUES_PICTURE,
)
from modelservice.reports.card import About, write_card
from modelservice.reports.findings import Findings
from modelservice.reports.plots import (
    calibration_picture,
    confusion_picture,
    importance_picture,
    learning_curves,
    values_picture,
)
from modelservice.reports.search import search_picture
from modelservice.reports.sizes import sizes_picture
from modelservice.reports.subject import Subject

Draw = Callable[[Subject, Findings], bytes | None]


def _curves(subject: Subject, _: Findings) -> bytes | None:
    return learning_curves(subject.metrics)


def _confusion(subject: Subject, _: Findings) -> bytes | None:
    matrix = subject.metrics.confusion_matrix
    return None if matrix is None else confusion_picture(matrix)


def _values(subject: Subject, _: Findings) -> bytes | None:
    if subject.dataset.labels:
        return None
    true = subject.dataset.test.values.astype(float)
    return values_picture(true, subject.raw[:, 0].astype(float), target=subject.dataset.target)


def _calibration(subject: Subject, _: Findings) -> bytes | None:
    return calibration_picture(subject.metrics.calibration or ())


def _importance(_: Subject, findings: Findings) -> bytes | None:
    return None if findings.importance is None else importance_picture(findings.importance)


def _search(subject: Subject, _: Findings) -> bytes | None:
    return None if subject.search is None else search_picture(subject.search)


PICTURES: Final[tuple[tuple[str, Draw], ...]] = (
    (CURVES_PICTURE, _curves),
    (CONFUSION_PICTURE, _confusion),
    (VALUES_PICTURE, _values),
    (CALIBRATION_PICTURE, _calibration),
    (IMPORTANCE_PICTURE, _importance),
    (SEARCH_PICTURE, _search),
)
"""In the order of the card; one that has nothing to show of a model is left out."""


def write_reports(subject: Subject, findings: Findings, about: About) -> dict[str, bytes]:
    """All files of the reports by name; the same subject gives the same bytes."""
    drawn = {name: picture for name, draw in PICTURES if (picture := draw(subject, findings)) is not None}
    files = {
        CARD_FILE: write_card(subject, findings, replace(about, pictures=tuple(drawn))),
        DATA_REPORT_FILE: document_bytes(findings.data),
        BASELINE_FILE: document_bytes(findings.baseline),
        **drawn,
    }
    if findings.importance is not None:
        files[IMPORTANCE_FILE] = document_bytes(findings.importance)
    if subject.search is not None:
        files[SEARCH_FILE] = document_bytes(subject.search)
    if about.sizes is not None:
        files[SIZES_FILE] = document_bytes(about.sizes)
        files[SIZES_PICTURE] = sizes_picture(about.sizes)
    return files
