"""What the server needs of a model; ``modelservice.predictor.Predictor`` has it."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.manifest import ColumnKind, Signature

Array = NDArray[np.float32]
Rows = list[Any] | NDArray[Any]
"""Rows of a request before encoding: arrays in the order of the columns or objects by column name, or one matrix."""

VERSION_LENGTH = 12


class ServedModel(Protocol):
    """A classifier over table rows. Encoding raises ``modelservice.data.errors.InputError``."""

    @property
    def digest(self) -> str:
        """``sha256:...`` of the artifact."""

    @property
    def signature(self) -> Signature:
        """Input columns in order, and class labels in order."""

    def encode_rows(self, rows: Rows) -> Array:
        """Rows as arrays, or as objects by column name, to float32 [rows, width]."""

    def probabilities(self, features: Array) -> Array:
        """Encoded rows [rows, width] to class probabilities, float32 [rows, classes]."""


def version_of(model: ServedModel) -> str:
    """The version that answers name: the first characters of the digest, so it says which artifact answered."""
    return model.digest.removeprefix("sha256:")[:VERSION_LENGTH]


def is_numeric(signature: Signature) -> bool:
    """Whether every input column is numeric, so that a request may be one matrix."""
    return all(column.kind is ColumnKind.NUMERIC for column in signature.inputs)


def example_row(signature: Signature) -> dict[str, float | str]:
    """A row that the model takes, of medians and modes."""
    return {column.name: column.example for column in signature.inputs}
