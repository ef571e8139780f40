"""Deleting artifacts from object storage: from a small S3 server, as the pod of a Job does it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.object_server import ObjectServer, object_server

from modelservice.artifact.stores import objects as objects_module
from modelservice.cli import main
from modelservice.contract.documents import read_document
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import Failure
from modelservice.contract.report import Report
from modelservice.stages.deleting import run_deletion

BELOW = "models/team/shop/churn"
FILE = "0123456789abcdef/model.onnx"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        yield server


def store(server: ObjectServer, *keys: str, below: str = BELOW) -> None:
    """Artifacts, each with a checkpoint beside it."""
    for key in keys:
        for name in ("manifest.json", FILE, "checkpoints/train"):
            server.objects[f"{below}/{key}/{name}"] = b"x"


def delete(
    tmp_path: Path, *keys: str, uri: str = "s3://models/team", name: str = "churn"
) -> tuple[int, Failure | None]:
    """The exit code, and what is reported."""
    report = tmp_path / "report"
    code = run_deletion(uri=uri, namespace="shop", name=name, keys=keys, report=report, out=io.StringIO())
    if not report.exists():
        return code, None
    result = read_document("report", report.read_text(), Report).result
    assert isinstance(result, Failure)
    return code, result


def test_exactly_the_folders_of_these_keys_go(server: ObjectServer, tmp_path: Path) -> None:
    store(server, "aaaa2345", "bbbb2345", "aaaa23456", "cccc2345")
    store(server, "aaaa2345", below="models/team/shop/churn2")
    store(server, "aaaa2345", below="models/team/other/churn")
    store(server, "aaaa2345", below="models/team")
    others = {name for name in server.objects if not name.startswith((f"{BELOW}/aaaa2345/", f"{BELOW}/bbbb2345/"))}
    assert delete(tmp_path, "aaaa2345", "bbbb2345") == (ExitCode.DONE, None)
    assert set(server.objects) == others
    assert delete(tmp_path, "aaaa2345", "bbbb2345") == (ExitCode.DONE, None), "again, and there is nothing"
    assert set(server.objects) == others


def test_the_manifest_goes_first_so_that_what_is_left_is_none_and_goes_at_the_next_try(
    server: ObjectServer, tmp_path: Path
) -> None:
    store(server, "aaaa2345")
    delete(tmp_path, "aaaa2345")
    gone = [path.removeprefix(f"DELETE {BELOW}/aaaa2345/") for path in server.asked if path.startswith("DELETE")]
    assert gone[0] == "manifest.json"
    assert sorted(gone[1:]) == [FILE, "checkpoints/train"]
    store(server, "aaaa2345")
    del server.objects[f"{BELOW}/aaaa2345/manifest.json"]  # the pod was killed here
    assert delete(tmp_path, "aaaa2345") == (ExitCode.DONE, None)
    assert server.objects == {}


def test_a_folder_with_somebody_elses_object_stays_whole_and_keeps_no_other(
    server: ObjectServer, tmp_path: Path
) -> None:
    store(server, "aaaa2345", "bbbb2345")
    server.objects[f"{BELOW}/aaaa2345/notes.txt"] = b"mine"
    code, failure = delete(tmp_path, "aaaa2345", "bbbb2345")
    assert (code, failure and failure.reason) == (ExitCode.ORDER_INVALID, "ArtifactInvalid")
    assert failure is not None
    assert "also holds 'notes.txt'" in failure.message
    assert {name.split("/")[4] for name in server.objects} == {"aaaa2345"}
    assert len(server.objects) == 4


def test_more_than_an_artifact_can_hold_is_not_deleted(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects_module, "_MOST_OBJECTS", 2)
    store(server, "aaaa2345")
    code, failure = delete(tmp_path, "aaaa2345")
    assert (code, failure and failure.reason) == (ExitCode.ORDER_INVALID, "ArtifactInvalid")
    assert len(server.objects) == 3


def test_a_store_that_refuses_is_told_with_the_remedy(server: ObjectServer, tmp_path: Path) -> None:
    store(server, "aaaa2345")
    server.refusals, server.for_ever = [(403, "AccessDenied")], True
    code, failure = delete(tmp_path, "aaaa2345")
    assert code == ExitCode.ORDER_INVALID
    assert failure is not None
    assert (failure.reason, failure.field) == ("StorageForbidden", "spec.artifacts.secretRef")
    assert len(server.objects) == 3


def test_rights_that_let_nobody_delete_are_told_too(server: ObjectServer, tmp_path: Path) -> None:
    store(server, "aaaa2345")
    server.keeps = True
    code, failure = delete(tmp_path, "aaaa2345")
    assert (code, failure and failure.reason) == (ExitCode.ORDER_INVALID, "StorageForbidden")
    assert len(server.objects) == 3


@pytest.mark.parametrize(
    ("uri", "name", "keys"),
    [
        ("s3://models/team", "churn", ("../bbbb2345",)),
        ("s3://models/team", "churn", ("",)),
        ("s3://models/team", "churn", ("aaaa2345/checkpoints",)),
        ("s3://models/team", "..", ("aaaa2345",)),
        ("s3://models/team", "churn/aaaa2345", ("manifest",)),
        ("s3://models/..", "churn", ("aaaa2345",)),
        ("/models/team", "churn", ("aaaa2345",)),
        ("s3://models/team", "churn", ()),
    ],
)
def test_nothing_is_deleted_where_one_part_could_lead_elsewhere(
    server: ObjectServer, tmp_path: Path, uri: str, name: str, keys: tuple[str, ...]
) -> None:
    store(server, "aaaa2345")
    code, failure = delete(tmp_path, *(("aaaa2345", *keys) if keys else ()), uri=uri, name=name)
    assert (code, failure and failure.reason) == (ExitCode.ORDER_INVALID, "OrderInvalid")
    assert server.asked == []
    assert len(server.objects) == 3


def test_the_command_is_what_the_job_runs(
    server: ObjectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(server, "aaaa2345")
    report = tmp_path / "report"
    where = ["--uri=s3://models/team", "--namespace=shop", "--name=churn", f"--report={report}"]
    assert main(["delete-artifacts", *where, "aaaa2345"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["address"] == f"s3://{BELOW}/aaaa2345"
    assert server.objects == {}
    assert not report.exists()
