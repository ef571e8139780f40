"""Deletes artifacts of a ModelService from object storage: the folders of the keys that are named, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import Field, ValidationError

from modelservice.artifact.stores import open_store
from modelservice.contract.artifacts import ObjectUri
from modelservice.contract.base import Contract, ObjectName, first_problem
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import StageError
from modelservice.contract.report import Report
from modelservice.contract.work_order import Key
from modelservice.stages.failures import report_failure
from modelservice.stages.reporting import write_report
from modelservice.training.progress import JsonLines


class Deletion(Contract):
    """The folders ``URI/NAMESPACE/NAME/KEY`` of some keys: no part can hold a ``/`` or climb, so no other is named."""

    uri: ObjectUri
    namespace: ObjectName
    name: ObjectName
    keys: Annotated[tuple[Key, ...], Field(min_length=1, max_length=1000)]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the artifacts lie."""
        return tuple(f"{self.uri}/{self.namespace}/{self.name}/{key}" for key in self.keys)


def run_deletion(*, uri: str, namespace: str, name: str, keys: Sequence[str], report: Path, out: TextIO) -> int:
    """Delete what is left of these artifacts, the manifest of each first; it may end anywhere and run again.

    One that cannot be deleted keeps no other from it: the first failure is reported when all were tried. A folder that
    also holds what is no part of an artifact stays as it is.

    Args:
        uri: bucket and folder that artifacts of many ModelServices lie below, as ``spec.artifacts.uri`` says.
        namespace: of the ModelService.
        name: its name.
        keys: of the artifacts.
        report: where a failure is left for the kubelet.
        out: the log.

    Returns:
        The exit code; no exception is left over.
    """
    log = JsonLines(out)
    failed: list[Exception] = []
    for address in _addresses(uri, namespace, name, keys, failed):
        try:
            open_store(address).discard()
        except Exception as error:  # the report needs whatever happened
            log.write("notDeleted", address=address, message=str(error))
            failed.append(error)
        else:
            log.write("deleted", address=address)
    if not failed:
        return ExitCode.DONE
    failure, code = report_failure(failed[0])
    log.write("failed", exitCode=code, **failure.model_dump(mode="json"))
    write_report(report, Report(result=failure), log)
    return code


def _addresses(uri: str, namespace: str, name: str, keys: Sequence[str], failed: list[Exception]) -> tuple[str, ...]:
    try:
        return Deletion(uri=uri, namespace=namespace, name=name, keys=tuple(keys)).addresses
    except ValidationError as error:
        message = f"nothing is deleted, since {first_problem(error)}: operator and runtime must be of one release"
        failed.append(StageError("OrderInvalid", message))
        return ()
