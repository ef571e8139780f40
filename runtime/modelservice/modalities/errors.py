"""What can be wrong with the rows of a request."""


class InputError(ValueError):
    """Rows given for prediction that do not fit the model's inputs.

    ``str()`` is ``[3].petal_length: 'x' is not a number``: a protocol puts the name of its own list in front.

    Attributes:
        row: index of the row, from 0, or None if no single row is wrong.
        column: name of the column, or None if no single column is wrong.
        tensor: index of the Open Inference tensor, or None where rows came another way.
        part: the member of that tensor which is wrong, such as shape or datatype, or None.
        message: what is wrong, without the place.
    """

    def __init__(
        self,
        message: str,
        *,
        row: int | None = None,
        column: str | None = None,
        tensor: int | None = None,
        part: str | None = None,
    ) -> None:
        place = ("" if row is None else f"[{row}]") + ("" if column is None else f".{column}")
        super().__init__(f"{place.lstrip('.')}: {message}" if place else message)
        self.row = row
        self.column = column
        self.tensor = tensor
        self.part = part
        self.message = message

    def at(self, row: int | None) -> "InputError":
        """The same of another row: that of the list which a client sent, say."""
        return InputError(self.message, row=row, column=self.column, tensor=self.tensor, part=self.part)
