"""Artifacts as images of a registry, ``REPOSITORY/NAMESPACE/NAME:KEY``: nodes mount them by digest, pods push them."""

from modelservice.contract.artifacts import Artifacts, ImageArtifacts
from modelservice.contract.keys import key_of
from modelservice.contract.places import REGISTRY_FILE, REGISTRY_PATH
from modelservice_operator.domain.metadata import Children, Owner
from modelservice_operator.domain.records import ArtifactReference
from modelservice_operator.domain.stores.base import Access, Location, OutsideTheCluster, Portability

_SCHEME = "oci"
_PLAIN_SCHEME = "oci+http"
_SECRET_KEY = ".dockerconfigjson"  # noqa: S105 - as Kubernetes calls it


class ImageRegistry(OutsideTheCluster):
    """Repositories of the user's; the operator has no credentials, so it sees nothing of what is in them."""

    choice = "image"
    schemes = (_SCHEME, _PLAIN_SCHEME)
    downloads = False
    """Where pods download, they do it anew with each start: a cluster that mounts images is what this is for."""

    def locate(self, artifacts: Artifacts, owner: Owner, key: str) -> Location:
        """A repository of the ModelService's own, and the key as tag."""
        image = _asked(artifacts)
        scheme = _PLAIN_SCHEME if image.plain_http else _SCHEME
        uri = f"{scheme}://{image.repository}/{owner.namespace}/{owner.name}:{key}"
        return Location(uri=uri, secret=image.push_secret_ref.name if image.push_secret_ref else None)

    def settle(self, location: Location, artifacts: Artifacts, *, stored_as: str | None) -> Location:
        """With the digest of the image: a tag may come to name another one."""
        digest = f"@{stored_as}" if stored_as else ""
        return Location(uri=f"{location.uri}{digest}", secret=_pull_secret(_asked(artifacts)))

    def recall(self, reference: ArtifactReference, artifacts: Artifacts) -> Location:
        """As recorded; opened and reached as the spec says now where it names the same place."""
        image, place = artifacts.image, _place(reference.uri)
        within = f"in {place.partition('/')[0]} with passwords of"
        if image is None or not place.startswith(f"{image.repository}/"):
            return Location(uri=reference.uri, secret=reference.secret_name, within=within)
        scheme = _PLAIN_SCHEME if image.plain_http else _SCHEME
        return Location(uri=f"{scheme}://{place}", secret=_pull_secret(image), within=within)

    def settings(self, artifacts: Artifacts) -> object:
        """Repository, Secrets and whether TLS is left out."""
        return _asked(artifacts).model_dump(mode="json", exclude_defaults=True)

    def access(
        self,
        location: Location,
        children: Children,
        *,
        volume: str,
        path: str,
        writable: bool,
        image_volumes: bool = False,
    ) -> Access:
        """The image, mounted in the folder of the key; or its address, and the Secret as a file.

        An image without a recorded digest is downloaded, since a node would take the tag for it.
        """
        del children
        place = _place(location.uri)
        name, _, digest = place.partition("@")
        if image_volumes and digest and not writable:
            folder = f"{path}/{key_of(location.uri)}"
            reference = f"{name.rpartition(':')[0]}@{digest}"
            return Access(
                address=folder,
                volumes=({"name": volume, "image": {"reference": reference, "pullPolicy": "IfNotPresent"}},),
                mounts=({"name": volume, "mountPath": folder, "readOnly": True},),
                pull_secrets=(location.secret,) if location.secret else (),
            )
        if location.secret is None:
            return Access(address=location.uri)
        held = f"registry-{volume}"
        items = [{"key": _SECRET_KEY, "path": REGISTRY_FILE}]
        return Access(
            address=location.uri,
            volumes=({"name": held, "secret": {"secretName": location.secret, "items": items}},),
            mounts=({"name": held, "mountPath": f"{REGISTRY_PATH}/{volume}", "readOnly": True},),
        )

    def portability(self, location: Location, children: Children) -> Portability:
        """Any node that reaches the registry can serve."""
        del location, children
        return Portability(portable=True, reason="ImageRegistry", message="any node can pull the artifacts")


def _asked(artifacts: Artifacts) -> ImageArtifacts:
    assert artifacts.image is not None  # noqa: S101 - the choice that led here
    return artifacts.image


def _pull_secret(image: ImageArtifacts) -> str | None:
    chosen = image.pull_secret_ref or image.push_secret_ref
    return chosen.name if chosen else None


def _place(uri: str) -> str:
    """What follows the scheme."""
    return uri.partition("://")[2]
