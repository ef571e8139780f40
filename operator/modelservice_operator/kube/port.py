"""What the reconciler needs from Kubernetes, and nothing more; tests implement it with dictionaries."""

from collections.abc import Sequence
from typing import Protocol

from modelservice.contract.progress import Progress
from modelservice_operator.answers import Answers
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

    async def names(self, kind: Kind, namespace: str) -> frozenset[str] | None:
        """Names of all objects in a namespace; None where they do not fit into one page of metadata."""

    async def autoscalers_of(self, ref: Ref) -> tuple[str, ...]:
        """Names of the HorizontalPodAutoscalers of its namespace that scale this object, a few of them."""

    async def list_metadata(self, kind: Kind, *, label_selector: str | None = None) -> list[Object]:
        """``PartialObjectMetadata`` of all objects in the watched namespaces."""

    async def apply(self, obj: Object, *, uid: str | None, manager: str = FIELD_MANAGER) -> Object:
        """Server-side apply with ``force`` to the object with this UID; None: the apply must make it.

        Returns:
            The object as it is stored.

        Raises:
            Conflict: No object of that name has this UID; or there is one although it must be new.
            Invalid: The apiserver refuses the object, such as a changed immutable field.
        """

    async def apply_status(self, obj: Object) -> Object:
        """Server-side apply to the status subresource of exactly the version in ``metadata.resourceVersion``.

        Returns:
            The object as it is stored.

        Raises:
            Conflict: The object was changed or deleted meanwhile.
            Invalid: The apiserver refuses the status.
        """

    async def adopt(self, ref: Ref, *, uid: str, metadata: Object) -> Object:
        """Write ``labels`` and ``ownerReferences`` of the object with this UID; its other metadata stay.

        Returns:
            The object as it is stored.

        Raises:
            Conflict: No object of that name has this UID.
        """

    async def strip(self, ref: Ref, *, uid: str, version: str, pointers: Sequence[str]) -> Object:
        """Remove fields that other field managers hold, which no apply can: by JSON pointer, in this order.

        Returns:
            The object as it is stored.

        Raises:
            Conflict: The object is no longer of this UID and ``resourceVersion``.
            Invalid: The apiserver refuses the object without them.
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

    async def last_events(self, namespace: str, uid: str) -> list[Object]:
        """Events about the object with this UID, oldest first: of one page, at most 50.

        None of them where even a few are too large to be read: whoever may write Events must not fill our memory.
        """

    async def workloads(self, namespace: str, job_uid: str) -> list[Object] | None:
        """What Kueue made for the Job with this UID, at most a few; None where the cluster has no Kueue."""

    async def record_event(self, regarding: Object, *, reason: str, message: str, warning: bool = False) -> None:
        """Say what happened as an Event on an object; a repeat raises the count of the first, now and then.

        Best effort: never raises ``KubeError``.
        """


class ProgressPort(Protocol):
    """Asks pods: of a stage how far it is, of a server how it answered."""

    async def read(self, address: str) -> Progress | None:
        """Progress of the pod with this IP address, or None if it does not answer well within a second."""

    async def read_answers(self, address: str, port: int) -> Answers | None:
        """What the server of the pod with this IP address counted, or None if it does not answer well in a second."""
