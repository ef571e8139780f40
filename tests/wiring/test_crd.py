"""The CRD on a real apiserver: it compiles, refuses in words, explains itself and scales."""

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support.cluster import kubectl
from tests.support.helm import ROOT
from tests.support.mutations import mutations
from tests.support.samples import FULL, BadSample, bad_samples, dotted, model_service, sample_files

from modelservice_operator.api.__main__ import crd_path
from modelservice_operator.api.crd import NAME

pytestmark = pytest.mark.cluster

REFUSAL = re.compile(r'"(broken-\d+)" is invalid: (.*)')


@pytest.fixture(scope="module")
def crd(kubeconfig: Path) -> Path:
    """The kubeconfig of a cluster that has the CRD of this checkout."""
    applied = kubectl("apply", "--server-side", "--force-conflicts", "-f", crd_path(ROOT), kubeconfig=kubeconfig)
    assert applied.returncode == 0, applied.stderr
    served = kubectl("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=30s", kubeconfig=kubeconfig)
    assert served.returncode == 0, served.stderr
    return kubeconfig


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


@pytest.mark.parametrize("sample", bad_samples(), ids=lambda sample: sample.name)
def test_refuses_with_the_path_and_the_rule(crd: Path, sample: BadSample) -> None:
    answer = kubectl("create", "--dry-run=server", "-f", "-", input=sample.text, kubeconfig=crd)
    assert answer.returncode != 0
    assert sample.field in answer.stderr
    assert sample.apiserver in answer.stderr


def test_refuses_what_is_out_of_bounds(crd: Path) -> None:
    broken = {
        f"broken-{number}": mutation
        for number, mutation in enumerate(
            mutation for path in sorted(FULL.glob("*.yaml")) for mutation in mutations(model_service(path))
        )
    }
    documents = [{**one.document, "metadata": {"name": name}} for name, one in broken.items()]
    answer = kubectl("create", "--dry-run=server", "-f", "-", input=yaml.safe_dump_all(documents), kubeconfig=crd)
    said = dict(REFUSAL.findall(answer.stderr))
    assert broken.keys() - said.keys() == set(), answer.stdout
    silent = {name: one.field for name, one in broken.items() if dotted(one.field) not in dotted(said[name])}
    assert silent == {}


@pytest.mark.parametrize("path", [*sample_files(), *sorted(FULL.glob("*.yaml"))], ids=lambda path: path.stem)
def test_takes_good_samples_strictly(namespace: str, crd: Path, path: Path) -> None:
    answer = kubectl("create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", path, kubeconfig=crd)
    assert answer.returncode == 0, answer.stderr


def test_explains_a_field_with_its_default(crd: Path) -> None:
    explained = kubectl("explain", "modelservice.spec.training.epochs", kubeconfig=crd).stdout
    assert "Passes over the data. Default 60. A change trains again." in " ".join(explained.split())


def test_scales_and_stores_only_replicas(namespace: str, crd: Path) -> None:
    minimal = ROOT / "manifests" / "samples" / "minimal.yaml"
    created = kubectl("create", "-n", namespace, "-f", minimal, kubeconfig=crd)
    assert created.returncode == 0, created.stderr
    assert _spec(namespace, crd)["serving"] == {"replicas": 1}
    assert set(_spec(namespace, crd)) == {"data", "model", "serving"}
    scaled = kubectl("scale", "modelservice/churn", "--replicas=3", "-n", namespace, kubeconfig=crd)
    assert scaled.returncode == 0, scaled.stderr
    assert _spec(namespace, crd)["serving"] == {"replicas": 3}


def test_kustomize_follows_the_generated_name(crd: Path) -> None:
    built = kubectl("kustomize", "manifests/samples/kustomize", "-o", "/dev/stdout", kubeconfig=crd)
    assert built.returncode == 0, built.stderr
    names = [line.split()[-1] for line in built.stdout.splitlines() if "name: flowers-" in line]
    assert len(names) == 2
    assert len(set(names)) == 1


def _spec(namespace: str, kubeconfig: Path) -> dict[str, object]:
    shown = kubectl("get", "modelservice", "churn", "-n", namespace, "-o", "json", kubeconfig=kubeconfig)
    spec: dict[str, object] = json.loads(shown.stdout)["spec"]
    return spec
