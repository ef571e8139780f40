"""From an exception to what the report says and how the process ends: the one place where both are decided."""

import errno
import re

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.documents import DocumentError
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import OUT_OF_MEMORY, About, Failure, Retry, StageError, one_line

UNEXPECTED = "UnexpectedError"
"""Reason of a defect of ours, or of a library: its traceback is worth a look."""
TERMINATED = "Terminated"
"""Reason of a stage that was asked to end."""

_SIZE_FIELD = "spec.artifacts.volumeClaim.size"
_MEMORY_FIELD = "spec.training.resources.limits.memory"
_DEVICE_FIELD = "spec.training.nodeSelector"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_MEMORY = re.compile(r"can't allocate memory|out of memory|failed to allocate memory|ALLOC_FAILED", re.IGNORECASE)
_OF_DEVICE = re.compile(r"\b(CUDA|HIP|CUBLAS|CUDNN|NCCL)", re.IGNORECASE)


class TerminatedError(BaseException):
    """SIGTERM: not an ``Exception``, so that nothing on the way takes it for a fault."""


def report_failure(error: BaseException) -> tuple[Failure, int]:
    """The report of a failure, and the exit code.

    Errors of the file system pass: the disk is emptied, the claim made larger, the volume attached again.
    """
    if isinstance(error, TerminatedError):
        message = "the stage was stopped by SIGTERM: its node, or its pod, was wanted for something else"
        failure = Failure(reason=TERMINATED, message=message, about=About.PLATFORM, retry=Retry.SOON)
        return failure, ExitCode.TERMINATED
    failure = _failure_of(error)
    return failure, failure.exit_code


def is_full(error: OSError) -> bool:
    """Whether a file system, or what may be used of it, has no room."""
    return error.errno in _FULL


def _failure_of(error: BaseException) -> Failure:
    if isinstance(error, StageError):
        return error.failure()
    if isinstance(error, ArtifactError | DocumentError):
        return Failure(reason="ArtifactInvalid", message=one_line(str(error)), about=About.STORAGE)
    if isinstance(error, OSError):
        return _file_system_failure(error)
    if _is_out_of_memory(error):
        if _OF_DEVICE.search(str(error)):
            message = f"the stage does not fit into the memory of the GPU: choose a larger one by {_DEVICE_FIELD}"
            return Failure(reason=OUT_OF_MEMORY, message=message, field=_DEVICE_FIELD, about=About.STAGE)
        message = f"the stage does not fit into memory: raise {_MEMORY_FIELD}, or lower spec.training.batchSize"
        return Failure(reason=OUT_OF_MEMORY, message=message, field=_MEMORY_FIELD, about=About.STAGE)
    message = one_line(f"{type(error).__name__}: {error}")
    return Failure(reason=UNEXPECTED, message=message, about=About.PLATFORM, retry=Retry.UNKNOWN)


def _file_system_failure(error: OSError) -> Failure:
    if is_full(error):
        message = f"the artifact does not fit into its volume: raise {_SIZE_FIELD}, or make room"
        return _storage_failure("StorageFull", message, _SIZE_FIELD)
    if error.errno in _FORBIDDEN:
        message = f"the artifact volume cannot be written ({error.strerror}): it must be writable for group 65532"
        return _storage_failure("StorageNotWritable", message, "spec.artifacts.volumeClaim")
    return _storage_failure("StorageFailed", f"{error.strerror or error}: {error.filename or 'a volume'}", None)


def _storage_failure(reason: str, message: str, field: str | None) -> Failure:
    return Failure(reason=reason, message=one_line(message), field=field, about=About.STORAGE, retry=Retry.SOON)


def _is_out_of_memory(error: BaseException) -> bool:
    """Of Python, or of torch and onnxruntime, which say it in words."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error))))
