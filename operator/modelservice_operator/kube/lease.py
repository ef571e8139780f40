"""Leases over HTTP: compare-and-swap of the operator's own, and what those of other releases say."""

from collections.abc import Mapping
from datetime import datetime

from modelservice_operator.constants import ANNOTATION_ACCOUNT, ANNOTATION_NAMESPACES
from modelservice_operator.kinds import LEASE, MODEL_SERVICE, SUBJECT_ACCESS_REVIEW, ref_of
from modelservice_operator.kube.paging import Pager
from modelservice_operator.kube.transport import Transport
from modelservice_operator.machinery.errors import Conflict, NotFound
from modelservice_operator.machinery.rivals import ALL, Release, Scope
from modelservice_operator.objects import Object, Ref

LEASE_TIMEOUT_SECONDS = 2.5
"""So that after one that was never answered there is time for another before the renewal deadline (7.5 s), and less
than the lease (12 s) without that deadline: a request ends before another replica may lead."""


class LeaseClient:
    """Compare-and-swap of Leases for leader election: the only writes that need no lease."""

    def __init__(self, *, transport: Transport) -> None:
        self._transport = transport

    async def get(self, ref: Ref) -> Object | None:
        """The Lease, or None."""
        try:
            return await self._transport.request("get", "GET", LEASE, ref.path, timeout_seconds=LEASE_TIMEOUT_SECONDS)
        except NotFound:
            return None

    async def create(self, lease: Object) -> Object:
        """Create the Lease; ``Conflict`` if somebody else was faster."""
        path = LEASE.path(ref_of(lease).namespace)
        return await self._transport.request(
            "create", "POST", LEASE, path, body=lease, timeout_seconds=LEASE_TIMEOUT_SECONDS
        )

    async def replace(self, lease: Object) -> Object:
        """Replace the version named by the Lease's ``resourceVersion``; ``Conflict`` if it is not the latest."""
        try:
            return await self._transport.request(
                "update", "PUT", LEASE, ref_of(lease).path, body=lease, timeout_seconds=LEASE_TIMEOUT_SECONDS
            )
        except NotFound as error:
            raise Conflict(str(error)) from error


class ReleaseClient:
    """``Releases`` on a transport: Leases of one name in all namespaces, proven by the cluster's roles."""

    def __init__(self, *, transport: Transport, name: str) -> None:
        self._transport = transport
        self._name = name

    async def list(self) -> list[Release]:
        """What the Leases say; those that say nothing, as an older release's do not, are left out."""
        # RBAC by resourceNames allows a list only with this selector.
        params = {"fieldSelector": f"metadata.name={self._name}"}
        pages = Pager(transport=self._transport, kind=LEASE, path=LEASE.path(None), params=params, metadata_only=False)
        found: list[Release] = []
        while (page := await pages.next()) is not None:
            found += [release for lease in page.items if (release := parse_release(lease)) is not None]
        return found

    async def proven(self, release: Release, namespace: str) -> bool:
        """Whether the release's ServiceAccount may write the status of ModelServices in the namespace."""
        review = {
            "apiVersion": SUBJECT_ACCESS_REVIEW.api_version,
            "kind": SUBJECT_ACCESS_REVIEW.kind,
            "spec": {
                "user": f"system:serviceaccount:{release.namespace}:{release.account}",
                "groups": [
                    "system:authenticated",
                    "system:serviceaccounts",
                    f"system:serviceaccounts:{release.namespace}",
                ],
                "resourceAttributes": {
                    "verb": "patch",
                    "group": MODEL_SERVICE.group,
                    "resource": MODEL_SERVICE.plural,
                    "subresource": "status",
                    "namespace": "" if namespace == ALL else namespace,
                },
            },
        }
        path = SUBJECT_ACCESS_REVIEW.path(None)
        answer = await self._transport.request(
            "create", "POST", SUBJECT_ACCESS_REVIEW, path, body=review, timeout_seconds=LEASE_TIMEOUT_SECONDS
        )
        return bool(answer["status"]["allowed"])


def release_annotations(*, scope: Scope, account: str) -> dict[str, str]:
    """What a release writes on its Lease, for the other releases to read.

    Args:
        scope: namespaces that it works in; none for all.
        account: name of its ServiceAccount; without one, as outside a cluster, it cannot be proven and so not claimed.
    """
    return {ANNOTATION_NAMESPACES: ",".join(sorted(scope)) or ALL, ANNOTATION_ACCOUNT: account} if account else {}


def parse_release(lease: Object) -> Release | None:
    """What a Lease says of its release, or None where it says nothing; one too large to be read whole has no holder."""
    metadata, spec = lease["metadata"], lease.get("spec") or {}
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    namespaces, account = annotations.get(ANNOTATION_NAMESPACES), annotations.get(ANNOTATION_ACCOUNT)
    if not namespaces or not account:
        return None
    return Release(
        namespace=metadata["namespace"],
        version=metadata["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        renewed=_moment(spec.get("renewTime")),
        account=account,
        scope=frozenset() if namespaces == ALL else frozenset(namespaces.split(",")),
    )


def _moment(text: str | None) -> datetime | None:
    """A time of Kubernetes, or None for one that Python has not, such as one in the year 0."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
