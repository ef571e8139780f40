"""How a process of the runtime ends: what Kubernetes' podFailurePolicy sees of a failure."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the runtime; 64, 65 and 75 are those of sysexits.h. The report says more (``failure.Failure``)."""

    DONE = 0
    UNEXPECTED = 1
    """A defect of ours, or of a library: tried again as often as ``maxRestarts`` says."""
    ORDER_INVALID = 64
    """What was asked for cannot be done (EX_USAGE): waits for a change of the ModelService."""
    DATA_INVALID = 65
    """The data is wrong (EX_DATAERR): waits for a change of the data."""
    TRY_AGAIN = 75
    """A passing fault (EX_TEMPFAIL): tried again."""
    KILLED = 137
    """SIGKILL; where Kubernetes says OOMKilled it waits for more memory."""
    TERMINATED = 143
    """SIGTERM: the node is wanted for something else; tried again."""
