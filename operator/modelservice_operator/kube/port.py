"""What the reconciler needs from Kubernetes, and nothing more; tests implement it with dictionaries."""

from typing import Protocol

from modelservice.contract.progress import Progress
from modelservice_operator.constants import FIELD_MANAGER
from modelservice_operator.objects import Kind, Object, Ref


class KubePort(Protocol):
    """Reads and writes of namespaced objects.

    Every method may raise ``Transient`` or ``Forbidden``. Writes raise ``Transient`` while this replica is not the
    leader, before anything is sent.
    """

    async def get(self, ref: Ref) -> Object | None:
        """The whole object, or None."""

    async def get_metadata(self, ref: Ref) -> Object | None:
        """``PartialObjectMetadata`` of the object, or None; its cost does not grow with the object's data."""

    async def list_metadata(self, kind: Kind, *, label_selector: str | None = None) -> list[Object]:
        """``PartialObjectMetadata`` of all objects in the watched namespaces."""

    async def apply(self, obj: Object, *, manager: str = FIELD_MANAGER, fresh: bool = False) -> Object:
        """Server-side apply with ``force``; answers with the object as it is stored.

        Raises:
            Conflict: The object of that name is being replaced or deleted; with ``fresh``, there is one.
            Invalid: The apiserver refuses the object, such as a changed immutable field.
        """

    async def apply_status(self, obj: Object) -> Object:
        """Server-side apply to the status subresource.

        Raises:
            Conflict: The object was deleted meanwhile, so that there is nothing to describe.
        """

    async def scale(self, ref: Ref, *, replicas: int, version: str) -> None:
        """Set the number of replicas by the scale subresource, as ``kubectl scale`` does.

        Raises:
            Conflict: The object is no longer of this ``resourceVersion``.
        """

    async def delete(self, ref: Ref, *, uid: str, propagation: str = "Background") -> None:
        """Delete exactly the object with this UID; what is gone already is fine.

        Raises:
            Conflict: An object of that name with another UID stands there.
        """

    async def events(self, namespace: str, uid: str) -> list[Object]:
        """The latest events about the object with this UID, at most 50, oldest first."""

    async def record_event(self, regarding: Object, *, reason: str, message: str, warning: bool = False) -> None:
        """Say what happened as an Event on an object; a repeat raises the count of the first, now and then.

        Best effort: never raises ``KubeError``.
        """


class ProgressPort(Protocol):
    """Asks a training pod how far it is."""

    async def read(self, address: str) -> Progress | None:
        """Progress of the pod with this IP address, or None if it does not answer well within a second."""
