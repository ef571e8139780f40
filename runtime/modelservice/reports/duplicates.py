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
_CHUNK: Final = 8192
"""Rows that are copied at once."""


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
    found, first, group = np.unique(keys, return_index=True, return_inverse=True)
    _, answer = np.unique(subject.values, return_inverse=True)
    both = group * (int(answer.max()) + 1) + answer
    learned = subject.learned
    duplicates = Duplicates(
        rows=len(keys) - len(found),
        contradicting=int((answer != answer[first[group]]).sum()),
        identifiers=tuple(column.name for column in numbering),
        test_rows=int(np.isin(group[learned:], group[:learned]).sum()),
        test_copies=int(np.isin(both[learned:], both[:learned]).sum()),
    )
    return Compared(duplicates, len(keys))


def _numbers_rows(column: Profile) -> bool:
    """Whether a column holds whole numbers, another one in each row."""
    if column.missing or not column.distinct:
        return False
    values, texts, unit = column.variable()
    if texts is not None or unit is not None or column.distinct < len(values):
        return False
    return bool((values == np.round(values)).all())


def _row_keys(subject: Subject, left_out: set[str]) -> NDArray[np.uint64]:
    """A hash of each encoded row, without the numbers of some columns.

    64 bits are enough: of a million rows two different ones have one hash once in 30 million tables.
    """
    kept = np.ones(int(np.prod(subject.dataset.shape)), dtype=bool)
    for column, span in zip(subject.columns, subject.spans, strict=True):
        kept[span] = column.name not in left_out
    return np.concatenate([_hashes(side.features, kept) for side in subject.sides])


def _hashes(features: Features, kept: NDArray[np.bool_]) -> NDArray[np.uint64]:
    flat, found = features.reshape(len(features), -1), np.empty(len(features), dtype=np.uint64)
    for start in range(0, len(flat), _CHUNK):
        # Adding 0.0 makes -0.0 the same as 0.0.
        rows = np.ascontiguousarray(flat[start : start + _CHUNK, kept] + np.float32(0))
        digests = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in rows)
        found[start : start + len(rows)] = np.frombuffer(digests, dtype="<u8")
    return found
