"""What a file does not say of its model: options of ``modelservice pack``, or a YAML file."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, FiniteFloat, StringConstraints, ValidationError, model_validator

from modelservice.contract.base import ColumnName, Contract, ServiceName, near_names, problems
from modelservice.packing.errors import PackError, short
from modelservice.yaml_documents import load_documents

_MAX_BYTES = 2**20
_OF_ALL = "document: "
"""How what several fields have to do with each other is said to be of a document, which options are not."""
Label = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Side = Annotated[int, Field(ge=1)]


class PackedColumn(Contract):
    """A column of numbers, in the order in which the model takes them."""

    name: ColumnName
    example: FiniteFloat = Field(default=0.0, description="A value that a request may have. Default 0.")


class PackedInput(Contract):
    """What a file leaves open of one of its inputs."""

    name: str
    shape: tuple[Side, ...] | None = Field(default=None, description="Of one row, where the file names no sizes.")
    example: Any = Field(default=None, description="Values of one row, as nested arrays. Default zeros.")


class PackSettings(Contract):
    """How a model is served that was trained elsewhere."""

    name: ServiceName | None = Field(default=None, description="Of the model. Default: that of the file.")
    target: ColumnName | None = Field(default=None, description="What is predicted.")
    labels: Annotated[tuple[Label, ...], Field(min_length=2, max_length=100_000)] | None = Field(
        default=None, description="Names of the classes, in the order of the probabilities. Default: it has no classes."
    )
    logits: bool = Field(
        default=False, description="Whether the output of classes are logits, which a softmax makes probabilities of."
    )
    columns: Annotated[tuple[PackedColumn, ...], Field(min_length=1, max_length=4096)] | None = Field(
        default=None,
        description="Columns of a table. Default: the names of inputs that are single numbers, if all are.",
    )
    inputs: Annotated[tuple[PackedInput, ...], Field(max_length=64)] = Field(
        default=(), description="What the file leaves open of its inputs."
    )
    outputs: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Outputs that are served. Default: all of floats."
    )
    max_length: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=128, description="Tokens of a text that are read, of a folder of Hugging Face. Default 128."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        named = {
            "labels": self.labels or (),
            "columns": tuple(one.name for one in self.columns or ()),
            "inputs": tuple(one.name for one in self.inputs),
            "outputs": self.outputs or (),
        }
        for field, names in named.items():
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{field}: {twice[0]!r} is there twice: they must differ from each other")
        if self.logits and self.labels is None:
            raise ValueError("logits are of classes: name them with labels")
        return self

    def of_input(self, name: str) -> PackedInput:
        """What is said of an input."""
        return next((one for one in self.inputs if one.name == name), PackedInput(name=name))


def read_settings(path: Path | None, given: dict[str, Any]) -> PackSettings:
    """Settings of a YAML file, and over these what was given as options.

    Raises:
        PackError: the file cannot be read, or something in it is not valid.
    """
    said: dict[str, Any] = {}
    if path is not None:
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise PackError(f"{path} cannot be read: {error.strerror}") from None
        if len(content) > _MAX_BYTES:
            raise PackError(f"{path} has more than {_MAX_BYTES} bytes: name the file of the settings")
        try:
            documents = load_documents(content.decode())
        except Exception as error:  # such as a date that is none, see ``load_documents``
            raise PackError(f"{path} is no YAML: {short(error)}") from None
        if len(documents) != 1 or not isinstance(documents[0], dict):
            raise PackError(f"{path} holds no object, or several: write such as 'labels: [cat, dog]'")
        said = documents[0]
    try:
        return PackSettings.model_validate({**said, **given})
    except ValidationError as error:
        wrong = problems(error, suggest=near_names(PackSettings))[0].removeprefix(_OF_ALL)
        place = error.errors()[0]["loc"][:1]
        in_file = path is not None and (not place or place[0] not in given)
        raise PackError(f"{path}: {wrong}" if in_file else wrong) from None
