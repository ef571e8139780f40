"""``spec.artifacts``: where trained models are stored."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelservice.contract.base import Contract, ObjectName, OneOf, Quantity


class AccessMode(StrEnum):
    """How nodes may mount a claim; ReadWriteOnce keeps all pods of a claim on one node."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"


class VolumeClaim(Contract):
    """One PersistentVolumeClaim for each stage key, made and deleted by the operator."""

    storage_class_name: ObjectName | None = Field(default=None, description="Default: the cluster's default class.")
    access_modes: Annotated[tuple[AccessMode, ...], Field(min_length=1, max_length=2)] = Field(
        default=(AccessMode.READ_WRITE_ONCE,),
        description="Default ReadWriteOnce, which keeps the pods of a claim on one node.",
    )
    size: Quantity = Field(default="1Gi", description="Requested size. Default 1Gi. Applies to claims made later.")


class Artifacts(OneOf):
    """Exactly one kind of artifact store."""

    volume_claim: VolumeClaim | None = Field(default=None, description="A claim for each stage key.")
