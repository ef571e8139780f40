"""Which rows a training tested, said so that a later comparison on other data can tell.

A split by content is a function of each row, but for the first rows of each class (see ``split``). So what that
function goes by is written down in the artifact, with the few rows that it tells wrong; of two models that were divided
by the same one, a test row of the second was a test row of the first too, or was not there.
"""

import json
from collections.abc import Sequence
from typing import Final

import numpy as np

from modelservice.contract.data import Data
from modelservice.contract.digests import sha256
from modelservice.contract.division import MAX_MOVED, Division
from modelservice.modalities.dataset import Divided
from modelservice.modalities.split import TEST, Rows, by_hash

_READ_AS: Final = ("csv", "excel", "image", "text", "encoder", "target", "missing", "sample_weight", "split")
"""Fields of ``spec.data`` that decide what a row is, and on which side it is."""

_MARK: Final = 4


def division_of(divided: Divided, data: Data) -> Division | None:
    """What the artifact of a training says of its rows; None where more than their content decided, or it is too much.

    Args:
        divided: the rows of the training.
        data: ``spec.data`` of it.
    """
    keys = _keys(divided, data)
    if keys is None:
        return None
    tested = {keys[row] for row in divided.split.test}
    moved = {key for key in keys if key not in tested and _is_tested(key, data)}
    return (
        None if len(moved) > MAX_MOVED else Division(rule=_rule(divided, data), moved=tuple(sorted(map(_mark, moved))))
    )


def unseen_rows(divided: Divided, data: Data, other: Division) -> Rows | None:
    """Test rows of these data from which another model did not learn, ascending; None where nobody can tell.

    Args:
        divided: the rows, divided as ``data`` says.
        data: ``spec.data``.
        other: what the other model's artifact says of its rows.
    """
    keys = _keys(divided, data)
    if keys is None or other.rule != _rule(divided, data):
        return None
    moved = frozenset(other.moved)
    # What is tested here by its place in the table alone was learned from there, if it was there.
    unseen = (row for row in divided.split.test if _is_tested(keys[row], data) and _mark(keys[row]) not in moved)
    return np.fromiter(unseen, dtype=np.int64)


def sides_of(divided: Divided) -> str:
    """The sha256 of the rows of each side, and of what each row counts: of the same data, whether both are the same."""
    split = divided.split
    found = [split.train, split.validation, split.test, np.empty(0) if divided.weights is None else divided.weights]
    return sha256(b"".join(len(values).to_bytes(8, "big") + values.tobytes() for values in found))


def _keys(divided: Divided, data: Data) -> Sequence[bytes] | None:
    """What decides the side of each row, where nothing else does."""
    split = data.split
    alone = split.time_column is None and split.column is None and split.files is None
    return divided.keys if alone else None


def _is_tested(key: bytes, data: Data) -> bool:
    return by_hash(key, data.split.validation, data.split.test) == TEST


def _mark(key: bytes) -> str:
    return key[:_MARK].hex()


def _rule(divided: Divided, data: Data) -> str:
    read = data.model_dump(mode="json", include=set(_READ_AS), exclude_defaults=True)
    decided = [divided.modality, read, list(divided.examples.told_apart_by)]
    return sha256(json.dumps(decided, sort_keys=True, ensure_ascii=True).encode())
