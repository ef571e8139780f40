"""What a store of artifacts answers to the operator; the pods read and write, with ``modelservice.artifact.stores``."""

from dataclasses import dataclass
from typing import Protocol

from modelservice.contract.artifacts import Artifacts
from modelservice_operator.domain.metadata import Children, Owner
from modelservice_operator.domain.records import ArtifactReference
from modelservice_operator.objects import Kind, Object


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where one artifact lies or is to lie: its URI, and the Secret that opens it, if one does.

    ``within`` says of what is recorded, in words, where a pod has one such Secret only; empty where it may have many.
    """

    uri: str
    secret: str | None = None
    within: str = ""


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a pod needs to reach an artifact.

    ``address`` is what its command is told; ``claim`` the claim that it mounts; ``shares_node`` whether that claim can
    be mounted on one node only, so that its pods must be kept together. ``env`` are variables of the container,
    ``pull_secrets`` what its node pulls with.
    """

    address: str
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    env: tuple[Object, ...] = ()
    env_from: tuple[Object, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    claim: str | None = None
    shares_node: bool = False


@dataclass(frozen=True, kw_only=True)
class Portability:
    """Whether any node can serve an artifact, None where nobody can tell; with the condition's reason and message."""

    portable: bool | None
    reason: str
    message: str


class Store(Protocol):
    """One kind of place for artifacts; registered in ``stores.STORES``.

    Children of a store are named ``names.keyed_name``, so that they are kept and deleted with their key.
    """

    @property
    def choice(self) -> str:
        """The alternative of ``spec.artifacts`` that asks for it."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """Schemes of its URIs."""

    @property
    def downloads(self) -> bool:
        """Whether artifacts come over the network, so that it pays to keep them."""

    def locate(self, artifacts: Artifacts, owner: Owner, key: str) -> Location:
        """Where the artifact of a key is to lie."""

    def settle(self, location: Location, artifacts: Artifacts, *, stored_as: str | None) -> Location:
        """Where the artifact lies that a pod stored there and reported, and the Secret that it is read with.

        ``stored_as`` is the digest that the store knows it by, if it knows one. A report is believed that far, and not
        as to where it lies.
        """

    def recall(self, reference: ArtifactReference, artifacts: Artifacts) -> Location:
        """Where a recorded artifact lies, opened with what the spec says now if it speaks of the same place."""

    def settings(self, artifacts: Artifacts) -> object:
        """What decides how a pod reaches the store, as JSON: another value is another attempt."""

    def children(self, artifacts: Artifacts, owner: Owner, key: str) -> tuple[Object, ...]:
        """Objects that must be there before an artifact of this key is written."""

    def holders(self, location: Location) -> tuple[tuple[Kind, str], ...]:
        """Kind and name of the children without which the artifact is lost."""

    def holds(self, location: Location, children: Children) -> bool:
        """Whether the artifact is there to stay, as far as can be seen."""

    def leaving(self, location: Location, children: Children) -> Object | None:
        """The child that holds the artifact, where it is on its way out; None where it stays, or is gone."""

    def unlike(self, location: Location, artifacts: Artifacts, children: Children) -> str:
        """In what the child that holds the artifact is unlike what the spec asks for now, in words; or nothing."""

    def waiting(self, location: Location, children: Children) -> tuple[Object, ...]:
        """Children of the store that are not ready, whose events may say why a pod does not start."""

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
        """What a pod needs; ``volume`` and ``path`` name its volume and where it is mounted, if it needs one.

        ``image_volumes``: whether nodes may mount an image for it.
        """

    def portability(self, location: Location, children: Children) -> Portability:
        """Whether any node can serve the artifact."""


class OutsideTheCluster:
    """What the stores have in common whose artifacts lie outside: no children, and nothing that the operator sees."""

    def children(self, artifacts: Artifacts, owner: Owner, key: str) -> tuple[Object, ...]:
        """None: the place is there."""
        del artifacts, owner, key
        return ()

    def holders(self, location: Location) -> tuple[tuple[Kind, str], ...]:
        """None."""
        del location
        return ()

    def holds(self, location: Location, children: Children) -> bool:
        """What was stored is taken to be there: a node or a pod that misses it says so."""
        del location, children
        return True

    def leaving(self, location: Location, children: Children) -> Object | None:
        """None: nobody tells the operator."""
        del location, children
        return None

    def unlike(self, location: Location, artifacts: Artifacts, children: Children) -> str:
        """Nothing: there is no child."""
        del location, artifacts, children
        return ""

    def waiting(self, location: Location, children: Children) -> tuple[Object, ...]:
        """None."""
        del location, children
        return ()
