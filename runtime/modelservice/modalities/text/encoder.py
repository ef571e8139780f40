"""The serving side of texts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from modelservice.cells import Missing
from modelservice.contract.documents import DocumentError
from modelservice.contract.manifest import PREPROCESSING_FILE
from modelservice.contract.signature import Input, InputColumn
from modelservice.modalities.base import STRICT, Features, Measure, Opener, Rows, Tolerance
from modelservice.modalities.errors import InputError
from modelservice.modalities.frames import columns_of
from modelservice.modalities.parts import WHOLE_PARTS, PartOptions
from modelservice.modalities.tensors import BYTES, Tensor, describe
from modelservice.modalities.tensors import texts as texts_of
from modelservice.modalities.text.parts import TextParts
from modelservice.modalities.text.preprocessing import TextPreprocessing
from modelservice.modalities.tokens import Tokens, check_text

NAME: Final = "Text"


class TextReader:
    """Reads requests for texts of one column; ``missing`` are words that mean an empty text."""

    def __init__(self, column: InputColumn, missing: Iterable[str] | None = None) -> None:
        self.inputs: tuple[Input, ...] = (column,)
        self._name = column.name
        self._example = str(column.example)
        self._missing = Missing.of(missing)

    def texts(self, rows: Rows) -> list[str]:
        """Texts that stand in arrays of one, in objects by the column's name, or plain.

        Raises:
            InputError: names the first row that is no text, or too long a one.
        """
        return [self._text(place, row) for place, row in enumerate(rows)]

    def example(self) -> dict[str, str]:
        """A text of no row."""
        return {self._name: self._example}

    @property
    def measures(self) -> dict[str, Measure]:
        """None: a text is one column, of which no part is counted."""
        return {}

    def from_instances(self, instances: list[Any], tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """Texts, as ``encode`` takes them; there are no other columns to tolerate."""
        return instances

    def from_inputs(self, inputs: Any, tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """Texts as one array, or as an object that holds it under the column's name."""
        if isinstance(inputs, dict):
            if inputs.keys() != {self._name}:
                raise InputError(f"must be an array of texts, or an object of {self._name}, not {describe(inputs)}")
            inputs = inputs[self._name]
        if not isinstance(inputs, list):
            raise InputError(f"must be an array of texts, not {describe(inputs)}")
        return inputs

    def from_tensors(self, tensors: Sequence[Tensor], tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """One tensor of BYTES [rows] or [rows, 1]."""
        if len(tensors) > 1:
            raise InputError(f"is one too many; expected one tensor, {self._name}", tensor=1)
        tensor = tensors[0]
        if tensor.datatype != BYTES:
            raise InputError(f"{tensor.datatype}; texts are {BYTES}", tensor=0, part="datatype")
        if len(tensor.shape) != 1 and tensor.shape[1:] != (1,):
            raise InputError(f"{list(tensor.shape)}; expected [rows] or [rows, 1]", tensor=0, part="shape")
        return texts_of(tensor.values, tensor=0)

    def cells(self, rows: Rows) -> list[list[Any]]:
        """A text of each row, as ``encode`` reads it."""
        return [[text] for text in self.texts(rows)]

    def parts(self, rows: Rows, options: PartOptions = WHOLE_PARTS) -> list[TextParts]:  # noqa: ARG002
        """Texts in their words; there is one way to divide them."""
        return [TextParts(text) for text in self.texts(rows)]

    def tensors(self) -> list[dict[str, Any]]:
        """The tensor of texts."""
        return [{"name": self._name, "datatype": BYTES, "shape": [-1]}]

    def from_frame(self, frame: Any) -> Rows:
        """A frame that has the column, or a list of rows as ``encode`` takes them."""
        columns = columns_of(frame)
        if columns is None:
            if isinstance(frame, str) or not hasattr(frame, "__iter__"):
                raise InputError(f"a {type(frame).__name__} is neither a table nor a list of texts")
            return list(frame)
        if self._name not in columns:
            raise InputError("is missing", column=self._name)
        return list(columns[self._name])

    def _text(self, place: int, row: Any) -> str:
        value = row
        if isinstance(row, Mapping):
            if row.keys() != {self._name}:
                raise InputError(f"is an object, of which only one of {self._name} is a row", row=place)
            value = row[self._name]
        elif isinstance(row, list | tuple):
            if len(row) != 1:
                raise InputError(f"has {len(row)} values; expected one, {self._name}", row=place)
            value = row[0]
        if value is None or value != value:  # noqa: PLR0124 - a NaN, as frames have it for a missing text
            return ""
        if not isinstance(value, str):
            raise InputError(f"{describe(value)} is not a text", row=place, column=self._name)
        check_text(value, row=place, column=self._name)
        text = value.strip()
        return "" if self._missing.means(text) else text


class TextEncoder(TextReader):
    """Makes tokens of texts; immutable and safe to share between threads."""

    def __init__(self, preprocessing: TextPreprocessing) -> None:
        """Open the tokenizer.

        Raises:
            DocumentError: the document holds none.
        """
        super().__init__(preprocessing.input, preprocessing.missing)
        self.shape = (preprocessing.max_length,)
        try:
            self._tokens = Tokens(preprocessing.tokenizer, max_length=preprocessing.max_length)
        except ValueError as error:
            raise DocumentError(f"{PREPROCESSING_FILE} holds {error}") from None

    def encode(self, rows: Rows) -> Features:
        """Texts to float32 [rows, max_length]; see ``texts`` for how they come, and what is raised."""
        return self._tokens.encode(self.texts(rows))

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        """The same; nothing counts as unseen, since every text is new."""
        return self.encode(rows), {}


TEXT: Final = Opener(name=NAME, document=TextPreprocessing, build=TextEncoder)
