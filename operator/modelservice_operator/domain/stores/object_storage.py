"""S3 and its kin: artifacts lie under ``URI/NAMESPACE/NAME/KEY``, and pods fetch them with the Secret's variables."""

from modelservice.contract.artifacts import Artifacts
from modelservice_operator.domain.metadata import Children, Owner
from modelservice_operator.domain.names import ALL, parse_deletion_name
from modelservice_operator.domain.records import ArtifactReference
from modelservice_operator.domain.stores.base import Access, Location, OutsideTheCluster, Portability
from modelservice_operator.kinds import JOB
from modelservice_operator.objects import Object


class ObjectStorage(OutsideTheCluster):
    """Buckets of the user's; the operator has no credentials, so it sees nothing of what is in them.

    What it knows is that a Job of its own deletes something there: while that Job is there, ended or not, nobody can
    tell what is left.
    """

    choice = "uri"
    schemes = ("s3", "gs", "az")
    downloads = True

    def locate(self, artifacts: Artifacts, owner: Owner, key: str) -> Location:
        """A folder of the key's own."""
        return Location(uri=f"{artifacts.uri}/{owner.namespace}/{owner.name}/{key}", secret=_secret(artifacts))

    def settle(self, location: Location, artifacts: Artifacts, *, stored_as: str | None) -> Location:
        """Where it was to lie."""
        del artifacts, stored_as
        return location

    def recall(self, reference: ArtifactReference, artifacts: Artifacts) -> Location:
        """As recorded; with today's Secret where the spec names the same place, since credentials are exchanged."""
        same = artifacts.uri is not None and reference.uri.startswith(f"{artifacts.uri}/")
        secret = _secret(artifacts) if same else reference.secret_name
        return Location(uri=reference.uri, secret=secret, within="with variables of")

    def settings(self, artifacts: Artifacts) -> object:
        """URI and Secret."""
        return [artifacts.uri, _secret(artifacts)]

    def holds(self, location: Location, children: Children) -> bool:
        """What was stored is taken to be there, unless a Job deletes it: a pod that misses it says so."""
        return self.leaving(location, children) is None

    def leaving(self, location: Location, children: Children) -> Object | None:
        """The Job that deletes it, as long as that is there."""
        _, service, key = location.uri.rsplit("/", 2)
        for job in children.get(JOB, ()):
            deletes = parse_deletion_name(service, job["metadata"]["name"])
            if deletes is not None and deletes[0] in (key, ALL):
                return job
        return None

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
        """The URI itself, and the variables of the Secret."""
        del children, volume, path, writable, image_volumes
        secret = ({"secretRef": {"name": location.secret}},) if location.secret else ()
        return Access(address=location.uri, env_from=secret)

    def portability(self, location: Location, children: Children) -> Portability:
        """Any node that reaches the storage can serve."""
        del location, children
        return Portability(portable=True, reason="ObjectStorage", message="any node can fetch the artifacts")


def _secret(artifacts: Artifacts) -> str | None:
    return artifacts.secret_ref.name if artifacts.secret_ref else None
