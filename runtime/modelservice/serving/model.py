"""What the server needs of a model; ``modelservice.inference.predictor.Predictor`` has it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np

from modelservice.contract.baseline import Baseline
from modelservice.contract.signature import ColumnKind, InputColumn, Signature
from modelservice.inference.encoder_wire import NotAnsweredError, Trouble
from modelservice.inference.engine import Differentiable, Engine
from modelservice.inference.explaining.tree_file import NoTreesError
from modelservice.inference.explaining.tree_paths import TreePaths
from modelservice.modalities.base import Encoder, Features, Rows
from modelservice.modalities.compressed import decoding
from modelservice.modalities.shared import asking
from modelservice.serving.errors import EncoderBusyError, EncoderError, EncoderLateError, RequestError
from modelservice.tasks.base import Array, ServedTask
from modelservice.tasks.probabilities import improbable

Encoded = tuple[Features, Mapping[str, int]]
"""What the model is run on, and how many values of each column are unlike those of training."""


class Compute(Protocol):
    """Rows to raw outputs, in three steps: the one in the middle is the engine's alone, and holds no interpreter lock.

    Rows are encoded by one thread at a time; another may conclude a batch meanwhile, and run a third.
    """

    def encode(self, rows: Rows, within: float | None = None) -> Encoded:
        """What the model is run on.

        Args:
            rows: as the encoder's ``from_...`` functions give them.
            within: seconds in which somebody waits for the answer, for who has to ask somebody else.

        Raises:
            InputError: names the first row, and column where there is one, that is wrong.
            EncoderError: who had to be asked gave no answer.
        """

    def run(self, encoded: Encoded) -> Array:
        """Raw outputs, float32 [rows, width]."""

    def conclude(self, rows: Rows, encoded: Encoded, raw: Array) -> None:
        """Count what is answered: all of it is finite.

        Raises:
            ModelFaultError: rows and answers differ in number; answers are given to requests by place.
            ImprobableError: of a model that was not trained here: they are no probabilities of its labels.
        """


Outputs = Callable[[Array], dict[str, Any]]
"""Raw outputs to outputs by name, in the order of the signature."""


class ModelFaultError(Exception):
    """The model does not answer as its signature says; it must not be served."""


class ImprobableError(RequestError, ModelFaultError):
    """The model's answer to these rows are no probabilities, as its signature says."""


class ServedModel(Protocol):
    """A verified artifact whose model is loaded: an encoder before an engine, and a task after it."""

    @property
    def digest(self) -> str:
        """``sha256:...`` of the artifact."""

    @property
    def signature(self) -> Signature:
        """Inputs and outputs."""

    @property
    def baseline(self) -> Baseline | None:
        """How inputs and outputs were spread in training; None where the artifact does not say it."""

    @property
    def description(self) -> Mapping[str, Any]:
        """What the artifact says of itself, for JSON."""

    @property
    def reports(self) -> Mapping[str, bytes]:
        """What the artifact has for people, by file name."""

    @property
    def files(self) -> Mapping[str, bytes] | None:
        """All files of the artifact by name, the manifest first; None where nobody may have them."""

    @property
    def trained(self) -> bool:
        """Whether it was trained here, so that what it says of labels are probabilities."""

    @property
    def encoder(self) -> Encoder:
        """Requests to features."""

    @property
    def engine(self) -> Engine:
        """Features to raw outputs."""

    @property
    def task(self) -> ServedTask:
        """Raw outputs to what clients get."""


_TROUBLES: Final = {Trouble.BUSY: EncoderBusyError, Trouble.LATE: EncoderLateError}
"""What is no matter of time, or of another revision, is that this server cannot answer for now."""


class Computation:
    """A model's ``Compute``.

    Args:
        model: encodes rows and answers them.
        record: is told how many values of each column are unlike those of training, where some are.
        answered: is told rows and raw outputs of each batch that is answered.
    """

    def __init__(
        self,
        model: ServedModel,
        *,
        record: Callable[[Mapping[str, int]], None] = lambda _: None,
        answered: Callable[[Rows, Array], None] = lambda *_: None,
    ) -> None:
        self._encode, self._run = model.encoder.encode_counted, model.engine.run
        self._asks = asking(model.encoder)
        self._record, self._answered = record, answered
        self._doubted = bool(model.signature.labels) and not model.trained

    def encode(self, rows: Rows, within: float | None = None) -> Encoded:
        """See ``Compute``."""
        if self._asks is None:
            return self._encode(rows)
        try:
            return self._asks.encode_within(rows, within)
        except NotAnsweredError as error:
            kind = _TROUBLES.get(error.trouble, EncoderError)
            raise kind(str(error), retry_after=error.retry_after) from None

    def run(self, encoded: Encoded) -> Array:
        """See ``Compute``."""
        return self._run(encoded[0])

    def conclude(self, rows: Rows, encoded: Encoded, raw: Array) -> None:
        """See ``Compute``."""
        if len(raw) != len(rows):
            raise ModelFaultError(f"the model answers {len(rows)} rows with {len(raw)}")
        if self._doubted and (wrong := improbable(raw)) is not None:
            raise ImprobableError(f"the model answers these rows with {wrong}")
        if encoded[1]:
            self._record(encoded[1])
        self._answered(rows, raw)


class Slopes:
    """A ``Compute`` of how one output changes with what the model is run on, see ``Differentiable``."""

    def __init__(self, encoder: Encoder, engine: Differentiable, output: int) -> None:
        self._encoder, self._engine, self._output = encoder, engine, output

    def encode(self, rows: Rows, within: float | None = None) -> Encoded:  # noqa: ARG002 - nobody is asked
        """See ``Compute``; nothing counts as unlike those of training."""
        return self._encoder.encode(rows), {}

    def run(self, encoded: Encoded) -> Array:
        """See ``Compute``."""
        return self._engine.gradients(encoded[0], self._output)

    def conclude(self, rows: Rows, encoded: Encoded, raw: Array) -> None:  # noqa: ARG002 - nobody counts them
        """See ``Compute``."""
        if len(raw) != len(rows):
            raise ModelFaultError(f"the model answers {len(rows)} rows with {len(raw)}")


class Paths:
    """A ``Compute`` of the paths of rows through the trees of a model, of one label or of each row's answer."""

    def __init__(self, encoder: Encoder, paths: TreePaths, label: int | None) -> None:
        self._encoder, self._paths, self._label = encoder, paths, label

    def encode(self, rows: Rows, within: float | None = None) -> Encoded:  # noqa: ARG002 - nobody is asked
        """See ``Compute``; nothing counts as unlike those of training."""
        return self._encoder.encode(rows), {}

    def run(self, encoded: Encoded) -> Array:
        """See ``Compute``.

        Raises:
            RequestError: the model is not made of trees alone, or its file does not say enough.
        """
        try:
            return self._paths.run(encoded[0], self._label)
        except NoTreesError as error:
            raise RequestError(f"method: {error}") from None

    def conclude(self, rows: Rows, encoded: Encoded, raw: Array) -> None:  # noqa: ARG002 - nobody counts them
        """See ``Compute``."""
        if len(raw) != len(rows):
            raise ModelFaultError(f"the model answers {len(rows)} rows with {len(raw)}")


def computed(compute: Compute, rows: Rows) -> Array:
    """All three steps: rows to raw outputs."""
    encoded = compute.encode(rows)
    raw = compute.run(encoded)
    compute.conclude(rows, encoded, raw)
    return raw


def illustrate(model: ServedModel, rows: Rows) -> Array:
    """Raw outputs for documents and checks: those of the rows; of a head, whose encoder may be away, those of zeros."""
    if asking(model.encoder) is not None:
        return model.engine.run(np.zeros((len(rows), *model.encoder.shape), np.float32))
    return computed(Computation(model), rows)


def columns_of(model: ServedModel, kind: ColumnKind) -> tuple[str, ...]:
    """Names of the columns that hold values of a kind, and nothing more particular, such as dates."""
    return tuple(
        given.name
        for given in model.signature.inputs
        if isinstance(given, InputColumn) and given.type is kind and given.content is None
    )


def unlike_by_row(model: ServedModel, rows: Rows, kind: ColumnKind) -> list[list[str]]:
    """For each row the columns of a kind whose value is unlike those of training; see ``Encoder.encode_counted``."""
    columns, encode = frozenset(columns_of(model, kind)), model.encoder.encode_counted
    if not columns:
        return [[] for _ in range(len(rows))]

    def unlike(some: Rows) -> list[str]:
        return [name for name in encode(some)[1] if name in columns]

    return [unlike(rows[at : at + 1]) for at in range(len(rows))] if unlike(rows) else [[] for _ in rows]


def example_rows(model: ServedModel, count: int) -> Rows:
    """The model's own example so many times."""
    rows, encoder = model.encoder.from_instances([model.encoder.example()]), decoding(model.encoder)
    rows = rows if encoder is None else encoder.decoded(rows)
    return rows * count if isinstance(rows, list) else np.repeat(rows, count, axis=0)


def outputs_of(model: ServedModel) -> Outputs:
    """How raw outputs become outputs."""
    named, labels = model.task.named, model.signature.labels
    return lambda raw: named(raw, labels)


def check_answer(model: ServedModel, raw: Array) -> None:
    """Compare the raw outputs of one row with the signature.

    Raises:
        ModelFaultError: they are not finite, or become other outputs than the signature names.
    """
    if raw.ndim != 2 or len(raw) != 1:  # noqa: PLR2004
        raise ModelFaultError(f"the model answers one row with shape {list(raw.shape)}, expected [1, width]")
    if not np.isfinite(raw).all():
        raise ModelFaultError("the model answers its own example with a value that is not finite: train it again")
    found = {name: np.shape(values) for name, values in outputs_of(model)(raw).items()}
    said = {output.name: (1, *output.shape) for output in model.signature.outputs}
    if found != said:
        raise ModelFaultError(
            f"the model answers its example with {_listed(found)}; the signature says {_listed(said)}"
        )


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
