"""Why something does not go on: a reason for machines, a sentence for people."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A reason in CamelCase, and a message that names the field, the value and the remedy.

    ``waits_for_change`` tells what only a person can heal (Stalled) from what may heal by itself; ``blames_data`` what
    is wrong with the data from what is wrong with the training.
    """

    reason: str
    message: str
    waits_for_change: bool = False
    blames_data: bool = False
