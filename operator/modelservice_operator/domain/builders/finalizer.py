"""What is said of a ModelService itself, under a field manager that says nothing else: its finalizer."""

from modelservice.contract.resource import API_VERSION, KIND
from modelservice_operator.constants import FINALIZER
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.objects import Object


def build_finalizer(owner: Owner, *, there: bool) -> Object:
    """The ModelService with the finalizer, or without it: an apply that leaves it out gives it back."""
    metadata: Object = {"name": owner.name, "namespace": owner.namespace}
    if there:
        metadata["finalizers"] = [FINALIZER]
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata}


def has_finalizer(service: Object) -> bool:
    """Whether a ModelService waits for what it stored to be deleted, or will."""
    return FINALIZER in service["metadata"].get("finalizers", ())
