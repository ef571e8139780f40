"""``kubectl modelservice`` on what takes several revisions, or a failure: pull, compare and retry, and completion."""

import json
import re
import tempfile
from pathlib import Path

import pytest
import yaml
from tests.support.e2e import Holds, Space, config_map, eventually, is_ready, model_service, network, says
from tests.support.helm import ROOT
from tests.support.plugin import completions, page_of, plugin
from tests.support.tables import FLOWERS, IRIS
from tests.support.transcripts import hold

from modelservice.artifact.stores import load_artifact
from modelservice.contract.exit_codes import ExitCode
from modelservice.inference.predictor import Predictor
from modelservice_operator.kinds import JOB

pytestmark = pytest.mark.cluster

KUBECTL = ROOT / "docs" / "kubectl.md"


def serves(number: int) -> Holds:
    """Whether a revision is Ready."""
    return lambda service: is_ready(service) and service["status"].get("revision") == number


@pytest.mark.story(120)
def test_revisions_are_pulled_and_compared_from_a_terminal(space: Space) -> None:
    with tempfile.TemporaryDirectory() as there:
        folder = Path(there)
        (folder / "iris.csv").write_text(IRIS)
        first, second = folder / "first", folder / "second"
        closed = network("flowers", training={"epochs": 1})
        space.apply(config_map("flowers", IRIS), closed)
        digest = space.wait_ready("flowers")["status"]["digest"]
        refused = plugin(space, "pull", "flowers", "--output", first, code=ExitCode.ORDER_INVALID)
        assert "this server does not give its model away; spec.serving.artifact: {} makes it do so" in refused
        assert not first.exists()

        space.patch("flowers", {"serving": {"artifact": {}}})
        space.wait_ready("flowers")
        said = json.loads(plugin(space, "pull", "flowers", "--output", first, "-o", "json"))
        assert (said["revision"], said["digest"]) == (1, digest)
        assert said["origin"].startswith("pod/flowers-")
        assert load_artifact(first, digest=digest).manifest.name == "flowers"
        assert "lay there already" in plugin(space, "pull", "flowers", "--output", first)

        space.patch("flowers", {"training": {"epochs": 40}})
        space.wait("flowers", serves(2), what="serves the longer training")
        gone = plugin(space, "pull", "flowers", "--revision", "1", "--output", second, code=ExitCode.ORDER_INVALID)
        assert "no ready pod serves revision 1, and its artifact lies in pvc://" in gone
        plugin(space, "pull", "flowers", "--output", second)
        rows, species = [row for row, _ in FLOWERS], [one for _, one in FLOWERS]
        assert Predictor.load(second).predict(rows) == species

        data, kept = ("--data", folder / "iris.csv"), ("--artifact", f"1={first}")
        compared = ("compare", "flowers", "1", "2")
        found = json.loads(plugin(space, *compared, *data, *kept, "-o", "json"))
        assert (found["metric"], found["revisions"], found["tested"]) == ("accuracy", [1, 2], True)
        revisions = {one["number"]: one for one in space.service("flowers")["status"]["revisions"]}
        for number, value in zip((1, 2), found["values"], strict=True):
            recorded = {one["name"]: one["value"] for one in revisions[number]["metrics"]}
            assert value == pytest.approx(recorded["accuracy"], abs=1e-3)
        assert found["low"] <= found["difference"] <= found["high"]
        assert "name with --data" in plugin(space, *compared, *kept, code=ExitCode.ORDER_INVALID)
        (folder / "rows.csv").write_text("\n".join(IRIS.splitlines()[:30]) + "\n")
        given = plugin(space, *compared, "--data", folder / "rows.csv", *kept, "--metric", "logLoss")
        assert given.startswith("logLoss on 29 given rows\n")

        assert re.findall(r'<th scope="row">(\d.*?)</th>', page_of(space, "flowers")) == ["2 (this one)", "1"]
        _hold_documents_to_it(space, folder)

        assert completions(space, "pull", "fl") == ["flowers"]
        assert sorted(completions(space, "compare", "flowers", "")) == ["1", "2"]


def _hold_documents_to_it(space: Space, folder: Path) -> None:
    """docs/kubectl.md shows what the commands print here; ``folder`` has revision 1, and the table."""
    live, changed = space.service("flowers"), folder / "flowers.yaml"
    longer = network("flowers", training={"epochs": 60}, serving=live["spec"]["serving"] | {"replicas": 2})
    changed.write_text(yaml.safe_dump_all([config_map("flowers", IRIS), longer]))
    (folder / "few.csv").write_text("\n".join(IRIS.splitlines()[:3]) + "\n")
    commands = (
        "status flowers",
        "plan -f flowers.yaml",
        "predict flowers few.csv",
        "top flowers",
        "rollback flowers 1",
        "pull flowers --output current",
    )
    keys = {one["key"]: f"key{one['number']}" for one in live["status"]["revisions"]}
    names = {space.name: "team-a", str(folder.resolve()): "out"} | keys

    def said(command: str) -> tuple[str, str]:
        return f"kubectl modelservice {command}", plugin(space, *command.split(), folder=folder)

    hold(KUBECTL, "output-plugin", [said(one) for one in commands], names=names)
    compare = "compare flowers 1 2 --data iris.csv --artifact 1=first"
    hold(KUBECTL, "output-compare", [said(compare)], names=names)


@pytest.mark.story(60)
def test_what_failed_is_tried_again_from_a_terminal(space: Space) -> None:
    broken = model_service("broken", data={"configMap": {"name": "flowers"}, "target": "missing"})
    space.apply(config_map("flowers", IRIS), broken)
    space.wait("broken", says("TargetNotFound"), what="says what is wrong")
    (before,) = space.children(JOB, "broken")
    name, uid = before["metadata"]["name"], before["metadata"]["uid"]
    said = plugin(space, "retry", "broken")
    assert f"kubectl delete job {name} -n {space.name}" in said
    assert "Nothing was changed: --apply does it. The apiserver would take it." in said
    assert [one["metadata"]["uid"] for one in space.children(JOB, "broken")] == [uid]

    assert json.loads(plugin(space, "retry", "broken", "--apply", "-o", "json"))["uid"] == uid

    def another() -> bool:
        return [one["metadata"]["uid"] for one in space.children(JOB, "broken")] not in ([], [uid])

    eventually(another, what="another attempt")
    # It is the same attempt at the same data, so it comes to the same.
    space.wait("broken", says("TargetNotFound"), what="says it again")
    assert [one["metadata"]["name"] for one in space.children(JOB, "broken")] == [name]
