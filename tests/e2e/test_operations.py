"""What the operator's own life does to models: nothing. These tests have the cluster for themselves."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.bench.record import Figure, at_most, figure
from tests.cluster.images import recorded_sizes
from tests.support.client import build_client, keep_asking, predict
from tests.support.document_runs import UPGRADE
from tests.support.documents import typed_by
from tests.support.e2e import Api, Object, Space, condition, config_map, eventually, model_service, says
from tests.support.helm import IMAGES, RELEASE, ROOT
from tests.support.installation import Installation, helm
from tests.support.plugin import page_of, plugin
from tests.support.samples import SAMPLES
from tests.support.tables import FLOWERS, IRIS, SWAPPED
from tests.support.timeline import steps_to_ready
from tests.support.typing_in import terminal

from modelservice import __version__
from modelservice.contract.exit_codes import ExitCode
from modelservice_operator.constants import SERVING_CONTAINER
from modelservice_operator.crd.status import NOT_OBSERVED
from modelservice_operator.kinds import DEPLOYMENT, MODEL_SERVICE, POD, SERVICE

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

ROWS = [row for row, _ in FLOWERS]
SPECIES = [species for _, species in FLOWERS]

Spaces = tuple[Space, Space]


@pytest.fixture(scope="module", autouse=True)
def quiet(api: Api) -> None:
    """Namespaces of the stories are gone."""

    def going() -> list[Object]:
        found = [
            one for one in api.request("GET", "/api/v1/namespaces")["items"] if one["metadata"].get("deletionTimestamp")
        ]
        for one in found:  # it is looked at again after half of its pods' grace, or soon after it has changed
            path = f"/api/v1/namespaces/{one['metadata']['name']}"
            annotations = {"modelservice.test/seen": str(time.monotonic())}
            api.request(
                "PATCH", path, {"metadata": {"annotations": annotations}}, content_type="application/merge-patch+json"
            )
        return found

    eventually(lambda: not going(), what="the end of earlier namespaces", seconds=120, poll=1.0)


@pytest.fixture(scope="module")
def iris(spaces: Spaces, figures: list[Figure]) -> Space:
    """The sample, Ready; on the way its steps are timed."""
    space, _ = spaces
    since = time.monotonic()
    space.kubectl("apply", "-f", SAMPLES / "iris.yaml")
    before, last = 0.0, "apply"
    with space.explained():
        steps = steps_to_ready(space, "iris", since=since)
    for step, seconds in steps.items():
        figures.append(figure(f"iris: {last} to {step}", seconds - before, "s"))
        before, last = seconds, step
    figures.append(figure("iris: apply to Ready", before, "s"))
    return space


@pytest.fixture(scope="module")
def fleet(spaces: Spaces, iris: Space) -> Spaces:
    """The sample; in another namespace a model of the same name on another table, and one that cannot be trained."""
    _, other = spaces
    broken = model_service("broken", data={"configMap": {"name": "iris"}, "target": "missing"})
    other.apply(config_map("iris", SWAPPED), model_service("iris"), broken)
    with other.explained():
        other.wait("broken", says("TargetNotFound"), what="says what is wrong")
        other.wait_ready("iris")
    return spaces


def versions(fleet: Spaces) -> dict[tuple[str, str, str], str]:
    return {(space.name, *key): version for space in fleet for key, version in space.versions().items()}


def wait_reconciled(installation: Installation, api: Api) -> None:
    """Wait until the leading operator has looked at every ModelService of the cluster."""
    leader = installation.wait_leader()

    def looked() -> bool:
        done = installation.metrics(leader).get('modelservice_operator_reconciles_total{result="done"}', 0)
        return done >= len(api.list(MODEL_SERVICE, None))

    eventually(looked, what="a look at every ModelService", seconds=30)


def test_iris_answers_right(iris: Space) -> None:
    pod = iris.pods("iris", "serve")[0]["status"]["podIP"]
    for address in (iris.address("iris"), f"{pod}:8080"):
        assert predict(address, "iris", ROWS) == SPECIES


def test_the_plugin_shows_asks_and_plans(iris: Space, tmp_path: Path) -> None:
    assert re.search(r"^\S+ +iris +True +Serving +1 +accuracy", plugin(iris, "status"), re.MULTILINE)
    tree = plugin(iris, "status", "iris")
    assert "Deployment/iris  1 of 1 ready" in tree
    assert re.search(r"Job/iris-train-\S+ +Complete", tree)
    assert "did you mean iris?" in plugin(iris, "status", "irsi", code=ExitCode.ORDER_INVALID)

    rows = tmp_path / "rows.csv"
    rows.write_text(IRIS)
    answers = json.loads(plugin(iris, "predict", "iris", rows))
    assert len(answers) == len(IRIS.splitlines()) - 1
    assert set(answers) <= {"setosa", "versicolor", "virginica"}

    assert "nothing changes" in plugin(iris, "plan", "-f", SAMPLES / "iris.yaml")
    changed = tmp_path / "iris.yaml"
    changed.write_text((SAMPLES / "iris.yaml").read_text().replace("  model:", "  suspend: true\n  model:", 1))
    assert "restarts nothing: suspend" in plugin(iris, "plan", "-f", changed)
    assert "no revision before 1 is kept" in plugin(iris, "rollback", "iris", code=ExitCode.ORDER_INVALID)
    assert re.search(r"^iris +1 +[1-9]", plugin(iris, "top"), re.MULTILINE)
    assert '"serving iris' in plugin(iris, "logs", "iris", "--serving")


def test_the_plugin_leads_a_browser_to_the_page(iris: Space) -> None:
    assert "<title>iris: predicts species</title>" in page_of(iris, "iris")


LOOK = r"""
import importlib.util, json, os, re, sysconfig
files = (os.path.join(folder, name) for folder, _, names in os.walk(sysconfig.get_path("purelib")) for name in names)
found = [name for name in ("torch", "pyarrow", "sklearn", "onnx") if importlib.util.find_spec(name)]
resident = int(re.search(r"VmRSS:\s+(\d+) kB", open("/proc/1/status").read()).group(1)) * 1024
print(json.dumps({"packages": sum(map(os.path.getsize, files)), "resident": resident, "trainers": found}))
"""
"""What a server's pod holds: bytes of its packages, bytes in memory, and packages that only training needs."""


def test_a_server_is_small(iris: Space, figures: list[Figure]) -> None:
    assert predict(iris.address("iris"), "iris", ROWS) == SPECIES
    seen = json.loads(iris.kubectl("exec", "deploy/iris", "-c", SERVING_CONTAINER, "--", "python", "-c", LOOK))
    sizes = [
        at_most("server: resident memory after a request", seen["resident"] / 1e6, "MB", 200),
        at_most("server image, uncompressed", recorded_sizes()["server"], "MB", 400),
        at_most("server: installed packages", seen["packages"] / 1e6, "MB", 250),
        figure("trainer image, uncompressed", recorded_sizes()["trainer"], "MB"),
    ]
    figures += sizes
    assert seen["trainers"] == []
    assert [one.figure for one in sizes if one.holds is False] == []


def test_the_curl_of_the_status_runs_as_it_stands(iris: Space, tmp_path: Path) -> None:
    # This machine does not ask the cluster's DNS, so curl is told the Service's address.
    (tmp_path / ".curlrc").write_text(f"resolve = iris.{iris.name}.svc:80:{iris.address('iris')}\nfail-with-body\n")
    example = iris.service("iris")["status"]["example"]
    environment = {**os.environ, "CURL_HOME": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-c", example], env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"label":"versicolor"' in done.stdout.replace(" ", "")


def test_models_of_one_name_in_two_namespaces_do_not_meet(fleet: Spaces) -> None:
    iris, other = fleet
    assert predict(iris.address("iris"), "iris", ROWS) == SPECIES
    assert predict(other.address("iris"), "iris", ROWS) == [SPECIES[2], SPECIES[1], SPECIES[0]]


def test_another_pod_asks_by_name_and_gets_the_right_answers(iris: Space) -> None:
    url = iris.service("iris")["status"]["url"]
    iris.apply(build_client(f"{url}/v1/models/iris:predict", json.dumps({"instances": ROWS})))

    def answered() -> bool:
        pod = iris.api.get(POD, iris.name, "client")
        return pod is not None and pod["status"].get("phase") == "Succeeded"

    eventually(answered, what="the client's end")
    predictions = json.loads(iris.kubectl("logs", "client"))["predictions"]
    assert [one["label"] for one in predictions] == SPECIES
    iris.kubectl("delete", "pod", "client")


def test_kubectl_knows_models(iris: Space) -> None:
    iris.kubectl("wait", "--for=condition=Ready", "modelservice/iris", "--timeout=10s")
    columns, values = iris.kubectl("get", "mdsvc").strip().splitlines()
    shown = "NAME READY STAGE PROGRESS ETA REVISION METRIC REPLICAS URL AGE"
    assert columns.split() == shown.split()
    assert values.split()[:6] == ["iris", "True", "Serving", "100%", "1", "accuracy"]
    assert "learningRate" in iris.kubectl("explain", "modelservice.spec.training.optimizer.adam")


def test_applying_the_same_again_by_any_way_changes_nothing(iris: Space, tmp_path: Path) -> None:
    sample = SAMPLES / "iris.yaml"
    templates = tmp_path / "templates"
    templates.mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: flowers\nversion: 0.1.0\n")
    (templates / "iris.yaml").write_text(sample.read_text())
    install = ("upgrade", "--install", "flowers", str(tmp_path), "--namespace", iris.name, "--take-ownership")
    by_server = ("--server-side", "--force-conflicts")
    ways: dict[str, Callable[[], str]] = {
        "by kubectl": lambda: iris.kubectl("apply", "-f", sample) and iris.kubectl("diff", "-f", sample),
        "by the server": lambda: (
            iris.kubectl("apply", *by_server, "-f", sample) and iris.kubectl("diff", *by_server, "-f", sample)
        ),
        "by Helm": lambda: helm(*install) and "",
    }

    def seen() -> tuple[Object, Mapping[tuple[str, str], str]]:
        """All but whose the fields are, which each way writes."""
        service = iris.service("iris")
        kept = {key: value for key, value in iris.versions().items() if key != ("ModelService", "iris")}
        return {**service["status"], "spec": service["spec"], "generation": service["metadata"]["generation"]}, kept

    before = seen()
    for way, apply in ways.items():
        assert (apply(), apply()) == ("", ""), way
        assert seen() == before, way


def test_a_status_wiped_by_hand_comes_back_without_training(fleet: Spaces) -> None:
    space, _ = fleet
    before, stood = versions(fleet), space.service("iris")["status"]
    path = f"{MODEL_SERVICE.path(space.name, 'iris')}/status"
    wiped = space.api.request("PATCH", path, {"status": None}, content_type="application/merge-patch+json")
    assert wiped["status"] == {"observedGeneration": NOT_OBSERVED}
    again = space.wait_ready("iris")["status"]
    assert {**again, "conditions": []} == {**stood, "conditions": []}
    changed = {key for key, version in versions(fleet).items() if before.get(key) != version}
    assert changed == {(space.name, "ModelService", "iris")}


@pytest.mark.usefixtures("second_node_begun", "apart")  # which are no business of the operator's
def test_a_converged_operator_writes_nothing(
    fleet: Spaces, installation: Installation, figures: list[Figure], pytestconfig: pytest.Config
) -> None:
    seconds = pytestconfig.getoption("--converged-seconds")
    leader, written, before = installation.leader(), installation.writes(), versions(fleet)
    end = time.monotonic() + seconds
    while time.monotonic() < end:  # this is not waiting for something: the time without a write is what is tested
        time.sleep(min(5.0, max(0.0, end - time.monotonic())))
        assert versions(fleet) == before
    assert installation.leader() == leader
    writes = sum(installation.writes().values()) - sum(written.values())
    figures.append(at_most(f"objects written by a converged operator in {seconds:.0f} s", writes, "writes", 0))
    assert installation.writes() == written


def test_a_restarted_operator_writes_nothing(fleet: Spaces, installation: Installation, api: Api) -> None:
    before, old = versions(fleet), installation.leader()
    installation.kubectl("delete", "pod", old, "--wait=false")
    installation.wait_leader(other_than=old)
    wait_reconciled(installation, api)
    assert installation.writes() == {}
    assert versions(fleet) == before


def test_a_second_operator_stands_by_and_takes_over(fleet: Spaces, installation: Installation, api: Api) -> None:
    before = versions(fleet)
    installation.scale(2)
    leader = installation.wait_leader()
    (standby,) = {pod["metadata"]["name"] for pod in installation.pods()} - {leader}
    assert installation.metrics(standby)["modelservice_operator_leader"] == 0
    assert sum(v for k, v in installation.metrics(standby).items() if "reconciles_total" in k) == 0
    installation.kubectl("delete", "pod", leader, "--wait=false")
    installation.wait_leader(other_than=leader)
    wait_reconciled(installation, api)
    assert installation.writes() == {}
    assert versions(fleet) == before
    installation.scale(1)
    installation.wait_leader()


def test_a_newer_runtime_and_a_rollback_restart_no_model_under_load_but_one_that_follows(
    fleet: Spaces, installation: Installation, api: Api, figures: list[Figure]
) -> None:
    """The newer one builds pods in another way, and its trainer is missing."""
    pinned, follows = fleet
    before, stood, values = children(pinned), children(follows), installation.values
    newer = {"trainerImage": {**values["trainerImage"], "tag": "missing"}, "imagePullSecrets": [{"name": "newer"}]}
    with (
        keep_asking(pinned.address("iris"), "iris", ROWS, pause=0.05, most=10**4) as asked,
        keep_asking(follows.address("iris"), "iris", ROWS, pause=0.05, most=10**4) as asked_too,
    ):
        try:
            installation.install(**newer)
            wait_reconciled(installation, api)
            assert (children(pinned), children(follows)) == (before, stood)
            with terminal(follows.admin, follows.name) as shell:
                said = shell.type(typed_by(UPGRADE, "docs/operations.md"), instead={"NAMESPACE": follows.name})
            runs_on = "{repository}:{tag}".format_map(values["serverImage"])
            assert any(re.search(rf"^ +\d+ {re.escape(runs_on)}$", one, re.MULTILINE) for one in said.values()), said
            follows.apply(config_map("new", IRIS), model_service("new", serving={"replicas": 0}))
            since = time.monotonic()
            follows.wait("new", misses_its_image, what="says that the image is missing", seconds=30)
            seconds = time.monotonic() - since
            figures.append(at_most("image cannot be pulled: from apply to Ready's reason", seconds, "s", 10))
            eventually(lambda: any("Image" in one["reason"] for one in follows.events("new")), what="event", seconds=60)
            eventually(lambda: pull_secrets(follows) == {"newer"}, what="pods of the newer operator", seconds=60)
        finally:
            installation.roll_back()
        follows.wait_ready("new")
        eventually(lambda: pull_secrets(follows) == set(), what="pods of the older operator", seconds=60)
        assert follows.wait_ready("iris")["status"]["revision"] == 1
        assert children(pinned) == before
    for one in (asked, asked_too):
        assert (one.failures, set(one.answers)) == ([], {200})
    follows.patch("iris", {"serving": {"runtimePolicy": "Pinned"}})
    follows.kubectl("delete", "modelservice", "new")
    follows.wait_ready("iris")


def children(space: Space) -> dict[tuple[str, str], str]:
    """Versions of all that serves iris in a namespace; its status may say that something newer is there."""
    found = space.versions().items()
    return {key: version for key, version in found if key[0] != MODEL_SERVICE.kind and key[1].startswith("iris")}


def pull_secrets(space: Space) -> set[str]:
    """With which Secrets the serving pods of iris pull their image, one that still ends among them."""
    return {secret["name"] for pod in space.pods("iris", "serve") for secret in pod["spec"].get("imagePullSecrets", ())}


def misses_its_image(service: Object) -> bool:
    words = ("trainer:missing", "image.registry")
    return any(says(reason, *words)(service) for reason in ("ErrImagePull", "ImagePullBackOff"))


def test_changes_made_while_the_operator_was_gone_are_seen(fleet: Spaces, installation: Installation) -> None:
    iris, other = fleet
    installation.scale(0)
    iris.patch("iris", {"training": {"epochs": 40}})
    other.kubectl("delete", "service", "iris")
    other.kubectl("delete", "modelservice", "broken")
    address = iris.address("iris")
    assert predict(address, "iris", ROWS) == SPECIES
    installation.scale(1)
    eventually(lambda: other.api.get(SERVICE, other.name, "iris"), what="the Service")
    assert iris.wait_ready("iris")["status"]["revision"] == 2
    assert other.wait_ready("iris")["status"]["revision"] == 1
    assert condition(other.service("iris"), "Ready")["reason"] == "Serving"
    assert iris.address("iris") == address
    # The old revision counts as serving until its last pod is gone.
    iris.wait(
        "iris", lambda one: [r["phase"] for r in one["status"]["revisions"]] == ["Serving", "Retired"], what="retires"
    )


def test_uninstalled_and_installed_again_from_the_manifest_restarts_nothing(
    fleet: Spaces, installation: Installation, api: Api, tmp_path: Path
) -> None:
    before = versions(fleet)
    text = (ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8")
    for part, name in IMAGES.items():
        values, released = installation.values[part], f"modelservice/{name}:{__version__}"
        assert released in text
        text = text.replace(released, f"{values['repository']}:{values['tag']}")
    manifest = tmp_path / "install.yaml"
    manifest.write_text(text, encoding="utf-8")
    installation.kubectl_cluster("apply", "--dry-run=server", "-f", manifest)
    with keep_asking(fleet[0].address("iris"), "iris", ROWS, pause=0.05, most=6000) as asked:
        installation.uninstall()
        assert versions(fleet) == before
        assert api.get(DEPLOYMENT, "modelservice-system", RELEASE) is None
        installation.kubectl_cluster("apply", "-f", manifest)
        installation.wait_pods(1)
        wait_reconciled(installation, api)
        assert installation.writes() == {}
        assert versions(fleet) == before
        installation.install()
        wait_reconciled(installation, api)
        assert versions(fleet) == before
    assert (asked.failures, set(asked.answers)) == ([], {200})
