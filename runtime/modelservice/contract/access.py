"""Who may call a server, and how much: the part of ``spec.serving`` that a server is told as it stands."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from modelservice.contract.base import Contract, OneOf, Rule, Worded
from modelservice.contract.pods import NameReference

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""Of a caller, a group or a claim, as tokens and certificates write it."""
Names = Annotated[tuple[Name, ...], Field(max_length=64)]
HttpsUri = Annotated[
    str,
    StringConstraints(max_length=1024),
    Worded(r"^https://[^\s/?#@]+(/[^\s?#]*)?$", "must be https://HOST/PATH, without a query or a user"),
]

_CA_OF_URI = Rule("!has(self.caConfigMapRef) || has(self.uri)", "caConfigMapRef goes with uri")
_BURST = Rule(
    "!has(self.burst) || self.burst >= self.requestsPerSecond",
    "burst must not be less than requestsPerSecond, the requests of one second",
)


class ApiKeys(Contract):
    """Keys that callers send as `Authorization: Bearer KEY` or `X-API-Key: KEY`."""

    secret_ref: NameReference = Field(
        description="A Secret: each entry is named after a caller and holds its keys, one a line, as they are or as"
        " sha256:HEX of them. Changes are taken over within a minute or two, without new pods."
    )


class Jwks(OneOf):
    """Exactly one place of the issuer's public keys, as a JSON Web Key Set."""

    RULES = (_CA_OF_URI,)
    COMMON = frozenset({"ca_config_map_ref"})

    uri: HttpsUri | None = Field(
        default=None,
        description="Where the issuer publishes them; read each 5 minutes, kept while it is out of reach.",
    )
    config_map_ref: NameReference | None = Field(
        default=None, description="A ConfigMap, each of whose entries is a set; for issuers that pods cannot reach."
    )
    secret_ref: NameReference | None = Field(default=None, description="A Secret, each of whose entries is a set.")
    ca_config_map_ref: NameReference | None = Field(
        default=None,
        description="A ConfigMap with ca.crt, which signed the certificate of uri, such as kube-root-ca.crt. Default:"
        " public authorities.",
    )

    @model_validator(mode="after")
    def _ca_of_uri(self) -> Self:
        if self.ca_config_map_ref is not None and self.uri is None:
            raise ValueError(_CA_OF_URI.message)
        return self


class Algorithm(StrEnum):
    """Signatures of tokens; all are of a key pair, since a secret that both sides know is an API key."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    ES256 = "ES256"
    ES384 = "ES384"
    EDDSA = "EdDSA"


class Jwt(Contract):
    """Tokens of an OpenID issuer, sent as `Authorization: Bearer TOKEN`: Kubernetes, Dex, Keycloak and others."""

    issuer: Name = Field(
        description="What the claim iss must be, such as https://kubernetes.default.svc.cluster.local."
    )
    audience: Name = Field(description="What the claim aud must name, such as the name of this ModelService.")
    jwks: Jwks = Field(description="The issuer's public keys.")
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1, max_length=7)] = Field(
        default=(Algorithm.RS256, Algorithm.ES256), description="Signatures that are taken. Default RS256 and ES256."
    )
    subject_claim: Name = Field(default="sub", description="Claim with the caller's name. Default sub.")
    groups_claim: Name = Field(default="groups", description="Claim with its groups, a list. Default groups.")
    subjects: Names = Field(
        default=(), description="Callers that may, such as system:serviceaccount:shop:web. Default: see groups."
    )
    groups: Names = Field(
        default=(),
        description="Groups whose members may. Default: where no subjects are said either, every token of the issuer"
        " for this audience.",
    )


class Auth(OneOf):
    """Exactly one way to know who calls; probes stay open, and metrics are on a port of their own."""

    api_keys: ApiKeys | None = Field(default=None, description="Keys from a Secret.")
    jwt: Jwt | None = Field(default=None, description="Tokens of an issuer.")


class ClientCertificates(Contract):
    """Callers have to show a certificate that ca.crt of the Secret signed."""

    subjects: Names = Field(
        default=(),
        description="Names of certificates that may: a URI or DNS name of it, or its common name. Default: every one"
        " that ca.crt signed.",
    )


class Tls(Contract):
    """HTTPS and gRPC over TLS 1.2 or 1.3, on the same ports of the pods and port 443 of the Service."""

    secret_ref: NameReference = Field(
        description="A Secret as cert-manager writes it: tls.crt, tls.key and, for client certificates, ca.crt. A new"
        " one is taken over within a minute or two, without new pods and without closing a connection."
    )
    client_certificates: ClientCertificates | None = Field(
        default=None, description="{}: callers have to show one. Default: they need not."
    )


class CallerLimit(Contract):
    """Requests of each caller, known by its name, else by the address that it calls from."""

    RULES = (_BURST,)

    requests_per_second: int = Field(
        ge=1, le=1_000_000, description="Requests a second in the long run, of each pod; beyond it a request gets 429."
    )
    burst: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Requests at once after a pause. Default: requestsPerSecond."
    )

    @model_validator(mode="after")
    def _at_least_a_second(self) -> Self:
        if self.burst is not None and self.burst < self.requests_per_second:
            raise ValueError(_BURST.message)
        return self


class Limits(Contract):
    """How much callers may ask."""

    per_caller: CallerLimit | None = Field(default=None, description="Limit of each caller. Default: none.")


class Audit(Contract):
    """A JSON line on stdout for each request: when, who, from where, what, which model, the answer's code, how long."""


class Download(Contract):
    """The artifact as a tar, at `/v2/models/NAME/versions/N/artifact`, for whoever may ask for predictions."""


class Access(Contract):
    """What a server is told of its callers."""

    auth: Auth | None = Field(
        default=None,
        description="How callers are known; who is not gets 401, who may not 403. Default: allowFrom alone decides.",
    )
    tls: Tls | None = Field(default=None, description="Encrypts requests. Default: not.")
    limits: Limits = Field(default=Limits(), description="How much callers may ask. Default: what the server can do.")
    audit: Audit | None = Field(
        default=None,
        description="{}: writes a line of JSON on stdout for each request, without its content. Default: not.",
    )
    artifact: Download | None = Field(
        default=None,
        description="{}: whoever may call may download the model too, weights and all. Default: nobody may.",
    )

    @property
    def has_status_port(self) -> bool:
        """Whether probes and metrics have a port of their own, since their callers could not use the other."""
        return self.auth is not None or self.tls is not None
