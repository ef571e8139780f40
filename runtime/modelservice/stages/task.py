"""Task mode: one training in a pod, told by a mounted task, reported by the termination message."""

import hashlib
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self, TextIO

import torch
from pydantic import ValidationError
from rich.console import Console

from modelservice.artifact import store
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact, load
from modelservice.contract import places
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.manifest import METRICS_FILE, Manifest
from modelservice.contract.report import Report, Success
from modelservice.contract.task import Task
from modelservice.data.csv_file import parse_csv, read_bytes
from modelservice.data.table import Table
from modelservice.training.failures import TaskError, TerminatedError, explain
from modelservice.training.metrics import MetricsDocument
from modelservice.training.progress import JsonLines, Listener, ProgressPage, announce
from modelservice.training.run import Pipeline, store_trained, summarize, train_table
from modelservice.training.stopwatch import Clock, Stopwatch
from modelservice.training.summary import print_summary

STALE_SECONDS = 300.0
"""A temporary folder that nobody wrote to for so long belongs to a pod that is gone: writing takes seconds."""

_MAX_TASK_BYTES = 2**20
_TEMPORARY = ".tmp-"
_LOG_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a pod finds its task and data, and leaves its artifact and report."""

    task: Path
    data: Path = Path(places.DATA_PATH)
    artifacts: Path = Path(places.ARTIFACTS_PATH)
    report: Path = Path(places.TERMINATION_LOG_PATH)
    progress_host: str = "0.0.0.0"  # noqa: S104  # the operator polls from outside the pod
    progress_port: int = places.PROGRESS_PORT


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What the pod says about itself by its environment."""

    uid: str = "local"
    threads: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the two variables that the operator sets; both may be absent."""
        uid = environment.get(places.POD_UID_ENV) or "local"
        return cls(uid=uid, threads=places.cpu_limit(environment))


def run_task(*, where: Places, pod: Pod, clock: Clock, now: Callable[[], float], out: TextIO) -> int:
    """Do what the task says, unless its artifact is there already, and report.

    Args:
        where: paths and port.
        pod: makes the temporary folder unique, and gives the number of threads.
        clock: a monotonic clock, for durations.
        now: the time as file systems have it, for what is stale.
        out: the log.

    Returns:
        The exit code; no exception is left over.
    """
    log = JsonLines(out)
    try:
        with _sigterm_raises():
            success, manifest, metrics = _run(where, pod, clock, now, log)
    except (Exception, TerminatedError) as error:  # the report needs whatever happened
        failure, code = explain(error)
        log.write("failed", exitCode=code, **failure.model_dump(mode="json"))
        if failure.reason == "UnexpectedError":
            traceback.print_exception(error, file=out)
        _write_report(where.report, Report(result=failure), log)
        return code
    print_summary(Console(file=out, width=_LOG_WIDTH), manifest=manifest, digest=success.digest, metrics=metrics)
    log.write("done", digest=success.digest, seconds=success.seconds)
    _write_report(where.report, Report(result=success), log)
    return ExitCode.DONE


def _run(
    where: Places, pod: Pod, clock: Clock, now: Callable[[], float], log: JsonLines
) -> tuple[Success, Manifest, MetricsDocument]:
    task = read_task(where.task)
    final = where.artifacts / task.key
    remove_stale(where.artifacts, own=pod.uid, now=now())
    if (found := find_artifact(final, task.key, log)) is not None:
        log.write("found", key=task.key, digest=found[0].digest)
        return found
    if pod.threads is not None:
        torch.set_num_threads(pod.threads)
    watch = Stopwatch(clock)
    scratch = where.artifacts / f"{_TEMPORARY}{pod.uid}"
    store.check_writable(scratch)
    with ExitStack() as stack:
        listeners: list[Listener] = [log]
        if (page := _open_page(where, log)) is not None:
            stack.callback(page.close)
            listeners.append(page)
        with watch.step("read"):
            table = read_table(where.data / task.data_file, task)
        log.write("read", rows=table.rows, columns=len(table.columns), sha256=table.sha256)
        pipeline = Pipeline(name=task.name, key=task.key, data=task.data, model=task.model, training=task.training)
        trained = train_table(table, pipeline, observe=announce(listeners, clock), watch=watch)
        # Another pod of this key may have been faster, on another kind of CPU: what it stored may be served already.
        if (found := find_artifact(final, task.key, log)) is not None:
            log.write("found", key=task.key, digest=found[0].digest)
            return found
        success = store_trained(trained, scratch=scratch, final=final, watch=watch)
    return success, trained.manifest, trained.metrics


def read_task(path: Path) -> Task:
    """The mounted task.

    Raises:
        TaskError: it cannot be read, or is no task that this release knows.
    """
    try:
        with path.open("rb") as file:
            return Task.model_validate_json(file.read(_MAX_TASK_BYTES))
    except OSError as error:
        message = f"the task {path} cannot be read: {error.strerror}"
        raise TaskError("TaskNotFound", message, code=ExitCode.TASK_INVALID) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = f"the task is not valid: {place}: {first['msg']}: operator and runtime must be of one release"
        raise TaskError("TaskInvalid", message, code=ExitCode.TASK_INVALID) from None


def read_table(path: Path, task: Task) -> Table:
    """The mounted table, if it is the one that the key stands for.

    Raises:
        DataError: it cannot be read as a table.
        TaskError: its content is not what was planned with; the next attempt will be planned with what is there.
    """
    source = task.data.persistent_volume_claim
    field = "spec.data.persistentVolumeClaim.path" if source is not None else "spec.data.configMap"
    content = read_bytes(path, field=field)
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if task.data_sha256 is not None and found != task.data_sha256:
        message = f"the data changed after this training was planned: found {found}, planned {task.data_sha256}"
        raise TaskError("DataChanged", message, code=ExitCode.TRY_AGAIN, field="spec.data")
    return parse_csv(content, field=field)


def find_artifact(folder: Path, key: str, log: JsonLines) -> tuple[Success, Manifest, MetricsDocument] | None:
    """What an earlier pod stored, if it verifies; a damaged one is removed, since only this key's pods write here."""
    if not folder.exists() and not folder.is_symlink():
        return None
    try:
        artifact = _load_of_key(folder, key)
        metrics = artifact.document(METRICS_FILE, MetricsDocument)
        success = summarize(artifact.digest, artifact.manifest, artifact.signature, metrics, {})
    except ArtifactError as error:
        log.write("replaced", key=key, message=str(error))
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink()
        else:
            store.discard(folder)
        return None
    return success, artifact.manifest, metrics


def _load_of_key(folder: Path, key: str) -> Artifact:
    artifact = load(folder)
    if artifact.manifest.key != key:
        raise ArtifactError(f"the artifact in {folder} has key {artifact.manifest.key}")
    return artifact


def remove_stale(artifacts: Path, *, own: str, now: float) -> None:
    """Remove temporary folders of this pod's earlier containers, and of pods that are gone."""
    for folder in sorted(artifacts.glob(f"{_TEMPORARY}*")):
        if folder.name == f"{_TEMPORARY}{own}" or now - folder.lstat().st_mtime > STALE_SECONDS:
            store.discard(folder)


def _open_page(where: Places, log: JsonLines) -> ProgressPage | None:
    """The page is a comfort: a port that is taken is no reason not to train."""
    try:
        return ProgressPage(host=where.progress_host, port=where.progress_port)
    except OSError as error:
        log.write("noProgressPage", message=str(error))
        return None


def _write_report(path: Path, report: Report, log: JsonLines) -> None:
    try:
        path.write_text(report.to_message(), encoding="utf-8")
    except OSError as error:
        log.write("noReport", path=str(path), message=str(error))


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM ends the training by an exception, so that temporary files are removed on the way out."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
