"""How a training or serving process ends, and what the operator makes of it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the runtime; 64, 65 and 75 are those of sysexits.h."""

    DONE = 0
    TASK_INVALID = 64
    """The task is wrong (EX_USAGE): waits for a change of the ModelService."""
    DATA_INVALID = 65
    """The data is wrong (EX_DATAERR): waits for a change of the data."""
    TRY_AGAIN = 75
    """A passing fault (EX_TEMPFAIL), such as data that changed between planning and mounting: tried again."""
    KILLED = 137
    """SIGKILL; where Kubernetes says OOMKilled it waits for more memory."""
    TERMINATED = 143
    """SIGTERM: the node is wanted for something else; tried again."""
