"""``preprocessing.json`` of texts: the tokenizer, as data."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelservice.contract.data import MissingWords
from modelservice.contract.documents import ExactDocument
from modelservice.contract.signature import ColumnContent, ColumnKind, InputColumn

_EXAMPLE = "a few words"
"""Nobody's text, which any tokenizer can read."""


def text_input(name: str) -> InputColumn:
    """A column of texts as the signature has it."""
    return InputColumn(name=name, type=ColumnKind.CATEGORY, content=ColumnContent.TEXT, example=_EXAMPLE)


class TextPreprocessing(ExactDocument):
    """How a text becomes numbers.

    Attributes:
        name: of the column, and of the input.
        max_length: tokens that are read.
        vocabulary: the highest number of a token that the tokenizer knows, plus 1.
        tokenizer: the JSON of the library ``tokenizers`` (tokenizer.json), as a text.
        missing: ``spec.data.missing`` where that was given.
    """

    kind: Literal["TextPreprocessing"] = "TextPreprocessing"
    name: str
    max_length: Annotated[int, Field(ge=1, le=4096)]
    vocabulary: Annotated[int, Field(ge=1, le=2**20)]
    tokenizer: Annotated[str, StringConstraints(max_length=2**25)]
    missing: MissingWords | None = Field(default=None, exclude_if=lambda words: words is None)

    @property
    def input(self) -> InputColumn:
        """The texts as the signature has them."""
        return text_input(self.name)
