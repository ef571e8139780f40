"""An artifact that was made elsewhere: by another cluster, a laptop, or ``modelservice pack``."""

from typing import Self

from pydantic import Field, model_validator

from modelservice.contract.base import Contract, Rule, Sha256
from modelservice.contract.locations import ArtifactUri
from modelservice.contract.pods import NameReference

STORES = ("s3:", "gs:", "az:")
"""How URIs begin that a Secret opens."""
SECRET_OF_STORE = Rule(
    "!has(self.secretRef) || (has(self.uri) && ["
    + ", ".join(f"'{scheme}'" for scheme in STORES)
    + "].exists(one, self.uri.startsWith(one)))",
    "secretRef holds the credentials of a uri under s3, gs or az: set such a uri, or leave secretRef out",
)


class ArtifactSource(Contract):
    """Where an artifact lies, and exactly which one it is; the Secret is only of object storage."""

    RULES = (SECRET_OF_STORE,)

    uri: ArtifactUri = Field(
        description="Folder of the artifact: s3://, gs://, az://, https://, or pvc://CLAIM/FOLDER of this namespace."
    )
    digest: Sha256 = Field(
        description="sha256 of its manifest, as status.digest and modelservice inspect say it; another one is refused."
    )
    secret_ref: NameReference | None = Field(
        default=None,
        description="Secret whose keys are the standard variables of the store. Default: what the pods' ServiceAccount"
        " may.",
    )

    @model_validator(mode="after")
    def _secret_of_store(self) -> Self:
        if self.secret_ref is not None and not self.uri.startswith(STORES):
            raise ValueError(SECRET_OF_STORE.message)
        return self
