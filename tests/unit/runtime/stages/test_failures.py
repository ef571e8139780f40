"""Whatever goes wrong becomes a report that the operator can read."""

import ast
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.cases import check_each

import modelservice
from modelservice.artifact.errors import ArtifactError, StorageUnavailableError
from modelservice.contract.documents import DocumentError
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import About, DataError, PassingError, Retry, StageError, StorageError
from modelservice.contract.places import TERMINATION_MESSAGE_LIMIT
from modelservice.contract.report import Report
from modelservice.stages.failures import TerminatedError, report_failure

REASON = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")


@pytest.mark.parametrize(
    ("error", "about", "retry", "code"),
    [
        (DataError("EmptyTable", "no rows"), About.DATA, Retry.ON_CHANGE, ExitCode.DATA_INVALID),
        (StageError("ModelTooLarge", "too large"), About.STAGE, Retry.ON_CHANGE, ExitCode.ORDER_INVALID),
        (StorageError("BucketNotFound", "no bucket"), About.STORAGE, Retry.ON_CHANGE, ExitCode.ORDER_INVALID),
        (StorageUnavailableError("X", "down"), About.STORAGE, Retry.SOON, ExitCode.TRY_AGAIN),
        (PassingError("DataChanged", "changed"), About.PLATFORM, Retry.SOON, ExitCode.TRY_AGAIN),
        (ArtifactError("not ours"), About.STORAGE, Retry.ON_CHANGE, ExitCode.ORDER_INVALID),
        (DocumentError("newer"), About.STORAGE, Retry.ON_CHANGE, ExitCode.ORDER_INVALID),
        (OSError(errno.ENOSPC, "full"), About.STORAGE, Retry.SOON, ExitCode.TRY_AGAIN),
        (OSError(errno.EIO, "broken"), About.STORAGE, Retry.SOON, ExitCode.TRY_AGAIN),
        (MemoryError(), About.STAGE, Retry.ON_CHANGE, ExitCode.ORDER_INVALID),
        (RuntimeError("CUDA out of memory"), About.STAGE, Retry.ON_CHANGE, ExitCode.ORDER_INVALID),
        (RuntimeError("shape"), About.PLATFORM, Retry.UNKNOWN, ExitCode.UNEXPECTED),
        (KeyError("x"), About.PLATFORM, Retry.UNKNOWN, ExitCode.UNEXPECTED),
        (TerminatedError(), About.PLATFORM, Retry.SOON, ExitCode.TERMINATED),
    ],
)
def test_each_failure_says_whose_it_is_and_when_to_try_again(error: Any, about: Any, retry: Any, code: Any) -> None:
    failure, found = report_failure(error)
    assert (failure.about, failure.retry, found) == (about, retry, code)


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (MemoryError(), "spec.training.resources.limits.memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "spec.training.resources.limits.memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), "spec.training.nodeSelector"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "spec.training.nodeSelector"),
        (RuntimeError("NCCL error: Cuda failure 2 'out of memory'"), "spec.training.nodeSelector"),
    ],
)
def test_which_memory_is_too_small_decides_the_field(error: Any, field: str) -> None:
    failure, _ = report_failure(error)
    assert (failure.reason, failure.field) == ("OutOfMemory", field)
    assert field in failure.message


@given(
    message=st.text() | st.text(st.characters(categories=["Cs"])) | st.just("x" * 5000) | st.just("\U0001f600" * 5000),
    kind=st.sampled_from([DataError, StageError, StorageError, PassingError]),
    field=st.none() | st.just("spec.data"),
)
def test_a_message_of_any_text_fits_into_a_report(message: str, kind: Any, field: str | None) -> None:
    for error in (kind("Reason", message, field=field), OSError(errno.EIO, message, message), ValueError(message)):
        failure, _ = report_failure(error)
        said = Report(result=failure).to_message()
        assert len(said.encode()) <= TERMINATION_MESSAGE_LIMIT
        assert Report.model_validate_json(said).result.outcome == "Failure"


def test_every_error_of_a_file_system_has_a_report() -> None:
    check_each(sorted(errno.errorcode), check_reported, name=errno.errorcode.__getitem__)


def check_reported(number: int) -> None:
    failure, code = report_failure(OSError(number, os.strerror(number), "/data/x"))
    assert REASON.fullmatch(failure.reason)
    assert code == ExitCode.TRY_AGAIN


def reasons() -> Iterator[tuple[str, str]]:
    """Every reason that the runtime's source gives to an error, and the file where it stands."""
    package = Path(modelservice.__file__).parent
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            given = [node.args[0]] if name in ERRORS and node.args else []
            given += [keyword.value for keyword in node.keywords if name == "Failure" and keyword.arg == "reason"]
            for value in given:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value, f"{path.relative_to(package)}:{node.lineno}"


ERRORS = {"StageError", "DataError", "DataUnavailableError", "StorageError", "PassingError", "StorageUnavailableError"}


def test_every_reason_that_the_code_can_utter_passes_the_report() -> None:
    found = list(reasons())
    assert len(found) > 20
    for reason, where in found:
        assert REASON.fullmatch(reason), f"{where}: {reason!r}"
        Report(result=StageError(reason, "m").failure())
