"""The CRD on a real apiserver: it compiles, refuses in words, explains itself and scales."""

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.support import how_to
from tests.support.cluster import apiserver, kubectl
from tests.support.mutations import mutations
from tests.support.samples import FULL, SAMPLES, BadSample, bad_samples, dotted, model_service, objects, sample_files

from modelservice.contract.evaluation import Metric
from modelservice_operator.crd.crd import NAME
from modelservice_operator.crd.status import (
    CompressionStatus,
    Condition,
    ConditionType,
    EncoderStatus,
    ModelServiceStatus,
    RevisionPhase,
    RevisionStatus,
    SizedModel,
    Stage,
)
from modelservice_operator.kinds import MODEL_SERVICE

pytestmark = pytest.mark.cluster

GOOD = [*sample_files(), *sorted(FULL.glob("*.yaml"))]
AT_ONCE = 8


@pytest.fixture(scope="module")
def namespace(crd: Path) -> Iterator[str]:
    name = f"wiring-crd-{secrets.token_hex(3)}"
    created = kubectl("create", "namespace", name, kubeconfig=crd)
    assert created.returncode == 0, created.stderr
    yield name
    kubectl("delete", "namespace", name, "--wait=false", kubeconfig=crd)


def test_every_rule_compiles_within_the_cost_budget(crd: Path) -> None:
    shown = kubectl("get", "crd", NAME, "-o", "json", kubeconfig=crd)
    conditions = {one["type"]: one for one in json.loads(shown.stdout)["status"]["conditions"]}
    assert conditions["Established"]["status"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.fixture(scope="module")
def api(crd: Path) -> Iterator[httpx.Client]:
    with apiserver(crd) as client:
        yield client


def tried(api: httpx.Client, namespace: str, document: str | dict[str, Any]) -> httpx.Response:
    """What the apiserver says of a ModelService that is not stored, as text of YAML or as what it says.

    So it is asked by ``kubectl create --dry-run=server``, each of which is a process that learns all kinds first.
    """
    content, kind = (document, "yaml") if isinstance(document, str) else (json.dumps(document), "json")
    asked = {"dryRun": "All", "fieldValidation": "Strict"}
    headers = {"Content-Type": f"application/{kind}"}
    return api.post(MODEL_SERVICE.path(namespace), params=asked, headers=headers, content=content)


@pytest.mark.parametrize("sample", bad_samples(), ids=lambda sample: sample.name)
def test_refuses_with_the_path_and_the_rule(api: httpx.Client, namespace: str, sample: BadSample) -> None:
    answer = tried(api, namespace, sample.text)
    assert answer.status_code in {400, 422}
    said = answer.json()["message"]
    assert sample.field in said
    assert sample.apiserver in said


def test_refuses_what_is_out_of_bounds(api: httpx.Client, namespace: str) -> None:
    """Each bound once, however many files set its field, and lists hold items."""
    all_broken = [one for path in sorted(FULL.glob("*.yaml")) for one in mutations(model_service(path))]
    broken = [*{(re.sub(r"\[\d+\]", "[]", one.field), one.keyword): one for one in all_broken}.values()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda one: tried(api, namespace, one.document), broken)
    said = [
        (one, answer.status_code, answer.json().get("message", "")) for one, answer in zip(broken, answers, strict=True)
    ]
    assert [(one.field, one.keyword) for one, status, _ in said if status != httpx.codes.UNPROCESSABLE_ENTITY] == []
    assert [one.field for one, _, message in said if dotted(one.field) not in dotted(message)] == []


@pytest.fixture(scope="module")
def all_good(namespace: str, crd: Path) -> subprocess.CompletedProcess[str]:
    """What one kubectl says of all good files."""
    files = [part for path in GOOD for part in ("-f", path)]
    return kubectl(
        *("create", "--dry-run=server", "--validate=strict", "-n", namespace, *files), kubeconfig=crd, timeout=120
    )


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_takes_good_samples_strictly(all_good: subprocess.CompletedProcess[str], path: Path) -> None:
    assert [line for line in all_good.stderr.splitlines() if str(path) in line] == []


def test_takes_each_object_of_good_samples(all_good: subprocess.CompletedProcess[str]) -> None:
    assert (all_good.returncode, all_good.stderr) == (0, "")
    assert all_good.stdout.count("created (server dry run)") == sum(len(objects(path)) for path in GOOD)


@pytest.mark.parametrize("page", how_to.PAGES, ids=lambda path: path.stem)
def test_takes_what_how_to_pages_show(api: httpx.Client, namespace: str, page: Path) -> None:
    for one in how_to.model_services(page):
        one["metadata"].pop("namespace", None)
        answer = tried(api, namespace, one)
        assert answer.status_code == httpx.codes.CREATED, answer.text


def test_takes_a_quantity_as_a_laptop_does(namespace: str, crd: Path) -> None:
    written = ("1", "1.0", "1e9", '"1e9"', '"0.5"', "500m", "0x10")
    given = yaml.safe_dump(model_service(SAMPLES / "minimal.yaml"))
    documents = [
        given.replace("spec:\n", f"spec:\n  training: {{resources: {{limits: {{memory: {one}}}}}}}\n", 1)
        for one in written
    ]
    command = ("create", "--dry-run=server", "-n", namespace, "-f", "-")
    answer = kubectl(*command, input="---\n".join(documents), kubeconfig=crd)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.count("created") == len(written)


def test_explains_a_field_with_its_default(crd: Path) -> None:
    explained = kubectl("explain", "modelservice.spec.training.epochs", kubeconfig=crd).stdout
    assert "Passes over the data. Default 60. A change trains again." in " ".join(explained.split())


@pytest.fixture(scope="module")
def churn(namespace: str, crd: Path) -> str:
    """A stored ModelService; suspended, so that an operator of that cluster does nothing about it."""
    document = model_service(SAMPLES / "minimal.yaml")
    document["spec"]["suspend"] = True
    created = kubectl("create", "-n", namespace, "-f", "-", input=yaml.safe_dump(document), kubeconfig=crd)
    assert created.returncode == 0, created.stderr
    return str(document["metadata"]["name"])


def test_stores_only_replicas_and_scales(churn: str, namespace: str, crd: Path) -> None:
    def spec() -> dict[str, object]:
        shown = kubectl("get", "modelservice", churn, "-n", namespace, "-o", "json", kubeconfig=crd)
        stored: dict[str, object] = json.loads(shown.stdout)["spec"]
        return stored

    assert set(spec()) == {"data", "model", "serving", "suspend"}
    assert spec()["serving"] == {"replicas": 1}
    scaled = kubectl("scale", f"modelservice/{churn}", "--replicas=3", "-n", namespace, kubeconfig=crd)
    assert scaled.returncode == 0, scaled.stderr
    assert spec()["serving"] == {"replicas": 3}


def test_takes_autoscaling_beside_a_number_by_kubectl_scale(churn: str, namespace: str, crd: Path) -> None:
    autoscaling = {"spec": {"serving": {"autoscaling": {"maxReplicas": 5}}}}
    for given in (
        ("scale", f"modelservice/{churn}", "--replicas=2"),
        ("patch", "modelservice", churn, "--type=merge", "-p", json.dumps(autoscaling)),
        ("patch", "modelservice", churn, "--type=merge", "-p", '{"spec": {"serving": {"autoscaling": null}}}'),
    ):
        answer = kubectl(*given, "-n", namespace, kubeconfig=crd)
        assert answer.returncode == 0, answer.stderr


def test_a_scale_names_the_version_that_was_read(churn: str, namespace: str, crd: Path) -> None:
    """As the operator stores the number that an autoscaler leaves."""

    def scale(version: str) -> str:
        patch = json.dumps({"metadata": {"resourceVersion": version}, "spec": {"replicas": 4}})
        options = ("-n", namespace, "--subresource=scale", "--type=merge", "-p", patch)
        return kubectl("patch", "modelservice", churn, *options, kubeconfig=crd).stderr

    shown = kubectl("get", "modelservice", churn, "-n", namespace, "-o", "json", kubeconfig=crd)
    version = json.loads(shown.stdout)["metadata"]["resourceVersion"]
    assert scale(version) == ""
    assert "the object has been modified" in scale(version)


def test_takes_a_whole_status(churn: str, namespace: str, crd: Path) -> None:
    whole = _whole_status()
    assert whole.model_fields_set == ModelServiceStatus.model_fields.keys()
    assert whole.revisions[0].model_fields_set == RevisionStatus.model_fields.keys()
    status = whole.model_dump(mode="json", exclude_none=True)
    patched = kubectl(
        *("patch", "modelservice", churn, "-n", namespace, "--subresource=status", "--dry-run=server"),
        *("--type=merge", "-o", "json", "-p", json.dumps({"status": status})),
        kubeconfig=crd,
    )
    assert patched.returncode == 0, patched.stderr
    stored = json.loads(patched.stdout)["status"]
    assert stored == status


def test_the_table_shows_how_good_the_model_is(churn: str, namespace: str, crd: Path) -> None:
    shown = kubectl("get", "modelservice", churn, "-n", namespace, kubeconfig=crd)
    assert shown.stdout.splitlines()[0].split() == [
        *("NAME", "READY", "STAGE", "PROGRESS", "ETA", "REVISION", "METRIC", "REPLICAS", "URL", "AGE"),
    ]


def test_kustomize_follows_the_generated_name(crd: Path) -> None:
    built = kubectl("kustomize", "manifests/samples/kustomize", "-o", "/dev/stdout", kubeconfig=crd)
    assert built.returncode == 0, built.stderr
    names = [line.split()[-1] for line in built.stdout.splitlines() if "name: flowers-" in line]
    assert len(names) == 2
    assert len(set(names)) == 1


def _whole_status() -> ModelServiceStatus:
    now, digest = "2026-11-23T12:00:00Z", "sha256:" + "0" * 64
    condition = Condition(
        type=ConditionType.READY, status="True", observed_generation=1, last_transition_time=now, reason="A", message=""
    )
    sized = SizedModel(
        name="prune",
        parameters=99,
        nonzero=98,
        multiply_adds=90,
        bytes=1000,
        metric=0.9,
        low=0.8,
        high=0.95,
        seconds_of_row=0.001,
        seconds_of_batch=0.002,
    )
    revision = RevisionStatus(
        number=1,
        key="abc",
        digest=digest,
        data_digest=digest,
        uri="pvc://churn-abc/abc",
        source="s3://elsewhere/churn/abc",
        family="mlp",
        task="Binary",
        rows=150,
        primary_metric="accuracy",
        metrics=(Metric(name="accuracy", value=0.9, low=0.8, high=0.95), Metric(name="logLoss", value=0.1)),
        test_rows=30,
        parameters=99,
        size_bytes=20_000,
        compression=CompressionStatus(
            applied=True, metric="rocAuc", drop=0.01, low=-0.01, high=0.02, before=sized, after=sized, controls=(sized,)
        ),
        image="trainer:1",
        phase=RevisionPhase.SERVING,
        created_at=now,
    )
    return ModelServiceStatus(
        observed_generation=1,
        conditions=(condition,),
        stage=Stage.SERVING,
        progress="40%",
        eta="3m",
        key="abc",
        data_digest=digest,
        revision=1,
        last_revision=2,
        digest=digest,
        server_image="server:1",
        metric="accuracy 0.900",
        source="s3://elsewhere/churn/abc",
        encoder=EncoderStatus(name="minilm", digest=digest, width=384),
        used_by=("spam", "churn"),
        replicas=1,
        selector="a=b",
        url="http://churn.default.svc",
        example="curl ...",
        revisions=(revision,),
    )
