"""The report on the data."""

from collections.abc import Iterator, Sequence

import numpy as np

from modelservice.contract.data_report import (
    ClassRows,
    DataReport,
    ReportedColumn,
    SideRows,
    Suspect,
    TargetNumbers,
)
from modelservice.reports.alone import SUSPECT, score_alone
from modelservice.reports.duplicates import Compared, compare_rows
from modelservice.reports.subject import Subject


def report_data(subject: Subject) -> DataReport:
    """Look at the data of a training, as far as it was learned from."""
    dataset, compared = subject.dataset, compare_rows(subject)
    columns = tuple(_columns(subject))
    suspects = (*_copies(compared), *_telling(columns, dataset.target))
    return DataReport(
        sha256=dataset.sha256,
        target=dataset.target,
        rows=_rows(subject.rows),
        dropped=dataset.dropped,
        sampled=None if dataset.stream is None else _rows([len(side.values) for side in subject.sides]),
        features=dataset.features,
        columns=columns,
        classes=_classes(subject) if dataset.labels else None,
        numbers=None if dataset.labels else _numbers(subject),
        duplicates=compared.duplicates,
        suspects=suspects,
        notes=dataset.notes,
    )


def _rows(counts: Sequence[int]) -> SideRows:
    train, validation, test = counts
    return SideRows(train=train, validation=validation, test=test)


def _columns(subject: Subject) -> Iterator[ReportedColumn]:
    classes = len(subject.dataset.labels)
    for column in subject.columns:
        alone = score_alone(column.variable(), subject.values, classes=classes, groups=subject.groups)
        yield ReportedColumn(
            name=column.name,
            column_kind=column.kind,
            missing=column.missing,
            distinct=column.distinct,
            alone=None if alone is None else round(alone, 4),
        )


def _telling(columns: tuple[ReportedColumn, ...], target: str) -> Iterator[Suspect]:
    for column in columns:
        if column.alone is not None and column.alone >= SUSPECT:
            message = (
                f"column {column.name} alone predicts {target} nearly perfectly ({column.alone:.3f} of 1): if it is"
                " known only after the target is, leave it out of spec.data.features"
            )
            yield Suspect(column=column.name, message=message)


def _copies(compared: Compared) -> Iterator[Suspect]:
    if not compared.copied:
        return
    found = compared.duplicates
    but = f" but {', '.join(found.identifiers)}" if found.identifiers else ""
    message = (
        f"{found.test_copies} test rows equal rows that were learned from in all{but}: metrics are better than on new"
        " rows; leave out columns that number the rows, or divide rows in another way by spec.data.split"
    )
    yield Suspect(message=message)


def _classes(subject: Subject) -> tuple[ClassRows, ...]:
    labels, stream = subject.dataset.labels, subject.dataset.stream
    held = (np.bincount(side.values, minlength=len(labels)).tolist() for side in subject.sides)
    counts = [*held] if stream is None or stream.classes is None else stream.classes.tolist()
    return tuple(
        ClassRows(label=label, rows=_rows([of_side[code] for of_side in counts])) for code, label in enumerate(labels)
    )


def _numbers(subject: Subject) -> TargetNumbers:
    values = subject.values
    return TargetNumbers(
        low=float(values.min()),
        mean=float(values.mean()),
        high=float(values.max()),
        deviation=float(values.std()),
    )
