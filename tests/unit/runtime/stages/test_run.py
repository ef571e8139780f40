"""A stage as a pod runs it: an order and data in folders, an artifact and a report out."""

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
from typing import Any, Literal

import httpx
import obstore
import pytest
from obstore.store import MemoryStore
from tests.support.registry_server import registry_server
from tests.unit.runtime.stages.pipelines import IRIS, compress_work, order_of, produce, still_clock, train_work

from modelservice.artifact import stores
from modelservice.artifact.stores import StoreKind, StoreOptions, load_artifact
from modelservice.artifact.stores import folder as folder_module
from modelservice.artifact.stores.folder import STALE_SECONDS
from modelservice.artifact.stores.object_checkpoints import ObjectCheckpoints
from modelservice.artifact.stores.objects import ObjectArtifactStore
from modelservice.contract.data import Data
from modelservice.contract.digests import joined
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import About, Failure, Retry, StageError
from modelservice.contract.keys import content_digest
from modelservice.contract.places import POD_UID_ENV
from modelservice.contract.progress import Progress
from modelservice.contract.report import Report, Success
from modelservice.contract.work_order import DataWork, WorkOrder
from modelservice.inference.predictor import Predictor
from modelservice.stages import registry
from modelservice.stages import run as run_module
from modelservice.stages.base import Context, Produced
from modelservice.stages.run import Places, Pod, check_address, run_stage
from modelservice.stages.train import TRAIN, TrainStage

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

    def tell(self, work: Any = None, *, key: str = "abc", artifact: Any = None, sha256: Any = DIGEST) -> None:
        work = (work or train_work()).model_copy(update={"data_sha256": sha256})
        order = order_of(work, key=key, artifact=artifact or self.artifacts / key)
        (self.root / "order.json").write_text(order.model_dump_json())

    @property
    def places(self) -> Places:
        return Places(
            order=self.root / "order.json",
            data=self.data,
            report=self.report_path,
            progress_host="127.0.0.1",
            progress_port=0,
        )

    def run(self, *, uid: str = "pod-1", now: float = 0.0) -> tuple[int, Any]:
        out = io.StringIO()
        code = run_stage(where=self.places, pod=Pod(uid=uid), clock=still_clock, now=lambda: now, out=out)
        self.log = out.getvalue()
        return code, Report.model_validate_json(self.report_path.read_text()).result

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.splitlines() if line.startswith("{")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_order_becomes_an_artifact_and_a_report(world: World) -> None:
    code, result = world.run()
    assert code == ExitCode.DONE
    assert isinstance(result, Success)
    assert result.data is not None
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
    assert second == first.model_copy(update={"seconds": {}})
    assert "progress" not in world.events()


def test_an_artifact_that_another_pod_stored_meanwhile_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.tell(train_work(seed=1))
    _, first = world.run(uid="pod-1")
    (world.artifacts / "abc").rename(world.root / "meanwhile")
    world.tell()
    produced = produce(train_work())

    def train(_self: Any, order: WorkOrder, context: Context) -> Produced:
        (world.root / "meanwhile").rename(world.artifacts / "abc")
        return produced

    monkeypatch.setattr(TrainStage, "run", train)
    code, second = world.run(uid="pod-2")
    assert (code, second.digest) == (ExitCode.DONE, first.digest)
    assert [entry.name for entry in world.artifacts.iterdir()] == ["abc"]


def test_a_volume_that_cannot_be_written_is_told_before_the_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Any, **_kwargs: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(TrainStage, "run", lambda *_: pytest.fail("trained all the same"))
    code, result = world.run()
    assert (code, result.reason) == (ExitCode.TRY_AGAIN, "StorageNotWritable")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: ((folder / "model.onnx").chmod(0o644), (folder / "model.onnx").write_bytes(b"damaged")),
    ],
)
def test_a_damaged_artifact_is_made_again(world: World, damage: Callable[..., Any]) -> None:
    _, first = world.run()
    (world.artifacts / "abc").chmod(0o755)
    damage(world.artifacts / "abc")
    code, second = world.run()
    assert (code, second.digest) == (ExitCode.DONE, first.digest)
    assert "replaced" in world.events()


@pytest.mark.parametrize(
    "foreign",
    [
        lambda folder: (folder / "table.csv").touch(),
        lambda folder: (folder.rename(folder.with_name("elsewhere")), folder.symlink_to("elsewhere")),
    ],
)
def test_what_is_no_part_of_an_artifact_is_left_alone(world: World, foreign: Callable[..., Any]) -> None:
    world.run()
    (world.artifacts / "abc").chmod(0o755)
    foreign(world.artifacts / "abc")
    before = sorted(world.artifacts.rglob("*"))
    code, result = world.run()
    assert (code, result.about) == (ExitCode.ORDER_INVALID, About.STORAGE)
    assert "move it first" in result.message
    assert sorted(world.artifacts.rglob("*")) == before


@pytest.mark.parametrize("address", ["../..", "../abc", "/abc/..", "/a/../abc", "abc", "/etc", "/", "", "s3://b/other"])
def test_an_artifact_has_a_place_of_its_own(address: str) -> None:
    order = order_of(train_work(), key="abc", artifact=address)
    with pytest.raises(StageError, match="an absolute place that ends with abc is expected"):
        check_address(order)


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


def test_rows_of_another_mounted_file_test(world: World) -> None:
    header, *rows = CONTENT.decode().splitlines()
    parts = [("\n".join([header, *some]) + "\n").encode() for some in (rows[::2], rows[1::2])]
    world.give(parts[0])
    (world.data / "test.csv").write_bytes(parts[1])
    given = {"configMap": {"name": "iris", "key": "iris.csv"}, "target": "species"}
    data = Data.model_validate({**given, "split": {"files": {"test": "test.csv"}}})
    digest = joined([content_digest(part) for part in parts])
    world.tell(train_work().model_copy(update={"data": data}), sha256=digest)
    code, result = world.run()
    assert code == ExitCode.DONE
    assert result.evaluation.rows == 75
    assert result.data.sha256 == digest


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
    [
        ("{", "OrderInvalid"),
        ('{"kind": "WorkOrder", "schemaVersion": "2.0"}', "OrderInvalid"),
        ('{"kind": "Report", "schemaVersion": "1.0"}', "OrderInvalid"),
        (None, "OrderNotFound"),
    ],
)
def test_an_order_that_is_none(world: World, text: Any, reason: str) -> None:
    (world.root / "order.json").unlink()
    if text is not None:
        (world.root / "order.json").write_text(text)
    code, result = world.run()
    assert (code, result.reason, result.about) == (ExitCode.ORDER_INVALID, reason, About.STAGE)


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

    monkeypatch.setattr(folder_module, "_write_file", refuse)
    code, result = world.run()
    assert (code, result.reason, result.field) == (ExitCode.TRY_AGAIN, reason, field)
    assert (result.about, result.retry) == (About.STORAGE, Retry.SOON)
    assert list(world.artifacts.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (ZeroDivisionError("division by zero"), ExitCode.UNEXPECTED, "UnexpectedError"),
        (MemoryError(), ExitCode.ORDER_INVALID, "OutOfMemory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ExitCode.ORDER_INVALID, "OutOfMemory"),
    ],
)
def test_a_fault_is_reported_without_a_traceback_which_is_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Any, code: int, reason: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(TrainStage, "run", fail)
    found, result = world.run()
    assert (found, result.reason) == (code, reason)
    assert "Traceback" not in result.message
    assert ("Traceback" in world.log) == (reason == "UnexpectedError")
    if reason == "UnexpectedError":
        assert result.message == "ZeroDivisionError: division by zero"


def test_temporary_folders_of_the_pod_and_of_dead_pods_are_removed(world: World) -> None:
    now = 1_000_000.0
    for name, age in (("pod-1", 0), ("dead", STALE_SECONDS + 1), ("writing", STALE_SECONDS - 1)):
        folder = world.artifacts / f".abc.tmp-{name}"
        folder.mkdir()
        (folder / "weights.safetensors").touch()
        os.utime(folder, (now - age, now - age))
    assert world.run(now=now)[0] == ExitCode.DONE
    assert sorted(entry.name for entry in world.artifacts.iterdir()) == [".abc.tmp-writing", "abc"]


def test_a_port_that_is_taken_does_not_stop_the_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        places = Places(**{**vars(world.places), "progress_port": taken.getsockname()[1]})
        monkeypatch.setattr(World, "places", places)
        assert world.run()[0] == ExitCode.DONE
    assert "noProgressPage" in world.events()


def test_a_report_that_cannot_be_written_does_not_fail_the_stage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "places", Places(**{**vars(world.places), "report": world.root}))
    out = io.StringIO()
    assert run_stage(where=world.places, pod=Pod(), clock=still_clock, now=still_clock, out=out) == ExitCode.DONE
    assert "noReport" in out.getvalue()


@pytest.mark.parametrize(
    ("environment", "uid"), [({}, "local"), ({POD_UID_ENV: "u"}, "u"), ({POD_UID_ENV: ""}, "local")]
)
def test_what_the_pod_says_about_itself(environment: Any, uid: str) -> None:
    assert Pod.from_environment(environment) == Pod(uid=uid)


def test_a_trained_model_is_compressed_by_the_next_order(world: World) -> None:
    work = train_work(epochs=20, hidden=(64, 64))
    world.tell(work)
    _, trained = world.run()
    world.tell(compress_work(work, world.artifacts / "abc", trained.digest), key="child")
    code, result = world.run()
    assert code == ExitCode.DONE
    assert (result.stage, result.key, result.compression.applied) == ("compress", "child", True)
    artifact = load_artifact(world.artifacts / "child", digest=result.digest)
    assert artifact.manifest.parent is not None
    assert artifact.manifest.parent.digest == trained.digest
    assert result.compression.message in " ".join(world.log.split())


def checkpoints_in(bucket: MemoryStore) -> Callable[[str, StoreOptions], ObjectCheckpoints]:
    return lambda address, _: ObjectCheckpoints(bucket, address=address)


def test_a_bucket_takes_the_place_of_a_volume(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = MemoryStore()

    def open_bucket(address: str, options: StoreOptions) -> ObjectArtifactStore:
        return ObjectArtifactStore(bucket, address=address, scratch=options.scratch)

    monkeypatch.setattr(stores, "STORES", (StoreKind(("s3",), open_bucket, checkpoints_in(bucket)),))
    world.tell(artifact="s3://models/default/iris/abc")
    code, first = world.run()
    assert code == ExitCode.DONE
    assert Predictor.load("s3://models/default/iris/abc", digest=first.digest).labels
    world.give(b"gone")
    assert world.run()[1].digest == first.digest
    assert "found" in world.events()
    bucket.put("manifest.json", b"{}")
    world.give(CONTENT)
    assert world.run()[1].digest == first.digest
    assert "replaced" in world.events()


def test_a_registry_takes_the_place_of_a_volume_and_is_told_which_image(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry_server(monkeypatch) as server:
        address = f"oci+http://{server.host}/models/default/iris:abc"
        world.tell(artifact=address)
        code, first = world.run()
        assert (code, first.stored_as) == (ExitCode.DONE, server.tags["models/default/iris:abc"])
        assert Predictor.load(f"{address}@{first.stored_as}", digest=first.digest).labels
        world.give(b"gone")
        again = world.run()[1]
        assert (again.digest, again.stored_as) == (first.digest, first.stored_as)
        assert "found" in world.events()
        server.blobs.clear()
        world.give(CONTENT)
        assert world.run()[1].stored_as == first.stored_as
        assert "replaced" in world.events()


def test_the_second_of_two_pods_reports_what_the_first_one_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find nothing; the manifest of the first stands when the second one puts its own."""
    bucket = MemoryStore()
    first = produce(train_work(seed=1))

    class Racing(ObjectArtifactStore):
        def publish(self, manifest: Any, files: Any, *, raw: bytes | None = None) -> str:
            if not list(obstore.list(bucket)):
                super().publish(first.manifest, first.files)
            return super().publish(manifest, files)

    def open_racing(address: str, options: StoreOptions) -> Racing:
        return Racing(bucket, address=address, scratch=options.scratch)

    monkeypatch.setattr(stores, "STORES", (StoreKind(("s3",), open_racing, checkpoints_in(bucket)),))
    world.tell(artifact="s3://models/abc")
    code, result = world.run()
    assert (code, result.digest) == (ExitCode.DONE, first.digest)
    assert result.evaluation == first.metrics.test


class Interrupted:
    """A stage that goes on from what it kept, and is killed before the third step."""

    name = "train"

    def run(self, order: WorkOrder, context: Context) -> Produced:
        done = len(context.checkpoints.read("steps", limit=100) or b"")
        if done < 3:
            context.checkpoints.write("steps", b"x" * (done + 1))
            raise StageError("Killed", f"after {done} steps")
        return TRAIN.run(order, context)


INTERRUPTED = Interrupted()


@pytest.mark.parametrize("store", ["folder", "bucket"])
def test_a_stage_goes_on_from_what_it_kept_and_nothing_of_that_stays(
    world: World, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.setattr(registry, "STAGES", (registry.Place("train", f"{__name__}:INTERRUPTED"),))
    bucket = MemoryStore()
    if store == "bucket":

        def open_bucket(address: str, options: StoreOptions) -> ObjectArtifactStore:
            return ObjectArtifactStore(bucket, address=address, scratch=options.scratch)

        monkeypatch.setattr(stores, "STORES", (StoreKind(("s3",), open_bucket, checkpoints_in(bucket)),))
        world.tell(artifact="s3://models/default/iris/abc")
    said = [world.run()[1].message for _ in range(3)]
    assert said == ["after 0 steps", "after 1 steps", "after 2 steps"]
    assert world.run()[0] == ExitCode.DONE
    assert [entry.name for entry in world.artifacts.iterdir()] == ([] if store == "bucket" else ["abc"])
    assert not list(bucket.list("checkpoints/"))


def test_what_a_pod_kept_goes_when_the_next_one_finds_the_artifact(world: World) -> None:
    """It was killed between publishing and cleaning up."""
    world.run()
    stores.open_checkpoints(world.artifacts / "abc").write("train", b"so far")
    assert world.run()[0] == ExitCode.DONE
    assert [entry.name for entry in world.artifacts.iterdir()] == ["abc"]


class CopyWork(DataWork):
    stage: Literal["copy"] = "copy"  # type: ignore[assignment, unused-ignore]


class Copy:
    name = "copy"

    def run(self, order: WorkOrder, context: Context) -> Produced:
        assert context.source().sha256 == DIGEST
        context.observe(Progress(stage=self.name, done=1, total=1))
        produced = produce(train_work(), key=order.key)
        manifest = produced.manifest.model_copy(update={"stage": self.name})
        return Produced(**{**vars(produced), "manifest": manifest})


COPY = Copy()


def test_a_new_stage_is_one_member_of_the_registry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dummy stage is taken from an order to an artifact and a report."""

    work = CopyWork(**train_work().model_dump(include={"data_file", "data"}), data_sha256=DIGEST)
    order = order_of(train_work(), artifact=world.artifacts / "abc").model_copy(update={"work": work})
    monkeypatch.setattr(run_module, "read_order", lambda _path: order)
    code, result = world.run()
    assert (code, result.reason) == (ExitCode.ORDER_INVALID, "StageUnknown")
    monkeypatch.setattr(registry, "STAGES", (*registry.STAGES, registry.Place("copy", f"{__name__}:COPY")))
    code, result = world.run()
    assert (code, result.stage) == (ExitCode.DONE, "copy")
    assert load_artifact(world.artifacts / "abc", digest=result.digest).manifest.stage == "copy"
    assert '"stage": "copy", "done": 1' in world.log


def test_sigterm_ends_a_running_stage_cleanly(world: World) -> None:
    """A process of its own, which is polled like a pod and then told to go."""
    world.tell(train_work(epochs=100_000))
    port = _free_port()
    code = (
        "import sys, time, pathlib; from modelservice.stages.run import Places, Pod, check_address, run_stage;"
        f"root = pathlib.Path({str(world.root)!r});"
        "places = Places(order=root / 'order.json', data=root / 'data',"
        f" report=root / 'termination-log', progress_host='127.0.0.1', progress_port={port});"
        "sys.exit(run_stage(where=places, pod=Pod(), clock=time.perf_counter, now=time.time, out=sys.stdout))"
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
    assert (result.reason, result.about, result.retry) == ("Terminated", About.PLATFORM, Retry.SOON)
    assert [path.name for path in world.artifacts.rglob("*")] == [".abc.checkpoints", "train"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for_epochs(port: Any, process: Any) -> None:
    deadline = time.monotonic() + 120
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if Progress.model_validate_json(client.get("/progress").content).done > 2:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"the stage ended with {process.wait(timeout=0.1)}")
    pytest.fail("the stage did not begin")
