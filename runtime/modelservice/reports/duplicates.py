"""Rows that a model cannot tell apart, among them those that stand in training and test under other identifiers."""

import hashlib
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data_report import Duplicates
from modelservice.modalities.base import Features, Profile
from modelservice.reports.subject import Subject

_MOST_DIFFER: Final = 0.5
"""Share of the rows that must differ, so that equal ones are no coincidence of a few categories."""


class Compared(NamedTuple):
    """What was found in how many rows."""

    duplicates: Duplicates
    rows: int

    @property
    def copied(self) -> bool:
        """Whether equal rows in training and test are copies of each other, more likely than not."""
        found = self.duplicates
        return found.test_copies > 0 and self.rows - found.rows > _MOST_DIFFER * self.rows


def compare_rows(subject: Subject) -> Compared:
    """Look for rows whose inputs are encoded alike, those aside that only number the rows."""
    numbering = [column for column in subject.columns if _numbers_rows(column)]
    if len(numbering) == len(subject.columns):
        numbering = []
    keys = _row_keys(subject, {column.name for column in numbering})
    values, learned = subject.values.tolist(), subject.learned
    first: dict[bytes, int] = {}
    again, contradicting = 0, 0
    for row, key in enumerate(keys):
        if (earlier := first.setdefault(key, row)) != row:
            again += 1
            contradicting += values[row] != values[earlier]
    known = set(keys[:learned])
    answers = set(zip(keys[:learned], values[:learned], strict=True))
    tested = list(zip(keys[learned:], values[learned:], strict=True))
    duplicates = Duplicates(
        rows=again,
        contradicting=contradicting,
        identifiers=tuple(column.name for column in numbering),
        test_rows=sum(key in known for key, _ in tested),
        test_copies=sum(row in answers for row in tested),
    )
    return Compared(duplicates, len(keys))


def _numbers_rows(column: Profile) -> bool:
    """Whether a column holds whole numbers, another one in each row."""
    numbers = column.variable.values
    if column.variable.texts is not None or column.variable.unit is not None or column.distinct < len(numbers):
        return False
    return bool((numbers == np.round(numbers)).all())


def _row_keys(subject: Subject, left_out: set[str]) -> list[bytes]:
    """A hash of each encoded row, without the numbers of some columns."""
    width = int(np.prod(subject.dataset.shape))
    kept = np.ones(width, dtype=bool)
    for column, span in zip(subject.columns, subject.spans, strict=True):
        kept[span] = column.name not in left_out
    return [key for side in subject.sides for key in _hashes(side.features, kept)]


def _hashes(features: Features, kept: NDArray[np.bool_]) -> list[bytes]:
    flat = features.reshape(len(features), -1)
    rows = flat if kept.all() else flat[:, kept]
    return [hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest() for row in rows]
