"""One stage in a pod: told by a mounted work order, reported by the termination message."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Self, TextIO

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import (
    Checkpoints,
    ForgivingCheckpoints,
    NoCheckpoints,
    Store,
    open_checkpoints,
    open_store,
)
from modelservice.contract import places
from modelservice.contract.documents import DocumentError, read_document
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import PEER_LOST, PassingError, StageError
from modelservice.contract.keys import key_of
from modelservice.contract.report import Report, Success
from modelservice.contract.work_order import CompareWork, DataWork, FetchWork, TrainWork, WorkOrder
from modelservice.modalities.base import FileOptions, Source
from modelservice.modalities.data_files import files_in_store, files_of_sides, files_on_disk, side_field
from modelservice.modalities.objects import Objects, open_objects
from modelservice.modalities.sources import read_file, read_objects
from modelservice.stages.base import Context, Produced, not_named
from modelservice.stages.data_variables import data_variables
from modelservice.stages.failures import TERMINATED, UNEXPECTED, TerminatedError, report_failure
from modelservice.stages.fetching import read_fetched
from modelservice.stages.publishing import publish
from modelservice.stages.registry import stage_named
from modelservice.stages.reporting import write_report
from modelservice.stages.stopwatch import Clock, Stopwatch
from modelservice.training.interruption import Interruption
from modelservice.training.peers import PeerLostError, rank_of
from modelservice.training.progress import JsonLines, Listener, ProgressPage, announce

_MAX_ORDER_BYTES = 2**20
_LOG_WIDTH = 100
_FOLLOWS = (PEER_LOST, TERMINATED)
"""Reasons of a process that ends since another one did, which has a better one."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a pod finds its order and data, and leaves its report."""

    order: Path = Path(places.ORDER_PATH)
    data: Path = Path(places.DATA_PATH)
    report: Path = Path(places.TERMINATION_LOG_PATH)
    progress_host: str = "0.0.0.0"  # noqa: S104  # the operator polls from outside the pod
    progress_port: int = places.PROGRESS_PORT


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What the pod says about itself by its environment.

    ``rank`` is that of this process where several train together; rank 0 writes and reports.
    """

    uid: str = "local"
    rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read what the operator and torch's agent set; it may be absent."""
        return cls(uid=environment.get(places.POD_UID_ENV) or "local", rank=rank_of(environment) or 0)


def run_stage(*, where: Places, pod: Pod, clock: Clock, now: Callable[[], float], out: TextIO) -> int:
    """Do what the order says, unless its artifact is there already, and report.

    Args:
        where: paths and port.
        pod: makes the temporary folder unique.
        clock: a monotonic clock, for durations.
        now: the time as file systems have it, for what is stale.
        out: the log.

    Returns:
        The exit code; no exception is left over.
    """
    log = JsonLines(out)
    try:
        with _ended_by_sigterm() as interruption:
            order = read_order(where.order)
            if isinstance(order.work, CompareWork):
                return _report_comparison(where, order, clock, log)
            success, produced = _run(order, where, pod, clock, now, log=log, interruption=interruption)
    except (Exception, TerminatedError) as error:  # the report needs whatever happened
        return report_error(where, error, out)
    if pod.rank:
        return ExitCode.DONE  # rank 0 says what came of it
    _print_summary(success, produced, out)
    log.write("done", stage=success.stage, digest=success.digest, seconds=success.seconds)
    write_report(where.report, Report(result=success), log)
    return ExitCode.DONE


def report_error(where: Places, error: BaseException, out: TextIO) -> int:
    """Say in log and report why a stage ended, and give the exit code."""
    log = JsonLines(out)
    failure, code = report_failure(error)
    log.write("failed", exitCode=code, **failure.model_dump(mode="json"))
    if failure.reason == UNEXPECTED:
        traceback.print_exception(error, file=out)
    if not (failure.reason in _FOLLOWS and _holds(where.report)):
        write_report(where.report, Report(result=failure), log)
    return code


def _holds(report: Path) -> bool:
    """Whether another process of the pod has said why it ended."""
    try:
        return report.stat().st_size > 0
    except OSError:
        return False


def _report_comparison(where: Places, order: WorkOrder, clock: Clock, log: JsonLines) -> int:
    """Compare two models, which leaves nothing but a report."""
    from modelservice.stages.compare import compare  # noqa: PLC0415 - no other stage compares

    work = order.work
    assert isinstance(work, CompareWork)  # noqa: S101 - the caller looked
    source = open_source(where.data, work, log)
    compared = compare(order, Context(source=source, observe=lambda _: None, watch=Stopwatch(clock)))
    log.write("done", stage=compared.stage, **compared.comparison.model_dump(mode="json", exclude_none=True))
    write_report(where.report, Report(result=compared), log)
    return ExitCode.DONE


def _run(
    order: WorkOrder,
    where: Places,
    pod: Pod,
    clock: Clock,
    now: Callable[[], float],
    *,
    log: JsonLines,
    interruption: Interruption,
) -> tuple[Success, Produced]:
    check_address(order)
    stage = stage_named(order.work.stage)
    store = open_store(order.artifact, scratch=pod.uid, now=now)
    checkpoints = _open_checkpoints(order, pod, log)
    if (found := find_artifact(store, order, log)) is not None:
        checkpoints.discard()  # the pod that stored it may have had no time to
        return found
    watch = Stopwatch(clock)
    with ExitStack() as stack:
        if rank_of(os.environ) is not None and isinstance(order.work, TrainWork):
            from modelservice.training.joining import joined  # noqa: PLC0415 - torch, which others import later

            stack.enter_context(joined(order.work.parallelism, os.environ, on_lost=partial(_end, where, log.stream)))
        if not pod.rank:
            store.prepare()
        work = order.work
        context = Context(
            source=open_source(where.data, work, log) if isinstance(work, DataWork) else not_named,
            fetch=partial(read_fetched, where.data, order, work) if isinstance(work, FetchWork) else not_named,
            observe=announce(_listeners(where, pod, log, stack), clock),
            watch=watch,
            checkpoints=checkpoints,
            interruption=interruption,
            say=lambda message: log.write("note", message=message),
        )
        produced = stage.run(order, context)
        if pod.rank:
            return produced.success(produced.digest, {}, order=order), produced
        # Another pod of this key may have been faster, on another kind of CPU: what it stored may be served already.
        if (found := find_artifact(store, order, log)) is not None:
            checkpoints.discard()
            return found
        with watch.step("store"):
            digest = publish(produced, store, checkpoints)
        if digest != produced.digest and (found := find_artifact(store, order, log)) is not None:
            return found
    return produced.success(digest, watch.seconds, order=order, stored_as=store.stored_as), produced


def _open_checkpoints(order: WorkOrder, pod: Pod, log: JsonLines) -> Checkpoints:
    """Rank 0 alone keeps them."""
    if pod.rank:
        return NoCheckpoints()
    opened = open_checkpoints(order.artifact, scratch=pod.uid)
    return ForgivingCheckpoints(opened, lambda message: log.write("checkpoint", message=message))


def _listeners(where: Places, pod: Pod, log: JsonLines, stack: ExitStack) -> list[Listener]:
    """Who hears how far it is, of rank 0."""
    if pod.rank:
        return []
    listeners: list[Listener] = [log]
    if (page := _open_page(where, log)) is not None:
        stack.callback(page.close)
        listeners.append(page)
    return listeners


def _end(where: Places, out: TextIO) -> None:
    """End the process at once: it waits for one that is lost, in the middle of a sum."""
    os._exit(report_error(where, PeerLostError(), out))


def read_order(path: Path) -> WorkOrder:
    """The mounted work order.

    Raises:
        StageError: it cannot be read, or is none that this release knows.
    """
    try:
        with path.open("rb") as file:
            return read_document("the work order", file.read(_MAX_ORDER_BYTES), WorkOrder)
    except OSError as error:
        raise StageError("OrderNotFound", f"the work order {path} cannot be read: {error.strerror}") from None
    except DocumentError as error:
        raise StageError("OrderInvalid", f"{error}: operator and runtime must be of one release") from None


def check_address(order: WorkOrder) -> None:
    """Make sure that the artifact has a place of its own: what lies there may be replaced.

    Raises:
        StageError: the address is not absolute, climbs, or does not end with the order's key.
    """
    above = order.artifact.split("/")[:-1]
    absolute = "://" in order.artifact or order.artifact.startswith("/")
    if absolute and key_of(order.artifact) == order.key and not {".", ".."} & set(above):
        return
    message = (
        f"the work order wants its artifact at {order.artifact[:200]!r}: an absolute place that ends with {order.key}"
    )
    raise StageError("OrderInvalid", f"{message} is expected; operator and runtime must be of one release")


def open_source(folder: Path, work: DataWork, log: JsonLines) -> Callable[[], Source]:
    """What reads the data, mounted or in a store, once its artifact's place is known to be good.

    Raises:
        DataError: what the environment says of the store cannot be.
    """
    if work.data.uri is None:
        return partial(read_source, folder, work, log)
    with data_variables(os.environ):
        objects = open_objects(work.data.uri)
        given = {side: open_objects(uri, field=side_field(side)) for side, uri in work.data.split.given_files.items()}
    return partial(read_stored, objects, work, log, given)


def read_stored(objects: Objects, work: DataWork, log: JsonLines, given: Mapping[str, Objects]) -> Source:
    """The data in a store; ``given`` are the objects of single sides, by the name of the side.

    Raises:
        DataError: there is none, it may not be read, or not as data of its format.
        DataUnavailableError: the store fails.
    """
    uri = objects.address(objects.path)
    source = read_objects(
        objects,
        format=work.data.format_of(uri),
        options=FileOptions.of(work.data),
        beside=files_of_sides(given, lambda objects, _: files_in_store(objects)),
    )
    log.write("read", uri=uri, sha256=source.sha256)
    return source


def read_source(folder: Path, work: DataWork, log: JsonLines) -> Source:
    """The mounted data, if it is what the key stands for.

    Raises:
        StageError: the order names no file.
        DataError: it cannot be read as data of its format.
        PassingError: its content is not what was planned with; the next attempt will be planned with what is there.
        OSError: the file system fails.
    """
    if work.data_file is None:
        raise StageError("OrderInvalid", "the work order names no file: operator and runtime must be of one release")
    claim = work.data.persistent_volume_claim
    field = "spec.data.persistentVolumeClaim.path" if claim is not None else "spec.data.configMap"
    source = read_file(
        folder / work.data_file,
        format=work.data.format_of(work.data_file),
        options=FileOptions.of(work.data),
        field=field,
        beside=files_of_sides(
            work.data.split.given_files, lambda name, side: files_on_disk(folder / name, field=side_field(side))
        ),
    )
    log.write("read", file=work.data_file, sha256=source.sha256)
    if work.data_sha256 is not None and source.sha256 != work.data_sha256:
        message = f"the data changed after this Job was planned: found {source.sha256}, planned {work.data_sha256}"
        raise PassingError("DataChanged", message, field="spec.data")
    return source


def find_artifact(store: Store, order: WorkOrder, log: JsonLines) -> tuple[Success, Produced] | None:
    """What an earlier pod stored, if it verifies; a damaged one is removed, since only this key's pods write here."""
    try:
        if (artifact := store.load()) is None:
            return None
        found = _of_order(artifact, order)
    except ArtifactError as error:
        log.write("replaced", key=order.key, message=str(error))
        store.discard()
        return None
    log.write("found", key=order.key, digest=artifact.digest)
    return found.success(artifact.digest, {}, order=order, stored_as=store.stored_as), found


def _of_order(artifact: Artifact, order: WorkOrder) -> Produced:
    """What was made here has the key of the order; what was fetched has that of elsewhere, and its digest says it."""
    if isinstance(order.work, FetchWork) and order.work.source is not None:
        if artifact.digest != order.work.source.digest:
            raise ArtifactError(f"the artifact has digest {artifact.digest}, not {order.work.source.digest}")
    elif artifact.manifest.key != order.key:
        raise ArtifactError(f"the artifact has key {artifact.manifest.key}, not {order.key}")
    return Produced.of_artifact(artifact)


def _open_page(where: Places, log: JsonLines) -> ProgressPage | None:
    """The page is a comfort: a port that is taken is no reason not to work."""
    try:
        return ProgressPage(host=where.progress_host, port=where.progress_port)
    except OSError as error:
        log.write("noProgressPage", message=str(error))
        return None


def _print_summary(success: Success, produced: Produced, out: TextIO) -> None:
    from rich.console import Console  # noqa: PLC0415 - the first step of a training does not wait for it

    from modelservice.inference.summary import print_summary  # noqa: PLC0415

    console = Console(file=out, width=_LOG_WIDTH)
    print_summary(console, manifest=produced.manifest, digest=success.digest, metrics=produced.measured)


@contextmanager
def _ended_by_sigterm() -> Iterator[Interruption]:
    """SIGTERM ends the stage by an exception, so that temporary files are removed on the way out."""
    interruption = Interruption(TerminatedError)

    def terminate(_number: int, _frame: FrameType | None) -> None:
        interruption.ask()

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, before)
