"""Task mode, as a pod runs it: a task and data in folders, an artifact and a report out."""

import contextlib
import errno
import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.runtime.training.pipelines import IRIS, pipeline, still_clock

from modelservice.artifact import store
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.keys import content_digest
from modelservice.contract.places import CPU_LIMIT_ENV, POD_UID_ENV
from modelservice.contract.progress import Progress
from modelservice.contract.report import Failure, Report, Success
from modelservice.contract.task import Task
from modelservice.predictor import Predictor
from modelservice.training import task as task_module
from modelservice.training.failures import UNEXPECTED
from modelservice.training.run import train_table
from modelservice.training.task import STALE_SECONDS, Places, Pod, run_task

CONTENT = IRIS.read_bytes()
DIGEST = content_digest(CONTENT)


class World:
    """The folders of a pod."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.artifacts = root / "artifacts"
        self.data = root / "data"
        self.report_path = root / "termination-log"
        self.log = ""
        for folder in (self.artifacts, self.data):
            folder.mkdir()
        self.give(CONTENT)
        self.tell()

    def give(self, content: Any) -> None:
        (self.data / "iris.csv").write_bytes(content)

    def tell(self, *, settings: Any = None, sha256: Any = DIGEST, **changes: Any) -> None:
        settings = settings or pipeline()
        task = Task(
            name="iris",
            namespace="default",
            key="abc",
            data_file="iris.csv",
            data_sha256=sha256,
            data=settings.data,
            model=settings.model,
            training=settings.training,
        ).model_copy(update=changes)
        (self.root / "task.json").write_text(task.model_dump_json())

    @property
    def places(self) -> Places:
        return Places(
            task=self.root / "task.json",
            data=self.data,
            artifacts=self.artifacts,
            report=self.report_path,
            progress_host="127.0.0.1",
            progress_port=0,
        )

    def run(self, *, uid: str = "pod-1", now: float = 0.0) -> tuple[int, Any]:
        out = io.StringIO()
        code = run_task(where=self.places, pod=Pod(uid=uid), clock=still_clock, now=lambda: now, out=out)
        self.log = out.getvalue()
        return code, Report.model_validate_json(self.report_path.read_text()).result

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.splitlines() if line.startswith("{")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_task_becomes_an_artifact_and_a_report(world: World) -> None:
    code, result = world.run()
    assert code == ExitCode.DONE
    assert isinstance(result, Success)
    assert (result.key, result.data.rows, result.data.sha256) == ("abc", 150, DIGEST)
    assert result.signature is not None
    predictor = Predictor.load(world.artifacts / "abc", digest=result.digest)
    assert predictor.manifest.key == "abc"
    assert [entry.name for entry in world.artifacts.iterdir()] == ["abc"]
    assert "predicted class (across)" in world.log
    assert {"read", "progress", "done"} <= set(world.events())


def test_other_users_can_read_the_artifact_and_nobody_can_change_it(world: World) -> None:
    world.run()
    folder = world.artifacts / "abc"
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}


def test_gzip_counts_as_what_it_inflates_to(world: World) -> None:
    world.give(gzip.compress(CONTENT))
    assert world.run()[0] == ExitCode.DONE


def test_an_artifact_that_is_there_is_reported_without_training(world: World) -> None:
    _, first = world.run()
    world.give(b"gone")
    code, second = world.run()
    assert code == ExitCode.DONE
    assert (second.digest, second.metrics, second.signature) == (first.digest, first.metrics, first.signature)
    assert "progress" not in world.events()


def test_an_artifact_that_another_pod_stored_meanwhile_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.tell(settings=pipeline(seed=1))
    _, first = world.run(uid="pod-1")
    (world.artifacts / "abc").rename(world.root / "meanwhile")
    world.tell()

    def train(*args: Any, **kwargs: Any) -> Any:
        trained = train_table(*args, **kwargs)
        (world.root / "meanwhile").rename(world.artifacts / "abc")
        return trained

    monkeypatch.setattr(task_module, "train_table", train)
    code, second = world.run(uid="pod-2")
    assert (code, second.digest) == (ExitCode.DONE, first.digest)
    assert [entry.name for entry in world.artifacts.iterdir()] == ["abc"]


def test_a_volume_that_cannot_be_written_is_told_before_the_training(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Any, **_kwargs: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(task_module, "train_table", lambda *_args, **_kwargs: pytest.fail("trained all the same"))
    code, result = world.run()
    assert (code, result.reason) == (ExitCode.TRY_AGAIN, "StorageNotWritable")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "extra").touch(),
        lambda folder: (folder.rename(folder.with_name("elsewhere")), folder.symlink_to("elsewhere")),
    ],
)
def test_a_damaged_artifact_is_made_again(world: World, damage: Callable[..., Any]) -> None:
    _, first = world.run()
    (world.artifacts / "abc").chmod(0o755)
    damage(world.artifacts / "abc")
    if (world.artifacts / "abc").is_symlink():
        (world.artifacts / "elsewhere" / "extra").touch()
    code, second = world.run()
    assert (code, second.digest) == (ExitCode.DONE, first.digest)
    assert "replaced" in world.events()


def test_an_artifact_of_another_key_is_not_taken(world: World) -> None:
    world.run()
    (world.artifacts / "abc").rename(world.artifacts / "xyz")
    world.tell(key="xyz")
    code, result = world.run()
    assert (code, result.key) == (ExitCode.DONE, "xyz")
    assert "replaced" in world.events()


def test_data_that_changed_since_the_plan_is_tried_again(world: World) -> None:
    world.give(CONTENT + b"5,3,1,0.2,setosa\n")
    code, result = world.run()
    assert (code, result.reason) == (ExitCode.TRY_AGAIN, "DataChanged")
    assert list(world.artifacts.iterdir()) == []


def test_a_claim_has_no_planned_digest(world: World) -> None:
    world.tell(sha256=None)
    assert world.run()[0] == ExitCode.DONE


@pytest.mark.parametrize(
    ("content", "reason", "field"),
    [
        (b"", "EmptyTable", "spec.data.configMap"),
        (b"a,species\n1,x\nz,x\n2,x\n3,y\n4,y\n", "NotANumber", "spec.data"),
        (b"a,kind\n1,x\n", "TargetNotFound", "spec.data.target"),
    ],
)
def test_wrong_data_waits_for_a_change(world: World, content: Any, reason: str, field: Any) -> None:
    world.give(content)
    world.tell(sha256=content_digest(content))
    code, result = world.run()
    assert (code, result.reason, result.field) == (ExitCode.DATA_INVALID, reason, field)
    assert list(world.artifacts.iterdir()) == []


def test_a_file_that_is_not_there_is_wrong_data(world: World) -> None:
    (world.data / "iris.csv").unlink()
    code, result = world.run()
    assert (code, result.reason) == (ExitCode.DATA_INVALID, "DataNotFound")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "TaskInvalid"), ('{"schemaVersion": 2}', "TaskInvalid"), (None, "TaskNotFound")],
)
def test_a_task_that_is_none(world: World, text: Any, reason: str) -> None:
    (world.root / "task.json").unlink()
    if text is not None:
        (world.root / "task.json").write_text(text)
    code, result = world.run()
    assert (code, result.reason) == (ExitCode.TASK_INVALID, reason)


@pytest.mark.parametrize(
    ("number", "reason", "field"),
    [
        (errno.ENOSPC, "StorageFull", "spec.artifacts.volumeClaim.size"),
        (errno.EDQUOT, "StorageFull", "spec.artifacts.volumeClaim.size"),
        (errno.EACCES, "StorageNotWritable", "spec.artifacts.volumeClaim"),
        (errno.EROFS, "StorageNotWritable", "spec.artifacts.volumeClaim"),
        (errno.EIO, "StorageFailed", None),
    ],
)
def test_a_disk_that_refuses_is_tried_again_and_named(
    world: World, monkeypatch: pytest.MonkeyPatch, number: Any, reason: str, field: Any
) -> None:
    def refuse(_path: Any, _content: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store, "_write_file", refuse)
    code, result = world.run()
    assert (code, result.reason, result.field) == (ExitCode.TRY_AGAIN, reason, field)
    assert list(world.artifacts.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (ZeroDivisionError("division by zero"), UNEXPECTED, "UnexpectedError"),
        (MemoryError(), ExitCode.TASK_INVALID, "OutOfMemory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ExitCode.TASK_INVALID, "OutOfMemory"),
    ],
)
def test_a_fault_is_reported_without_a_traceback_which_is_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Any, code: int, reason: str
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(task_module, "train_table", fail)
    found, result = world.run()
    assert (found, result.reason) == (code, reason)
    assert "Traceback" not in result.message
    assert ("Traceback" in world.log) == (reason == "UnexpectedError")
    if reason == "UnexpectedError":
        assert result.message == "ZeroDivisionError: division by zero"


def test_temporary_folders_of_the_pod_and_of_dead_pods_are_removed(world: World) -> None:
    now = 1_000_000.0
    for name, age in (("pod-1", 0), ("dead", STALE_SECONDS + 1), ("writing", STALE_SECONDS - 1)):
        folder = world.artifacts / f".tmp-{name}"
        folder.mkdir()
        (folder / "weights.safetensors").touch()
        os.utime(folder, (now - age, now - age))
    assert world.run(now=now)[0] == ExitCode.DONE
    assert sorted(entry.name for entry in world.artifacts.iterdir()) == [".tmp-writing", "abc"]


def test_a_port_that_is_taken_does_not_stop_the_training(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        places = Places(**{**vars(world.places), "progress_port": taken.getsockname()[1]})
        monkeypatch.setattr(World, "places", places)
        assert world.run()[0] == ExitCode.DONE
    assert "noProgressPage" in world.events()


def test_a_report_that_cannot_be_written_does_not_fail_the_training(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "places", Places(**{**vars(world.places), "report": world.root}))
    out = io.StringIO()
    assert run_task(where=world.places, pod=Pod(), clock=still_clock, now=still_clock, out=out) == ExitCode.DONE
    assert "noReport" in out.getvalue()


@pytest.mark.parametrize(
    ("environment", "pod"),
    [
        ({}, Pod(uid="local", threads=None)),
        ({POD_UID_ENV: "u", CPU_LIMIT_ENV: "3"}, Pod(uid="u", threads=3)),
        ({POD_UID_ENV: "", CPU_LIMIT_ENV: "0"}, Pod(uid="local", threads=None)),
        ({CPU_LIMIT_ENV: "250m"}, Pod(uid="local", threads=None)),
    ],
)
def test_what_the_pod_says_about_itself(environment: Any, pod: Any) -> None:
    assert Pod.from_environment(environment) == pod


def test_sigterm_ends_a_running_training_cleanly(world: World) -> None:
    """A process of its own, which is polled like a pod and then told to go."""
    world.tell(settings=pipeline(epochs=100_000))
    port = _free_port()
    code = (
        "import sys, time, pathlib; from modelservice.training.task import Places, Pod, run_task;"
        f"root = pathlib.Path({str(world.root)!r});"
        "places = Places(task=root / 'task.json', data=root / 'data', artifacts=root / 'artifacts',"
        f" report=root / 'termination-log', progress_host='127.0.0.1', progress_port={port});"
        "sys.exit(run_task(where=places, pod=Pod(), clock=time.perf_counter, now=time.time, out=sys.stdout))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for_epochs(port, process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == ExitCode.TERMINATED
        finally:
            process.kill()
    result = Report.model_validate_json(world.report_path.read_text()).result
    assert isinstance(result, Failure)
    assert result.reason == "Terminated"
    assert list(world.artifacts.iterdir()) == []


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for_epochs(port: Any, process: Any) -> None:
    deadline = time.monotonic() + 120
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if Progress.model_validate_json(client.get("/progress").content).epoch > 2:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"the training ended with {process.wait(timeout=0.1)}")
    pytest.fail("the training did not begin")
