"""Who calls: a name that was proven, and the address at the other end of a connection."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Credential(NamedTuple):
    """A key or a token as it was sent, and its sha256, by which it is looked up."""

    text: bytes
    digest: bytes


class Caller(NamedTuple):
    """Somebody who proved a name; ``allowed``: whether this server is for them."""

    subject: str
    allowed: bool = True


class Peer(NamedTuple):
    """The other end of a connection: its address, and the names in the certificate that it showed, the best first."""

    address: str
    names: tuple[str, ...] = ()


UNKNOWN_PEER: Final = Peer("")
PUBLIC: Final = frozenset(
    {
        "/v2/health/live",
        "/v2/health/ready",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
    }
)
"""Paths and methods that are answered to whoever asks: probes and load balancers have no credentials."""


def names_of(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names in a certificate as ``ssl`` parsed it: URIs, then DNS names, then the common name."""
    if not certificate:
        return ()
    said = certificate.get("subjectAltName", ())
    common = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    alternative = [value for wanted in ("URI", "DNS") for kind, value in said if kind == wanted]
    return tuple(dict.fromkeys([*alternative, *common]))
