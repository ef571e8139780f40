"""Why a stage of the pipeline does not go on: what the report says, and what an exception carries there."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import StringConstraints

from modelservice.contract.base import Tolerant
from modelservice.contract.exit_codes import ExitCode

MAX_MESSAGE = 2048
Reason = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{0,63}$")]


OUT_OF_MEMORY: Final[Reason] = "OutOfMemory"
"""Reason where the memory of a host or of a device does not suffice."""


class About(StrEnum):
    """Whose matter a failure is: the data's owner, the stage's settings, the artifact store, or the platform."""

    DATA = "Data"
    STAGE = "Stage"
    STORAGE = "Storage"
    PLATFORM = "Platform"


class Retry(StrEnum):
    """When another try may go better: after a change of spec or data, soon, or nobody knows (a defect)."""

    ON_CHANGE = "OnChange"
    SOON = "Soon"
    UNKNOWN = "Unknown"
    """Tried again all the same, as often as ``maxRestarts`` says."""


PEER_LOST: Final = "PeerLost"
"""Reason of a worker that ended because another one did: no cause of its own."""


class Failure(Tolerant):
    """A stage that did not end well.

    ``reason`` is CamelCase and stable, ``message`` a sentence with the remedy, ``field`` the path of the field of the
    ModelService to change, if one helps.
    """

    outcome: Literal["Failure"] = "Failure"
    reason: Reason
    message: Annotated[str, StringConstraints(max_length=MAX_MESSAGE)]
    field: str | None = None
    about: About
    retry: Retry = Retry.ON_CHANGE

    @property
    def exit_code(self) -> int:
        """How the process ends: Kubernetes' podFailurePolicy reads nothing else."""
        if self.retry is Retry.SOON:
            return ExitCode.TRY_AGAIN
        if self.retry is Retry.UNKNOWN:
            return ExitCode.UNEXPECTED
        return ExitCode.DATA_INVALID if self.about is About.DATA else ExitCode.ORDER_INVALID


def one_line(text: str) -> str:
    """A message as a report takes it: whitespace squeezed, cut, and without the surrogates of undecodable names."""
    return " ".join(text.split())[:MAX_MESSAGE].encode(errors="replace").decode()


class StageError(Exception):
    """A failure on its way to the report; subclasses say what it is about."""

    ABOUT: ClassVar[About] = About.STAGE
    RETRY: ClassVar[Retry] = Retry.ON_CHANGE

    def __init__(self, reason: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field

    def failure(self) -> Failure:
        """What the report says."""
        return Failure(
            reason=self.reason, message=one_line(self.message), field=self.field, about=self.ABOUT, retry=self.RETRY
        )


class DataError(StageError):
    """Nothing can be learned from the data as it is: waits for a change of the data or of the field."""

    ABOUT = About.DATA

    def __init__(self, reason: str, message: str, *, field: str | None = "spec.data") -> None:
        super().__init__(reason, message, field=field)


class StorageError(StageError):
    """The artifact store refuses what a change of spec or rights must mend."""

    ABOUT = About.STORAGE


class PassingError(StageError):
    """A fault that may pass by itself, such as data that changed between planning and mounting."""

    ABOUT = About.PLATFORM
    RETRY = Retry.SOON
