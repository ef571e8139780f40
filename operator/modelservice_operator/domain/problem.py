"""Why something does not go on: a reason for machines, a sentence for people."""

from dataclasses import dataclass

from modelservice.contract.failure import About


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A reason in CamelCase, and a message that names the field, the value and the remedy.

    ``waits_for_change`` tells what only a person can heal (Stalled) from what may heal by itself; ``about`` whose
    matter it is, so that what is wrong with the data is not said of a stage. ``rests``: nothing moves until somebody
    else acts, which need not be a person: it is not Progressing, and not Stalled.
    """

    reason: str
    message: str
    waits_for_change: bool = False
    about: About = About.STAGE
    rests: bool = False
