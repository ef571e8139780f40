"""From an exception to what the report says and how the process ends: the one place where both are decided."""

import errno
import re

import torch

from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.report import Failure
from modelservice.data.errors import DataError
from modelservice.training.errors import TrainingError

UNEXPECTED = 1
"""Exit code of a fault of ours, or of a library: tried again as often as ``maxRestarts`` says."""

_MESSAGE_LIMIT = 2048
_SIZE_FIELD = "spec.artifacts.volumeClaim.size"
_MEMORY_FIELD = "spec.training.resources.limits.memory"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_MEMORY = re.compile(r"can't allocate memory|out of memory", re.IGNORECASE)


class TerminatedError(BaseException):
    """SIGTERM: not an ``Exception``, so that nothing on the way takes it for a fault."""


class TaskError(Exception):
    """The task cannot be begun. ``code`` says whether a change or another try is waited for."""

    def __init__(self, reason: str, message: str, *, code: ExitCode, field: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.code = code
        self.field = field


def explain(error: BaseException) -> tuple[Failure, int]:
    """The report of a failure, and the exit code.

    Errors of the file system pass: the disk is emptied, the claim made larger, the volume attached again.
    """
    if isinstance(error, TaskError | DataError | TrainingError):
        return _failure(error.reason, error.message, error.field), _code(error)
    if isinstance(error, OSError):
        return _file_system_failure(error), ExitCode.TRY_AGAIN
    if isinstance(error, TerminatedError):
        return _failure("Terminated", "the training was stopped by SIGTERM", None), ExitCode.TERMINATED
    if _is_out_of_memory(error):
        message = f"the training does not fit into memory: raise {_MEMORY_FIELD}, or lower spec.training.batchSize"
        return _failure("OutOfMemory", message, _MEMORY_FIELD), ExitCode.TASK_INVALID
    return _failure("UnexpectedError", f"{type(error).__name__}: {error}", None), UNEXPECTED


def _code(error: TaskError | DataError | TrainingError) -> ExitCode:
    match error:
        case TaskError():
            return error.code
        case DataError():
            return ExitCode.DATA_INVALID
        case TrainingError():
            return ExitCode.TASK_INVALID


def _file_system_failure(error: OSError) -> Failure:
    if error.errno in _FULL:
        message = f"the artifact does not fit into its volume: raise {_SIZE_FIELD}, or make room"
        return _failure("StorageFull", message, _SIZE_FIELD)
    if error.errno in _FORBIDDEN:
        message = f"the artifact volume cannot be written ({error.strerror}): it must be writable for group 65532"
        return _failure("StorageNotWritable", message, "spec.artifacts.volumeClaim")
    return _failure("StorageFailed", f"{error.strerror or error}: {error.filename or 'the artifact volume'}", None)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def _failure(reason: str, message: str, field: str | None) -> Failure:
    text = " ".join(message.split())
    return Failure(reason=reason, message=text[:_MESSAGE_LIMIT], field=field)
