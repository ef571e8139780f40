"""``kubectl modelservice`` as a user types it, with a namespace that is made up."""

import json
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.world import World
from tests.unit.operator.test_reconciler_last_good import taken_back
from tests.unit.runtime.cluster.fakes import FakeAccess, FakePod, all_files, archive_of, refusal, serving_pod
from tests.unit.runtime.cluster.test_retrying import failed
from tests.unit.runtime.serving.pki import Authority
from tests.unit.runtime.stages.pipelines import IRIS, produce, store, train_work

from modelservice.artifact.stores import load_artifact
from modelservice.cli import main
from modelservice.cli.cluster import plugin
from modelservice.cluster import access as access_module
from modelservice.cluster import forwarding, pulling
from modelservice.contract.exit_codes import ExitCode
from modelservice.stages.base import Produced
from modelservice_operator.kinds import JOB, MODEL_SERVICE

NAME = ["status", "plan", "report", "predict", "logs", "rollback", "promote", "retry", "pull", "compare", "top"]


class Models(NamedTuple):
    """Revisions 3 and 4, of which the latter is better."""

    third: Produced
    fourth: Produced


@pytest.mark.parametrize(
    "case",
    [
        ("rows.csv", "a,b\n1,2,3\n", "the row that ends in line 2 has more cells than the header"),
        ("rows.csv", "a,b\n1\n", "the row that ends in line 2 has fewer cells than the header"),
        ("rows.csv", 'a,b\n1,"2\n3,4\n', "unexpected end of data"),
        ("rows.csv", "a,a\n1,2\n", "its header has the column 'a' twice"),
        ("rows.csv", f"a,b\n1,{'2' * 140_000}\n", "field larger than field limit"),
        ("rows.csv", b"a,b\n1,\xff\n", "codec can't decode byte 0xff"),
        ("rows.json", "[[1,", "is not JSON: "),
        ("rows.json", b'[["\xff"]]', "is not JSON: "),
        ("rows.json", '{"rows": []}', "must hold a list of rows"),
    ],
)
def test_a_file_whose_cells_belong_to_no_column_is_not_asked_about(
    case: tuple[str, str | bytes, str], third: FakeAccess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, words = case
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert plugin(["predict", "iris", str(file)]) == ExitCode.ORDER_INVALID
    said = capsys.readouterr().err
    assert said.startswith(f"error: {file} ")
    assert words in said
    assert third.pod.asked == []


def test_what_a_request_says_beside_its_rows_is_asked(third: FakeAccess, tmp_path: Path) -> None:
    third.pod = FakePod(b'{"predictions": [1.0]}')
    asked = {"instances": [{"a": 1}], "missing_columns": "Missing"}
    (tmp_path / "request.json").write_text(json.dumps(asked))
    assert plugin(["predict", "iris", str(tmp_path / "request.json")]) == ExitCode.DONE
    (tmp_path / "rows.csv").write_text("a,b\n1,\n")
    assert plugin(["predict", "iris", str(tmp_path / "rows.csv")]) == ExitCode.DONE
    rows = {"instances": [{"a": "1", "b": None}], "unknown_columns": "Ignore"}
    assert list(map(json.loads, third.pod.bodies)) == [asked, rows]


def test_a_page_is_shown_on_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plugin(["report", "iris", "--port", "65536"])
    assert "'65536' is not a port: 0 to 65535" in capsys.readouterr().err


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(produce(train_work(epochs=1)), produce(train_work(epochs=30)))


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> FakeAccess:
    """In place of a cluster; its port leads to ``pod``."""
    found = FakeAccess()
    monkeypatch.setattr(access_module, "Access", lambda **_: found)
    for module in (forwarding, pulling):
        monkeypatch.setattr(module, "forwarded", lambda *_, **__: found.pod.forwarded())
    return found


def iris(*revisions: tuple[int, Produced], serving: int | None = None, **spec: Any) -> dict[str, Any]:
    kept = [
        {"number": number, "key": f"key{number}", "digest": one.digest, "uri": f"pvc://iris-key{number}/key{number}"}
        for number, one in revisions
    ]
    data = {"configMap": {"name": "iris"}, "target": "species"}
    return {
        "metadata": {"name": "iris", "namespace": "team"},
        "spec": {"data": data, **spec},
        "status": {"revision": serving, "revisions": kept},
    }


@pytest.fixture
def folder(models: Models, tmp_path: Path) -> Path:
    """Revision 3, as it was pulled before."""
    return store(models.third, tmp_path / "third")


@pytest.fixture
def third(namespace: FakeAccess, models: Models) -> FakeAccess:
    """Revision 3 alone is kept and answers; its pod gives it away."""
    namespace.pod = FakePod(archive_of(all_files(models.third)))
    namespace.found["iris"] = iris((3, models.third), serving=3)
    namespace.serving = [serving_pod("iris-1", models.third.digest, revision=3)]
    return namespace


@pytest.fixture
def fourth(namespace: FakeAccess, models: Models) -> FakeAccess:
    """Revisions 3 and 4 are kept, of which the latter answers; its pod gives it away."""
    namespace.pod = FakePod(archive_of(all_files(models.fourth)))
    namespace.found["iris"] = iris((4, models.fourth), (3, models.third), serving=4)
    namespace.serving = [serving_pod("iris-1", models.fourth.digest, revision=4)]
    return namespace


@pytest.mark.parametrize("command", NAME)
def test_every_command_has_examples_of_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plugin([command, "--help"])
    shown = capsys.readouterr().out
    _, _, examples = shown.partition("examples:\n")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    assert all(line.startswith(f"kubectl modelservice {command}") for line in lines)
    if command not in {"report", "predict", "logs"}:
        assert re.search(r"-o .*json", shown)


def test_a_retry_says_what_it_would_do_and_does_it_where_it_is_told_to(
    namespace: FakeAccess, capsys: pytest.CaptureFixture[str]
) -> None:
    world = failed()
    (namespace.found["churn"],), jobs = world.all(MODEL_SERVICE), world.all(JOB)
    namespace.of_kind = {"Job": jobs}
    name, uid = (jobs[0]["metadata"][part] for part in ("name", "uid"))
    assert plugin(["retry", "churn"]) == ExitCode.DONE
    said = capsys.readouterr().out
    assert f"By hand:\n  kubectl delete job {name} -n team\n" in said
    assert "Nothing was changed: --apply does it." in said
    assert namespace.deleted == [(name, uid, True)]
    assert plugin(["retry", "churn", "--apply"]) == ExitCode.DONE
    assert capsys.readouterr().err == "applied\n"
    assert namespace.deleted[1:] == [(name, uid, False)]
    assert plugin(["retry", "churn", "-o", "json"]) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["job"], found["uid"], found["change"]) == (name, uid, None)
    assert namespace.patches == []


def test_a_rollout_is_retried_by_a_change_for_git(namespace: FakeAccess, capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    taken_back(world)
    (namespace.found["churn"],) = world.all(MODEL_SERVICE)
    assert plugin(["retry", "churn", "--apply"]) == ExitCode.DONE
    said = capsys.readouterr().out
    printed = re.search(r"kubectl patch mdsvc churn -n team --type=merge -p '(.*)'", said)
    assert printed is not None
    assert namespace.patches == [(json.loads(printed[1]), False)]
    assert namespace.deleted == []


def test_what_is_not_retried_is_said_and_nothing_is_done(
    namespace: FakeAccess, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.serve()
    (namespace.found["churn"],) = world.all(MODEL_SERVICE)
    assert plugin(["retry", "churn", "--apply"]) == ExitCode.ORDER_INVALID
    assert "error: nothing failed: churn is Ready" in capsys.readouterr().err
    assert (namespace.patches, namespace.deleted) == ([], [])


@pytest.mark.usefixtures("third")
def test_an_artifact_is_pulled_and_said(models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out" / "iris"
    assert plugin(["pull", "iris", "--output", str(folder)]) == ExitCode.DONE
    printed = capsys.readouterr()
    assert printed.out.startswith("revision 3 of iris came from pod/iris-1: ")
    assert f"digest {models.third.digest}" in printed.out
    assert f"modelservice serve --model {folder} --name iris" in printed.out
    assert printed.err == ""
    assert load_artifact(folder).digest == models.third.digest
    assert plugin(["pull", "iris", "--revision", "3", "--output", str(folder), "-o", "json"]) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["origin"] is None
    assert (found["digest"], found["folder"]) == (models.third.digest, str(folder))
    assert set(found["files"]) == set(models.third.files)
    assert found["bytes"] == sum(map(len, models.third.files.values()))


@pytest.mark.parametrize(
    "case",
    [
        (["pull", "iris", "--revision", "9"], "no revision 9 is kept; kept are 3"),
        (["pull", "iris", "--revision", "3"], "iris refuses: not given away (HTTP 403)"),
        (["pull", "other"], "no ModelService other in namespace team"),
    ],
)
def test_what_cannot_be_pulled_leaves_nothing(
    case: tuple[list[str], str], third: FakeAccess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, words = case
    third.pod = FakePod(refusal("not given away"), status=403)
    assert plugin([*arguments, "--output", str(tmp_path / "iris")]) == ExitCode.ORDER_INVALID
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_answers_a_revision_has_to_be_named(
    namespace: FakeAccess, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace.found["iris"] = iris((3, models.third))
    assert plugin(["pull", "iris", "--output", str(tmp_path / "iris")]) == ExitCode.ORDER_INVALID
    assert "no revision answers, so name one; kept are 3" in capsys.readouterr().err


@pytest.mark.usefixtures("third")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert plugin(["pull", "iris", "--output", str(tmp_path / "file" / "iris")]) == ExitCode.ORDER_INVALID
    assert re.search(r"error: \S*/file\S* cannot be read or written: ", capsys.readouterr().err)


def compared(folder: Path, *more: str) -> int:
    """Revision 3 in a folder, revision 4 of a pod."""
    return plugin(["compare", "iris", "3", "4", "--artifact", f"3={folder}", *more])


@pytest.mark.usefixtures("fourth")
def test_two_revisions_are_compared_one_of_a_folder_and_one_of_a_pod(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(folder, "--data", str(IRIS)) == ExitCode.DONE
    printed = capsys.readouterr()
    assert printed.out.startswith("accuracy on 31 test rows\n  revision 3   ")
    assert printed.out.endswith("revision 4 is better\n")
    assert printed.err == ""
    more = ["--data", str(IRIS), "--metric", "logLoss", "-o", "json"]
    assert compared(folder, *more) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["metric"], found["revisions"], found["tested"], found["better"]) == ("logLoss", [3, 4], True, 4)
    assert found["low"] <= found["difference"] <= found["high"] < 0


@pytest.mark.usefixtures("fourth")
def test_rows_that_somebody_brings_are_said_to_be_such(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join([*IRIS.read_text().splitlines()[:20], "1,2,3,4,"]))
    assert compared(folder, "--data", str(rows)) == ExitCode.DONE
    printed = capsys.readouterr()
    assert "on 19 given rows" in printed.out
    assert "1 rows of " in printed.err
    assert "nothing tells whether a revision learned from rows of " in printed.err


@pytest.mark.parametrize(
    "case",
    [
        (["3", "4"], "an artifact holds no rows to compare on: name with --data"),
        (["3", "3", "--data", str(IRIS)], "revision 3 differs from itself in nothing"),
        (["3", "9", "--data", str(IRIS)], "no revision 9 is kept; kept are 3, 4"),
        (["3", "4", "--data", str(IRIS), "--artifact", "out"], "--artifact out: write 3=DIR or 4=DIR"),
        (["3", "4", "--data", str(IRIS), "--artifact", "5=out"], "--artifact 5=out: write 3=DIR or 4=DIR"),
        (["3", "4", "--data", str(IRIS)], "a folder that it was pulled into: --artifact 4=DIR"),
        (["4", "3", "--data", str(IRIS), "--artifact", "4={third}"], "has digest"),
    ],
)
def test_what_cannot_be_compared_is_said(
    case: tuple[list[str], str], fourth: FakeAccess, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, words = case
    fourth.serving = []
    given = [one.format(third=folder) for one in arguments]
    asked = [] if "--artifact" in arguments else ["--artifact", f"3={folder}"]
    assert plugin(["compare", "iris", *given, *asked]) == ExitCode.ORDER_INVALID
    assert words in capsys.readouterr().err


def test_data_that_cannot_be_read_and_a_spec_of_another_release_are_said(
    fourth: FakeAccess, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b\n1,2\n")
    assert compared(folder, "--data", str(rows)) == ExitCode.DATA_INVALID
    assert "error: the table has no column 'species'" in capsys.readouterr().err
    fourth.found["iris"]["spec"]["data"]["orbit"] = 1
    assert compared(folder, "--data", str(IRIS)) == ExitCode.ORDER_INVALID
    assert "spec.data or spec.task of iris is not known to this release (orbit)" in capsys.readouterr().err


def test_pulling_needs_the_extra_of_the_plugin_alone() -> None:
    code = """
import sys
for name in ("torch", "pyarrow", "onnxruntime", "obstore", "cryptography", "fastapi", "orjson", "sklearn", "numpy"):
    sys.modules[name] = None
import modelservice.cli.cluster_artifacts, modelservice.cluster.pulling, modelservice.cluster.retrying
import modelservice.cluster.revisions
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_commands_are_those_of_modelservice_cluster(
    namespace: FakeAccess, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace.found["iris"] = iris((3, models.third))
    assert main(["cluster", "retry", "iris"]) == ExitCode.ORDER_INVALID
    assert "the operator has not looked at the newest spec of iris yet" in capsys.readouterr().err


@pytest.mark.parametrize("asks", [False, True])
def test_a_model_that_speaks_tls_is_asked_and_pulled(
    asks: bool, third: FakeAccess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, rows = Authority("servers"), tmp_path / "rows.json"
    for name in ("server", "client"):
        (tmp_path / f"{name}.pem").write_bytes(b"".join(authority.issue(name, dns="iris.team.svc").values()))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.pem.decode())
    tls.load_cert_chain(tmp_path / "server.pem")
    tls.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    shown = ["--certificate", str(tmp_path / "client.pem")] if asks else []
    third.pod.tls = tls
    assert plugin(["pull", "iris", "--output", str(tmp_path / "out" / "iris"), *shown]) == ExitCode.DONE
    third.pod = FakePod(b'{"predictions": [{"label": "setosa", "probabilities": {"setosa": 1.0}}]}', tls=tls)
    rows.write_text("[[5.1, 3.5, 1.4, 0.2]]")
    capsys.readouterr()
    assert plugin(["predict", "iris", str(rows), *shown]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == ["setosa"]
    if asks:
        assert plugin(["predict", "iris", str(rows)]) == ExitCode.ORDER_INVALID
        assert capsys.readouterr().err.startswith("error: ")
