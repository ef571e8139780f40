"""Artifacts in a real S3 server: versitygw over a folder, on this machine's own loopback."""

import base64
import concurrent.futures
import io
import json
import secrets
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from tests.cluster.toolchain import binary
from tests.support.document_runs import PACKED
from tests.support.documents import Command, typed_by
from tests.support.forked import Clock, KillingClock, run_pod
from tests.unit.runtime.inference.graphs import linear
from tests.unit.runtime.stages.pipelines import IRIS, compress_work, order_of, produce, train_work

from modelservice.artifact.cache import Cache
from modelservice.artifact.errors import ArtifactError, StorageUnavailableError
from modelservice.artifact.files import file_entries
from modelservice.artifact.stores import load_artifact, open_checkpoints, open_store
from modelservice.artifact.stores import objects as objects_module
from modelservice.artifact.stores.objects import object_name
from modelservice.cli import main
from modelservice.contract.data import Data
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import StorageError
from modelservice.contract.manifest import MANIFEST_FILE, MODEL_FILE, WEIGHTS_FILE
from modelservice.contract.places import DATA_ENV_PREFIX, ENCRYPTION_KEYS_ENV
from modelservice.contract.report import Report, Success
from modelservice.contract.training import Checkpoint
from modelservice.contract.work_order import WorkOrder
from modelservice.inference.predictor import Predictor
from modelservice.modalities.elsewhere import Named, read_elsewhere
from modelservice.stages.base import Produced
from modelservice.stages.deleting import run_deletion

pytestmark = pytest.mark.cluster

BUCKET = "models"


class Server(NamedTuple):
    """An S3 server: the folder of its buckets, and what a pod's environment says of it."""

    buckets: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = Path(binary("versitygw"))
    if not program.exists():
        pytest.fail(f"there is no {program}: run `python -m tests.cluster build versitygw`", pytrace=False)
    folder = tmp_path_factory.mktemp("s3")
    (folder / BUCKET).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    key, secret = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    command = [str(program), f"--port=127.0.0.1:{port}", "--region=us-east-1", "--health=/healthz", "--quiet"]
    environment = {"ROOT_ACCESS_KEY_ID": key, "ROOT_SECRET_ACCESS_KEY": secret}
    with subprocess.Popen([*command, "posix", str(folder)], env=environment) as process:
        try:
            wait_until(lambda: healthy(port), process)
            yield Server(
                folder,
                {
                    "AWS_ACCESS_KEY_ID": key,
                    "AWS_SECRET_ACCESS_KEY": secret,
                    "AWS_REGION": "us-east-1",
                    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                    "AWS_ALLOW_HTTP": "true",
                },
            )
        finally:
            process.terminate()


def healthy(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until(done: Callable[[], bool], process: subprocess.Popen[bytes], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert process.poll() is None, f"{process.args!r} ended too soon"
        assert time.monotonic() < deadline, f"{process.args!r} did not get so far"
        time.sleep(0.05)


@pytest.fixture
def address(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix that nobody used, of a server that the environment tells."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/team/default/iris/{secrets.token_hex(4)}"


def test_an_artifact_goes_there_and_comes_back(server: Server, address: str, trained: Produced) -> None:
    store = open_store(address)
    assert store.load() is None
    store.prepare()
    digest = store.publish(trained.manifest, trained.files)
    artifact = load_artifact(address, digest=digest)
    assert artifact.contents == trained.files
    assert Predictor.load(address, digest=digest).predict([[5.1, 3.5, 1.4, 0.2]]) == ["setosa"]
    folder = server.buckets / address.removeprefix("s3://")
    below = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert below == {MANIFEST_FILE, *(object_name(name, entry) for name, entry in trained.manifest.files.items())}
    store.discard()
    assert store.load() is None


def test_what_is_packed_into_a_bucket_is_read_there_and_taken_over(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command of the document, of another file."""
    (tmp_path / "iris.onnx").write_bytes(linear().SerializeToString())
    monkeypatch.chdir(tmp_path)
    (command,) = (step.text for step in typed_by(PACKED, "docs/elsewhere.md") if isinstance(step, Command))
    words = shlex.split(command.replace("\\\n", " "))[1:]
    words[words.index("--output") + 1] = address
    assert main([*words, "--logits"]) == ExitCode.DONE
    assert main(["inspect", address]) == ExitCode.DONE
    digest = load_artifact(address).digest
    assert capsys.readouterr().out.count(digest) == 2
    named = Named(uri=address, digest=digest, field="spec.model.artifact", keys="secretRef")
    assert read_elsewhere(named).digest == digest


def test_what_is_deleted_by_its_key_is_gone_and_its_neighbours_are_there(
    address: str, trained: Produced, tmp_path: Path
) -> None:
    above, _, key = address.rpartition("/")
    addresses = [address, f"{address}2", f"{above}/2{key}", f"{above}2/{key}"]
    for one in addresses:
        open_store(one).publish(trained.manifest, trained.files)
        open_checkpoints(one).write("train", b"half")
    names = {"uri": f"s3://{BUCKET}/team", "namespace": "default", "name": "iris", "report": tmp_path / "report"}
    for _ in range(2):
        assert run_deletion(**names, keys=[key], out=io.StringIO()) == 0  # type: ignore[arg-type]
        found = [open_store(one).load() is not None for one in addresses]
        assert found == [False, True, True, True]
    assert open_checkpoints(address).read("train", limit=10) is None
    assert open_checkpoints(addresses[1]).read("train", limit=10) == b"half"
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_file_of_many_parts(
    server: Server,
    address: str,
    trained: Produced,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    encrypted: bool,
) -> None:
    """20 MB are uploaded in several requests, downloaded in several at a time, and then asked of nobody."""
    if encrypted:
        monkeypatch.setenv(ENCRYPTION_KEYS_ENV, encryption_key(tmp_path))
    weights = np.random.default_rng(0).bytes(20_000_000)
    files = {**trained.files, WEIGHTS_FILE: weights}
    manifest = trained.manifest.model_copy(update={"files": file_entries(files)})
    digest, cache = open_store(address).publish(manifest, files), Cache(tmp_path / "cache", limit=30_000_000)
    assert at_rest(server, address, WEIGHTS_FILE).startswith(weights[:8]) is not encrypted
    assert load_artifact(address, digest=digest, cache=cache).contents == files
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert load_artifact(address, digest=digest, cache=cache).contents[WEIGHTS_FILE] == weights


def encryption_key(folder: Path) -> str:
    """The path of a new one."""
    (folder / "key").write_bytes(base64.b64encode(secrets.token_bytes(32)))
    return str(folder / "key")


def at_rest(server: Server, address: str, name: str) -> bytes:
    """What lies in the bucket of the file of an artifact."""
    (path,) = (server.buckets / address.removeprefix("s3://")).glob(f"*/{name}")
    return path.read_bytes()


def test_of_two_that_publish_at_once_one_stays_whole(address: str, trained: Produced, other: Produced) -> None:
    def publish(produced: Produced) -> str:
        return open_store(address).publish(produced.manifest, produced.files)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(publish, [trained, other, trained, other]))
    assert len(digests) == 1
    artifact = load_artifact(address, digest=digests.pop())
    assert artifact.contents in (trained.files, other.files)


def test_what_somebody_changed_is_refused_and_replaced(
    server: Server, address: str, trained: Produced, other: Produced
) -> None:
    open_store(address).publish(trained.manifest, trained.files)
    path = server.buckets / address.removeprefix("s3://") / object_name(MODEL_FILE, trained.manifest.files[MODEL_FILE])
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(ArtifactError, match="its sha256 differs"):
        load_artifact(address)
    assert open_store(address).publish(other.manifest, other.files) == other.digest
    assert load_artifact(address, digest=other.digest)


@pytest.mark.parametrize(
    ("variables", "bucket", "reason", "field"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, BUCKET, "StorageForbidden", "spec.artifacts.secretRef"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, BUCKET, "StorageForbidden", "spec.artifacts.secretRef"),
        ({}, "no-such-bucket", "BucketNotFound", "spec.artifacts.uri"),
    ],
)
def test_what_the_server_refuses_names_the_field(
    address: str, monkeypatch: pytest.MonkeyPatch, *, variables: dict[str, str], bucket: str, reason: str, field: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store = open_store(address.replace(BUCKET, bucket, 1))
    with pytest.raises(StorageError) as caught:
        store.prepare()
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_a_server_that_is_gone_may_come_back(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageUnavailableError):
        open_store(address).load()


def end_of_pod(root: Path, order: WorkOrder, environment: dict[str, str], *, clock: Clock = time.perf_counter) -> int:
    """Do what an order says in a process of its own, which has these variables and no other; see ``run_pod``."""
    (root / "order.json").write_text(order.model_dump_json(exclude_none=True))
    return run_pod(root, {**environment, "PATH": "/usr/bin:/bin"}, clock=clock)


def run_as_pod(root: Path, order: WorkOrder, environment: dict[str, str]) -> Success:
    """What it reports at its end; see ``end_of_pod``."""
    assert end_of_pod(root, order, environment) == 0, (root / "log").read_text()
    result = Report.model_validate(json.loads((root / "report").read_text())).result
    assert isinstance(result, Success)
    return result


def test_pods_of_both_stages_work_from_the_bucket_alone(
    server: Server, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As processes: train, compress what lies encrypted in the bucket, and answer with it."""
    (tmp_path / "iris.csv").write_bytes(IRIS.read_bytes())
    work = train_work(epochs=20, hidden=(32, 32))
    environment = {**server.environment, ENCRYPTION_KEYS_ENV: encryption_key(tmp_path)}
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, environment[ENCRYPTION_KEYS_ENV])

    parent, child = f"{address}/parent", f"{address}/child"
    trained = run_as_pod(tmp_path, order_of(work, key="parent", artifact=parent), environment)
    compress = compress_work(work, Path("unused"), trained.digest).model_copy(update={"parent": parent})
    compressed = run_as_pod(tmp_path, order_of(compress, key="child", artifact=child), environment)
    assert all(at_rest(server, place, MODEL_FILE).startswith(b"MSVCSEA1") for place in (parent, child))
    assert compressed.compression is not None
    assert compressed.compression.applied
    predictor = Predictor.load(child, digest=compressed.digest)
    assert predictor.manifest.parent is not None
    assert predictor.manifest.parent.digest == trained.digest
    assert predictor.predict([[5.1, 3.5, 1.4, 0.2]]) == ["setosa"]


def test_a_pod_trains_on_objects_of_one_store_and_keeps_the_model_in_another(
    server: Server, address: str, tmp_path: Path
) -> None:
    """The store of the artifact has variables that would open nothing of the data."""
    header, *rows = IRIS.read_text().splitlines(keepends=True)
    folder = server.buckets / "tables" / "2026"
    folder.mkdir(parents=True)
    for name, part in (("a", rows[:70]), ("b", rows[70:])):
        (folder / f"{name}.csv").write_text(header + "".join(part))
    data = Data.model_validate(
        {"uri": "s3://tables/2026/*.csv", "secretRef": {"name": "tables"}, "target": "species"},
    )
    work = train_work(epochs=20).model_copy(update={"data": data, "data_file": None})
    key, artifact = address.rpartition("/")[2], tmp_path / address.rpartition("/")[2]
    nowhere = {**server.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "nobody"}
    of_data = {f"{DATA_ENV_PREFIX}{name}": value for name, value in server.environment.items()}
    result = run_as_pod(tmp_path, order_of(work, key=key, artifact=artifact), nowhere | of_data)
    assert result.data is not None
    assert result.data.rows == 150
    assert any("read 2 files, a.csv the first and b.csv the last" in note for note in result.data.notes)


def test_a_killed_training_goes_on_from_its_checkpoint_in_the_bucket(
    server: Server, address: str, tmp_path: Path
) -> None:
    """It is killed when it looks at its clock and a checkpoint is there; a second passes with each look."""
    (tmp_path / "iris.csv").write_bytes(IRIS.read_bytes())
    key = address.rpartition("/")[2]
    work = train_work(epochs=60).model_copy(update={"checkpoint": Checkpoint(every_seconds=1)})
    order = order_of(work, key=key, artifact=address)
    checkpoints = server.buckets / address.removeprefix("s3://") / "checkpoints"
    assert end_of_pod(tmp_path, order, server.environment, clock=KillingClock(checkpoints / "train")) == -signal.SIGKILL
    result = run_as_pod(tmp_path, order, server.environment)
    assert "train went on from epoch" in (tmp_path / "log").read_text()
    assert result.digest == produce(work, key=key).digest
    assert not list(checkpoints.glob("*"))


def test_a_large_checkpoint_goes_there_in_parts_and_comes_back(address: str) -> None:
    """As a training writes it: a header, and tensors that are not copied."""
    tensors = (memoryview(np.random.default_rng(part).bytes(4_000_000)) for part in range(3))
    parts: list[bytes | memoryview] = [b"header", *tensors, b"end"]
    checkpoints = open_checkpoints(address)
    for content in (parts, parts[:1], parts):
        checkpoints.write("train", *content)
        assert checkpoints.read("train", limit=20_000_000) == b"".join(content)
    checkpoints.discard()
    assert checkpoints.read("train", limit=1) is None
