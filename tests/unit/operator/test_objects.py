"""Names of kinds and objects: paths, and what a document of the apiserver is called."""

import pytest

from modelservice_operator.kinds import DEPLOYMENT, EVENT, KINDS, MODEL_SERVICE, POD, ref_of
from modelservice_operator.objects import Key, Kind, Ref


@pytest.mark.parametrize(
    ("kind", "resource", "of_cluster", "of_namespace", "of_object"),
    [
        (POD, "pods/v1", "/api/v1/pods", "/api/v1/namespaces/n/pods", "/api/v1/namespaces/n/pods/a"),
        (
            DEPLOYMENT,
            "deployments.apps/v1",
            "/apis/apps/v1/deployments",
            "/apis/apps/v1/namespaces/n/deployments",
            "/apis/apps/v1/namespaces/n/deployments/a",
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Kind) else "",
)
def test_paths(kind: Kind, resource: str, of_cluster: str, of_namespace: str, of_object: str) -> None:
    assert kind.resource == resource
    assert (kind.path(None), kind.path("n"), kind.path("n", "a")) == (of_cluster, of_namespace, of_object)
    assert Ref(kind, "n", "a").path == of_object


def test_texts_for_people() -> None:
    assert str(Key("n", "a")) == "n/a"
    assert str(Ref(DEPLOYMENT, "n", "a")) == "Deployment n/a"


def test_a_document_names_its_object() -> None:
    document = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "n", "name": "a"}}
    assert ref_of(document) == Ref(DEPLOYMENT, "n", "a")


@pytest.mark.parametrize(
    "document",
    [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "n", "name": "a"}},
        {"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": {"namespace": "n", "name": "a"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "n"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}},
        {"apiVersion": "apps/v1", "kind": "Deployment"},
    ],
    ids=["foreign kind", "other version", "no name", "no namespace", "no metadata"],
)
def test_a_document_that_names_no_object_of_ours_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="needs a known apiVersion and kind"):
        ref_of(document)


def test_kinds_are_told_apart_by_version_and_kind() -> None:
    assert len({(kind.api_version, kind.kind) for kind in KINDS}) == len(KINDS)
    assert {MODEL_SERVICE, EVENT} < set(KINDS)
