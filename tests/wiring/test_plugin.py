"""What ``kubectl modelservice`` writes, on a real apiserver: nothing where it only says it, and no other object."""

import json
from pathlib import Path

import pytest
from tests.wiring.test_operator import Object, model_service, namespace, run  # noqa: F401

from modelservice.cli.completion import kubectl
from modelservice.cluster.access import Access
from modelservice.cluster.errors import ClusterError, NotFoundError
from modelservice.cluster.retrying import RETRY_ANNOTATION

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]


def job(namespace: str, name: str) -> Object:  # noqa: F811
    container = {"name": "stage", "image": "none", "command": ["none"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    metadata = {"namespace": namespace, "name": name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"suspend": True, "template": template},
    }


def uid_of(namespace: str, name: str) -> str | None:  # noqa: F811
    found = run("get", "job", name, "-n", namespace, "--ignore-not-found", "-o", "json")
    return json.loads(found)["metadata"]["uid"] if found.strip() else None


def access_to(crd: Path, namespace: str) -> Access:  # noqa: F811
    return Access(kubeconfig=str(crd), namespace=namespace)


def test_a_job_is_deleted_by_its_uid_and_a_dry_run_deletes_nothing(crd: Path, namespace: str) -> None:  # noqa: F811
    run("apply", "-f", "-", document=job(namespace, "iris-train-key-1"))
    uid, access = uid_of(namespace, "iris-train-key-1"), access_to(crd, namespace)
    assert uid is not None
    access.delete_job("iris-train-key-1", uid, dry_run=True)
    with pytest.raises(ClusterError, match=r"(?i)precondition"):
        access.delete_job("iris-train-key-1", "00000000-0000-0000-0000-000000000000")
    assert uid_of(namespace, "iris-train-key-1") == uid
    access.delete_job("iris-train-key-1", uid)
    assert uid_of(namespace, "iris-train-key-1") is None
    with pytest.raises(NotFoundError):
        access.delete_job("iris-train-key-1", uid)


def test_a_retry_of_a_rollout_leaves_the_other_annotations(crd: Path, namespace: str) -> None:  # noqa: F811
    document = model_service(namespace, "iris")
    document["spec"]["serving"] = {"podMetadata": {"annotations": {"team": "a"}}}
    run("apply", "-f", "-", document=document)
    access = access_to(crd, namespace)
    change = {"spec": {"serving": {"podMetadata": {"annotations": {RETRY_ANNOTATION: "1"}}}}}
    access.patch("iris", change, dry_run=True)
    assert access.service("iris")["spec"]["serving"]["podMetadata"]["annotations"] == {"team": "a"}
    access.patch("iris", change)
    found = access.service("iris")["spec"]["serving"]["podMetadata"]["annotations"]
    assert found == {"team": "a", RETRY_ANNOTATION: "1"}


def test_names_are_completed_from_the_cluster(
    crd: Path,
    namespace: str,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("iris", "irises", "wine"):
        run("apply", "-f", "-", document=model_service(namespace, name))
    kubectl(["status", "--kubeconfig", str(crd), "--namespace", namespace, "iri"])
    assert sorted(capsys.readouterr().out.splitlines()) == [":4", "iris", "irises"]
    # A namespace where nothing is, and an apiserver that is not there, offer nothing and say nothing.
    kubectl(["status", "--kubeconfig", str(crd), "--namespace", "default-of-nobody", ""])
    assert not any(line.startswith(("iris", "wine")) for line in capsys.readouterr().out.splitlines())
