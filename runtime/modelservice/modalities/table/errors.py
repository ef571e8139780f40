"""What can be wrong with a table, and with the rows of a request."""


class DataError(Exception):
    """The table cannot be learned from: waits for a change of the data or of the field.

    Attributes:
        reason: CamelCase, stable, for machines.
        message: one or two sentences for people: what, where, and the remedy.
        field: path of the field in the ModelService that names what is wrong, or None.
    """

    def __init__(self, reason: str, message: str, *, field: str | None = "spec.data") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field


class InputError(ValueError):
    """Rows given for prediction that do not fit the model's columns.

    ``str()`` is ``[3].petal_length: 'x' is not a number``: a protocol puts the name of its own list in front.

    Attributes:
        row: index of the row, from 0, or None if no single row is wrong.
        column: name of the column, or None if no single column is wrong.
        message: what is wrong, without the place.
    """

    def __init__(self, message: str, *, row: int | None = None, column: str | None = None) -> None:
        place = ("" if row is None else f"[{row}]") + ("" if column is None else f".{column}")
        super().__init__(f"{place.lstrip('.')}: {message}" if place else message)
        self.row = row
        self.column = column
        self.message = message
