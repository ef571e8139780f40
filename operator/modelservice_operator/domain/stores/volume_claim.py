"""A PersistentVolumeClaim for each stage key; the artifact is the folder of the key's name in it."""

from modelservice.contract.artifacts import AccessMode, Artifacts
from modelservice.contract.quantities import canonical_quantity
from modelservice_operator.domain.metadata import Children, Owner
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.records import ArtifactReference
from modelservice_operator.domain.stores.base import Access, Location, Portability
from modelservice_operator.kinds import PERSISTENT_VOLUME_CLAIM
from modelservice_operator.objects import Kind, Object

_SCHEME = "pvc"


class VolumeClaimStore:
    """Claims of the operator's own making, deleted with their keys."""

    choice = "volumeClaim"
    schemes = (_SCHEME,)
    downloads = False

    def locate(self, artifacts: Artifacts, owner: Owner, key: str) -> Location:
        """``pvc://CLAIM/KEY``."""
        del artifacts  # its place does not depend on how the claim is asked for
        return Location(uri=f"{_SCHEME}://{keyed_name(owner.name, key)}/{key}")

    def settle(self, location: Location, artifacts: Artifacts, *, stored_as: str | None) -> Location:
        """Where it was to lie."""
        del artifacts, stored_as
        return location

    def recall(self, reference: ArtifactReference, artifacts: Artifacts) -> Location:
        """As recorded: nothing but the claim opens it."""
        del artifacts
        return Location(uri=reference.uri)

    def settings(self, artifacts: Artifacts) -> object:
        """Class, size and access modes."""
        claim = artifacts.volume_claim
        return claim.model_dump(mode="json", exclude_defaults=True) if claim else {}

    def children(self, artifacts: Artifacts, owner: Owner, key: str) -> tuple[Object, ...]:
        """The claim."""
        claim = artifacts.volume_claim
        assert claim is not None  # noqa: S101 - the choice that led here
        spec: Object = {
            "accessModes": [mode.value for mode in claim.access_modes],
            "resources": {"requests": {"storage": canonical_quantity(claim.size)}},
        }
        if claim.storage_class_name:
            spec["storageClassName"] = claim.storage_class_name
        obj = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": owner.metadata(keyed_name(owner.name, key), key=key),
            "spec": spec,
        }
        return (obj,)

    def holders(self, location: Location) -> tuple[tuple[Kind, str], ...]:
        """The claim."""
        return ((PERSISTENT_VOLUME_CLAIM, _parts(location)[0]),)

    def holds(self, location: Location, children: Children) -> bool:
        """Whether the claim is there, and nobody deletes it: once that was asked for nothing can take it back."""
        claim = _claim(location, children)
        return claim is not None and not claim["metadata"].get("deletionTimestamp")

    def leaving(self, location: Location, children: Children) -> Object | None:
        """The claim, from its deletion until no pod holds it any more."""
        claim = _claim(location, children)
        return claim if claim is not None and claim["metadata"].get("deletionTimestamp") else None

    def unlike(self, location: Location, artifacts: Artifacts, children: Children) -> str:
        """Size and access modes, which a claim keeps: one that may hold an artifact is used as it was made."""
        claim, asked = _claim(location, children), artifacts.volume_claim
        if claim is None or asked is None:
            return ""
        made = claim["spec"]
        modes = [mode.value for mode in asked.access_modes]
        size = made.get("resources", {}).get("requests", {}).get("storage", "")
        pairs = (
            ("size", canonical_quantity(size), canonical_quantity(asked.size)),
            ("accessModes", ", ".join(sorted(made.get("accessModes", ()))), ", ".join(sorted(modes))),
        )
        words = [f"{field} {have} instead of {want}" for field, have, want in pairs if have != want]
        if not words:
            return ""
        return (
            f"PersistentVolumeClaim {claim['metadata']['name']} is used as it was made, with {' and '.join(words)}: "
            "spec.artifacts.volumeClaim counts for the next key"
        )

    def waiting(self, location: Location, children: Children) -> tuple[Object, ...]:
        """The claim while it is not bound."""
        claim = _claim(location, children)
        return () if claim is None or claim.get("status", {}).get("phase") == "Bound" else (claim,)

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
        """The claim, mounted at ``path``."""
        del image_volumes
        name, key = _parts(location)
        mount: Object = {"name": volume, "mountPath": path} | ({} if writable else {"readOnly": True})
        return Access(
            address=f"{path}/{key}",
            volumes=({"name": volume, "persistentVolumeClaim": {"claimName": name}},),
            mounts=(mount,),
            claim=name,
            shares_node=_shares_node(_claim(location, children)),
        )

    def portability(self, location: Location, children: Children) -> Portability:
        """Only what many nodes can mount is portable."""
        claim = _claim(location, children)
        if claim is None:
            words = (
                f"PersistentVolumeClaim {_parts(location)[0]} is not seen: pods that are made meanwhile share one node"
            )
            return Portability(portable=None, reason="ClaimNotSeen", message=words)
        if not _shares_node(claim):
            return Portability(portable=True, reason="ReadWriteMany", message="any node can mount the artifacts")
        words = "all pods of a revision share one node; use spec.artifacts.uri, or volumeClaim.accessModes:"
        return Portability(portable=False, reason="ReadWriteOnce", message=f"{words} [ReadWriteMany]")


def _parts(location: Location) -> tuple[str, str]:
    """Names of the claim and of the folder in it."""
    name, _, key = location.uri.removeprefix(f"{_SCHEME}://").partition("/")
    return name, key


def _claim(location: Location, children: Children) -> Object | None:
    name, _ = _parts(location)
    claims = children.get(PERSISTENT_VOLUME_CLAIM, ())
    return next((claim for claim in claims if claim["metadata"]["name"] == name), None)


def _shares_node(claim: Object | None) -> bool:
    """Whether one node only can mount it; of a claim that nobody sees that is taken for granted."""
    return claim is None or AccessMode.READ_WRITE_MANY not in claim["spec"].get("accessModes", ())
