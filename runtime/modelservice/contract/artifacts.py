"""``spec.artifacts``: where trained models are stored."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from modelservice.contract.base import Contract, ObjectName, OneOf, Quantity, Rule, Worded
from modelservice.contract.pods import NameReference
from modelservice.contract.quantities import quantity_value

ObjectUri = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Worded(
        r"^(s3|gs|az)://[a-z0-9][-a-z0-9_.]{1,62}(/[A-Za-z0-9][-A-Za-z0-9_.]{0,127})*$",
        "must be a bucket and perhaps a folder, such as s3://models/team, with no '/' at the end",
    ),
]

ImageRepository = Annotated[
    str,
    StringConstraints(min_length=3, max_length=128),
    Worded(
        r"^([a-z0-9][-a-z0-9]*(\.[a-z0-9][-a-z0-9]*)+(:[0-9]{1,5})?|[a-z0-9][-a-z0-9]*:[0-9]{1,5})"
        r"(/[a-z0-9]+([-._]+[a-z0-9]+)*)*$",
        "must be the host of a registry, with its port if it has one, and perhaps a path, such as"
        " registry.example/models, without https:// and without a tag",
    ),
]

SecretFile = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Worded(
        r"^[A-Za-z0-9_-][-._A-Za-z0-9]*$",
        "must be a key of a Secret: letters, digits, '-', '_' and '.', no '.' in front",
    ),
]

_SECRET_OF_URI = Rule(
    "!has(self.secretRef) || has(self.uri)", "secretRef holds the credentials of uri: set uri, or leave secretRef out"
)
_CACHE_OF_URI = Rule(
    "!has(self.cache) || has(self.uri)", "cache keeps what is downloaded from uri: set uri, or leave cache out"
)
_NO_POLICY_OF_IMAGES = Rule(
    "!has(self.deletionPolicy) || !has(self.image)",
    "deletionPolicy is of claims and of what lies below uri: leave it out, since images stay, which registries often"
    " let nobody delete: set a retention rule there",
)
_SOME_SIZE = Rule(
    "!has(self.size) || !quantity(string(self.size)).isLessThan(quantity('1'))", "size must be at least 1 byte"
)


class AccessMode(StrEnum):
    """How nodes may mount a claim; ReadWriteOnce keeps all pods of a claim on one node."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"


class DeletionPolicy(StrEnum):
    """What becomes of artifacts that no revision needs any more."""

    RETAIN = "Retain"
    DELETE = "Delete"


def _check_size(size: str) -> None:
    if quantity_value(size) < 1:
        raise ValueError(_SOME_SIZE.message)


class VolumeClaim(Contract):
    """One PersistentVolumeClaim for each stage key, made and deleted by the operator."""

    RULES = (_SOME_SIZE,)

    storage_class_name: ObjectName | None = Field(default=None, description="Default: the cluster's default class.")
    access_modes: Annotated[tuple[AccessMode, ...], Field(min_length=1, max_length=2)] = Field(
        default=(AccessMode.READ_WRITE_ONCE,),
        description="Default ReadWriteOnce, which keeps the pods of a claim on one node.",
    )
    size: Quantity = Field(default="1Gi", description="Requested size. Default 1Gi. Applies to claims made later.")

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        _check_size(self.size)
        return self


class ImageArtifacts(Contract):
    """An image for each stage key, in a registry: nodes pull, keep and mount it."""

    repository: ImageRepository = Field(
        description="Registry and path, such as registry.example/models. Images are pushed below it, to"
        " NAMESPACE/NAME:KEY, and stay when the ModelService goes."
    )
    push_secret_ref: NameReference | None = Field(
        default=None,
        description="Secret of type kubernetes.io/dockerconfigjson for pods that train. Default: anybody may push.",
    )
    pull_secret_ref: NameReference | None = Field(
        default=None,
        description="Secret of that type to pull with, for nodes and for pods that download. Default: pushSecretRef.",
    )
    plain_http: bool = Field(
        default=False, description="Pods speak HTTP without TLS to the registry. Nodes have settings of their own."
    )


class ArtifactCache(Contract):
    """A claim in which all serving pods keep what they download, each file once under its digest."""

    RULES = (_SOME_SIZE,)

    claim_name: ObjectName = Field(
        description="PersistentVolumeClaim that all serving pods can mount at the same time, of one ModelService or"
        " of many."
    )
    size: Quantity = Field(
        default="10Gi", description="Most bytes that are kept; what was not used for longest goes. Default 10Gi."
    )

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        _check_size(self.size)
        return self


class EncryptionKey(Contract):
    """A key of a Secret, whose value is an encryption key."""

    name: ObjectName = Field(
        description="Name of the Secret, all of whose keys are encryption keys. Another one has to hold the keys of"
        " older artifacts, too: their pods are rolled onto it."
    )
    key: SecretFile = Field(description="Key in it that new artifacts are encrypted with.")


class Encryption(Contract):
    """Artifacts and checkpoints are encrypted by the pods that write them: AES-256-GCM."""

    secret_ref: EncryptionKey = Field(
        description="Secret whose values are 32 random bytes in base64 each, as openssl rand -base64 32 prints. All of"
        " them open artifacts: keep a key as long as artifacts that were encrypted with it."
    )


class Artifacts(OneOf):
    """Exactly one kind of artifact store."""

    COMMON = frozenset({"secret_ref", "deletion_policy", "cache", "encryption"})
    RULES = (_SECRET_OF_URI, _NO_POLICY_OF_IMAGES, _CACHE_OF_URI)

    volume_claim: VolumeClaim | None = Field(default=None, description="A claim for each stage key.")
    uri: ObjectUri | None = Field(
        default=None,
        description="Object storage: s3://, gs:// or az:// with a bucket and perhaps a folder. Artifacts are stored"
        " below it, under namespace, name and key; any node can serve them. deletionPolicy says how long they stay.",
    )
    image: ImageArtifacts | None = Field(default=None, description="Images in a registry; any node can serve them.")
    secret_ref: NameReference | None = Field(
        default=None,
        description="Secret whose keys are the standard variables of the store, such as AWS_ACCESS_KEY_ID,"
        " AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL. Default: what the pods' ServiceAccount may.",
    )
    deletion_policy: DeletionPolicy | None = Field(
        default=None,
        description="Retain or Delete. Beside uri (default Retain) Retain: what lies below it stays. Delete: a Job"
        " deletes what lies under NAMESPACE/NAME/KEY with its revision (revisionHistoryLimit), and all of it with the"
        " ModelService, which waits for that for at most 5 minutes. Beside volumeClaim (default Delete) Retain: claims"
        " with a result and their records outlive the ModelService, and one made again under its name takes them over."
        " Delete: they go with it. Claims of revisions that are kept no more go in any case. A change trains nothing.",
    )
    cache: ArtifactCache | None = Field(
        default=None,
        description="Where serving pods keep what they download. Default: each for itself, as long as it lives.",
    )
    encryption: Encryption | None = Field(
        default=None,
        description="Encrypts artifacts and checkpoints that are made later. Default: not encrypted. What was made"
        " before stays as it is, and trains nothing.",
    )

    @property
    def deletes(self) -> bool:
        """Whether what is stored goes with its revision, and with the ModelService, although no child holds it."""
        return self.uri is not None and self.deletion_policy is DeletionPolicy.DELETE

    @property
    def retains(self) -> bool:
        """Whether claims that hold a result outlive the ModelService, those of before ``uri`` was set, too."""
        return self.deletion_policy is DeletionPolicy.RETAIN

    @model_validator(mode="after")
    def _not_of_images(self) -> Self:
        if self.deletion_policy is not None and self.image is not None:
            raise ValueError(_NO_POLICY_OF_IMAGES.message)
        return self

    @model_validator(mode="after")
    def _of_uri(self) -> Self:
        for value, rule in (
            (self.secret_ref, _SECRET_OF_URI),
            (self.cache, _CACHE_OF_URI),
        ):
            if value is not None and self.uri is None:
                raise ValueError(rule.message)
        return self
