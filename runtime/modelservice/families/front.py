"""``spec.data.encoder``: a pretrained model reads columns of a table, and any family of tables learns from its numbers.

Both are one graph: tokens and the numbers of all other columns in, what the family says of them out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data import ColumnEncoder
from modelservice.families.base import Fitted
from modelservice.families.pretrained import encoder_of_columns, seen_by
from modelservice.families.pretrained.base import COLUMNS_SECTION
from modelservice.families.pretrained.texts import TextModel
from modelservice.modalities.base import Dataset, Features
from modelservice.modalities.table.kinds.encoded import EncodedPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.tasks.base import Array

NORM: Final = 4.0
"""How long the numbers of a text are on the mean: as those of hashed letters, a few deviations of a number."""
_NARROW: Final = 1e-12
"""The least length that is divided by."""
LENGTH_FIELD: Final = f"{COLUMNS_SECTION}.maxLength"

Embed = Callable[[Features], Features]
"""Tokens, float32 [texts, length], to numbers, float32 [texts, width]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Front:
    """From encoded rows to those that a family sees: numbers beside texts as they are, then those of each text.

    A text without tokens, as a missing one is, has the numbers of the mean, which are 0.

    Attributes:
        encoder: the pretrained model.
        tokens: int64 [columns, length], places of the tokens of each column of texts in a row.
        others: int64 [numbers], all other places.
        center: float32 [width], the mean of the texts of training rows.
        scale: what a text's difference from it is multiplied by.
    """

    encoder: TextModel
    tokens: NDArray[np.int64]
    others: NDArray[np.int64]
    center: Features
    scale: np.float32

    @classmethod
    def measured(cls, encoder: TextModel, preprocessing: TablePreprocessing, features: Features) -> Self:
        """The front of some training rows, float32 [rows, tokens and numbers]."""
        tokens, others = _places(preprocessing)
        texts = features[:, tokens].reshape(-1, tokens.shape[1])
        numbers = encoder.embed(texts[texts[:, 0] > 0])
        center = numbers.mean(axis=0) if len(numbers) else np.zeros(encoder.width, np.float32)
        length = float(np.linalg.norm(numbers - center, axis=1).mean()) if len(numbers) else 1.0
        scale = np.float32(NORM / max(length, _NARROW))
        return cls(encoder=encoder, tokens=tokens, others=others, center=center, scale=scale)

    def seen(self, features: Features, embed: Embed) -> Features:
        """What a family sees of rows, float32 [rows, numbers and columns x width]."""
        texts = features[:, self.tokens].reshape(-1, self.tokens.shape[1])
        held = np.minimum(texts[:, :1], np.float32(1))
        numbers = (embed(texts) - self.center) * self.scale * held
        side_by_side = numbers.reshape(len(features), len(self.tokens) * self.encoder.width)
        return np.concatenate([features[:, self.others], side_by_side], axis=1)

    def codes(self, codes: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Which of what a family sees are no measurements: those of texts, beside what was none before."""
        texts = np.ones(len(self.tokens) * self.encoder.width, np.bool_)
        before = np.zeros(len(self.others), np.bool_) if codes is None else codes[self.others]
        return np.concatenate([before, texts])

    def joined(self, content: bytes, *, shape: tuple[int, ...], width: int) -> bytes:
        """``model.onnx`` of encoded rows, given that of a family of what it sees.

        Args:
            content: the family's.
            shape: of an encoded row.
            width: raw outputs of a row.
        """
        from modelservice.families.onnx_graph import Graph  # noqa: PLC0415 - onnx takes long to import

        graph, (columns, length) = Graph(), self.tokens.shape
        rows = graph.value
        beside = graph.add("Gather", rows, graph.constant("others", self.others), axis=1) if len(self.others) else None
        found = graph.add("Gather", rows, graph.constant("tokens", self.tokens.reshape(-1)), axis=1)
        texts = graph.add("Reshape", found, graph.constant("texts", np.array([-1, length], np.int64)))
        first = graph.add("Gather", texts, graph.constant("first", np.array([0], np.int64)), axis=1)
        held = graph.add("Min", first, _number(graph, "one", 1))
        graph.value = texts
        numbers = graph.add("Sub", self.encoder.append_to(graph, length=length), graph.constant("center", self.center))
        scaled = graph.add("Mul", numbers, _number(graph, "scale", float(self.scale)))
        flat = graph.constant("flat", np.array([-1, columns * self.encoder.width], np.int64))
        side_by_side = graph.add("Reshape", graph.add("Mul", scaled, held), flat)
        if beside is not None:
            graph.add("Concat", beside, side_by_side, axis=1)
        graph.append_model(content)
        return graph.model(shape=shape, width=width)


def fit_behind(settings: ColumnEncoder, dataset: Dataset, fit: Callable[[Dataset], Fitted]) -> Fitted:
    """Fit a family to what the encoder makes of the texts; what comes back takes rows as the dataset has them.

    Args:
        settings: ``spec.data.encoder``.
        dataset: encoded rows, of a table.
        fit: fits the family to a dataset.

    Raises:
        StageError: the encoder cannot be read, or reads shorter texts; or as ``fit`` does.
    """
    encoder, preprocessing = encoder_of_columns(settings), dataset.preprocessing
    assert isinstance(preprocessing, TablePreprocessing)  # noqa: S101 - only tables have columns of texts
    if not any(isinstance(column, EncodedPreprocessing) for column in preprocessing.columns):
        return fit(dataset)
    encoder.check_length(settings.max_length, field=LENGTH_FIELD)
    front = Front.measured(encoder, preprocessing, dataset.train.features)
    seen = seen_by(dataset, lambda features: front.seen(features, encoder.embed))
    fitted = fit(replace(seen, codes=front.codes(dataset.codes)))

    def predict(features: Features) -> Array:
        # Texts of another batch differ in the last bit, which trees may make much of: so the same rows together.
        return fitted.predict(front.seen(features, encoder.compute))

    def recalled(features: Features) -> Array:
        return fitted.predict(front.seen(features, encoder.embed))

    note = f"the encoder is {encoder.origin} with weights {encoder.digest}"
    return replace(
        fitted,
        onnx=front.joined(fitted.onnx, shape=dataset.shape, width=len(dataset.labels) or 1),
        predict=predict,
        parameters=encoder.parameters + fitted.parameters,
        files={},
        notes=(note, *fitted.notes),
        sharpened=None,
        recalled=recalled,
    )


def _places(preprocessing: TablePreprocessing) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of tokens [columns, length], and all others, in an encoded row."""
    tokens: list[NDArray[np.int64]] = []
    at = 0
    for column in preprocessing.columns:
        if isinstance(column, EncodedPreprocessing):
            tokens.append(np.arange(at, at + column.max_length, dtype=np.int64))
        at += column.width
    found = np.stack(tokens)
    return found, np.setdiff1d(np.arange(at, dtype=np.int64), found)


def _number(graph: Any, name: str, number: float) -> str:
    return str(graph.constant(name, np.array(number, np.float32)))
