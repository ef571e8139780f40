"""What can go wrong in a training besides the data."""


class TrainingError(Exception):
    """The training as it was asked for cannot succeed: waits for a change of the field.

    Attributes:
        reason: CamelCase, stable, for machines.
        message: one or two sentences for people, with the remedy.
        field: path of the field in the ModelService to change.
    """

    def __init__(self, reason: str, message: str, *, field: str | None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
