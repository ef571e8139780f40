"""What Leases say of releases, and the requests that read it, against a small apiserver on loopback."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.operator.test_client import World, world  # noqa: F401 - a fixture

from modelservice_operator.constants import LEASE_NAME
from modelservice_operator.kinds import LEASE, SUBJECT_ACCESS_REVIEW
from modelservice_operator.kube.lease import ReleaseClient, parse_release, release_annotations
from modelservice_operator.kube.transport import ANSWER_BYTES
from modelservice_operator.machinery.errors import Forbidden
from modelservice_operator.machinery.rivals import ALL, Release

Object = dict[str, Any]


def lease(namespace: str, **annotations: str) -> Object:
    return {
        "metadata": {"namespace": namespace, "name": LEASE_NAME, "resourceVersion": "7", "annotations": annotations},
        "spec": {"holderIdentity": "pod", "renewTime": "2026-01-01T00:00:02.000000Z"},
    }


def written(namespace: str, *scope: str) -> Object:
    return lease(namespace, **release_annotations(scope=frozenset(scope), account="operator"))


@pytest.mark.parametrize("scope", [(), ("a",), ("b", "a")])
def test_what_a_release_writes_others_read(scope: tuple[str, ...]) -> None:
    assert parse_release(written("n", *scope)) == Release(
        namespace="n",
        version="7",
        holder="pod",
        renewed=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC),
        account="operator",
        scope=frozenset(scope),
    )


def test_a_lease_without_times_or_holder_can_be_read() -> None:
    release = parse_release({**written("n"), "spec": {}})
    assert release is not None
    assert (release.holder, release.renewed) == ("", None)


def test_a_time_that_no_clock_has_is_none() -> None:
    """An apiserver stores the year 0 in the Lease of whoever may write one, and Python has no such year."""
    release = parse_release(
        {**written("n"), "spec": {"holderIdentity": "pod", "renewTime": "0000-01-01T00:00:00.000000Z"}}
    )
    assert release is not None
    assert release.renewed is None


def test_a_lease_that_says_nothing_is_no_release() -> None:
    assert parse_release(lease("n")) is None
    assert parse_release({**lease("n"), "metadata": {"namespace": "n", "resourceVersion": "1"}}) is None
    assert release_annotations(scope=frozenset(), account="") == {}


async def test_leases_of_the_name_are_listed_in_all_namespaces(world: World) -> None:  # noqa: F811
    releases = ReleaseClient(transport=world.transport, name=LEASE_NAME)
    world.apiserver.answer(
        (200, {"metadata": {"continue": "next"}, "items": [written("a")]}),
        (200, {"metadata": {}, "items": [lease("released by 0.1"), written("b", "x")]}),
    )
    assert [release.namespace for release in await releases.list()] == ["a", "b"]
    for sent, more in zip(world.apiserver.sent, ({}, {"continue": "next"}), strict=True):
        assert sent.path == LEASE.path(None)
        assert sent.query == {"fieldSelector": f"metadata.name={LEASE_NAME}", "limit": "100", **more}


async def test_a_lease_that_somebody_made_huge_is_stepped_over(world: World) -> None:  # noqa: F811
    releases = ReleaseClient(transport=world.transport, name=LEASE_NAME)
    huge = {**written("tenant"), "spec": {"holderIdentity": "x" * ANSWER_BYTES}}
    page, rest = {"metadata": {"continue": "next"}, "items": [huge]}, {"metadata": {}, "items": [written("b")]}
    bare = {"metadata": {"continue": "next"}, "items": [{"metadata": huge["metadata"]}]}
    answers = 7  # the page of 100 halved down to one object
    world.apiserver.answer(*[(200, page)] * answers, (200, bare), (200, rest))
    assert [(release.namespace, release.holder) for release in await releases.list()] == [("tenant", ""), ("b", "pod")]


@pytest.mark.parametrize(("namespace", "asked"), [(ALL, ""), ("team-a", "team-a")])
async def test_a_release_is_proven_by_the_rights_of_its_account(
    world: World,  # noqa: F811
    namespace: str,
    asked: str,
) -> None:
    releases = ReleaseClient(transport=world.transport, name=LEASE_NAME)
    release = parse_release(written("n"))
    assert release is not None
    world.apiserver.answer((201, {"status": {"allowed": True}}), (201, {"status": {"allowed": False}}), (403, {}))
    assert await releases.proven(release, namespace)
    assert not await releases.proven(release, namespace)
    with pytest.raises(Forbidden):
        await releases.proven(release, namespace)
    sent = world.apiserver.sent[0]
    assert (sent.method, sent.path) == ("POST", SUBJECT_ACCESS_REVIEW.path(None))
    spec = sent.body["spec"]
    assert spec["user"] == "system:serviceaccount:n:operator"
    assert spec["resourceAttributes"] == {
        "verb": "patch",
        "group": "modelservice.dev",
        "resource": "modelservices",
        "subresource": "status",
        "namespace": asked,
    }
