"""Who calls: a name that was proven, and the address at the other end of a connection."""

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network
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
PUBLIC_METHODS: Final = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
    }
)
"""Those of gRPC: over HTTP there is nothing at such a path."""
PUBLIC: Final = frozenset({"/v2/health/live", "/v2/health/ready"}) | PUBLIC_METHODS
"""Paths and methods that are answered to whoever asks: probes and load balancers have no credentials."""
_MAPPED: Final = "::ffff:"
_SITE: Final = 64
"""Bits of an IPv6 address that a network gives its user: the others are the user's to choose."""


def names_of(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names in a certificate as ``ssl`` parsed it: URIs, then DNS names, then the common name."""
    if not certificate:
        return ()
    said = certificate.get("subjectAltName", ())
    common = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    alternative = [value for wanted in ("URI", "DNS") for kind, value in said if kind == wanted]
    return tuple(dict.fromkeys(filter(None, [*alternative, *common])))


def plain_address(shown: str) -> str:
    """An address of IPv4 as such: a socket for both shows it as one of IPv6."""
    if not shown.startswith(_MAPPED):
        return shown
    try:
        mapped = IPv6Address(shown).ipv4_mapped
    except ValueError:
        return shown
    return shown if mapped is None else str(mapped)


def site_of(address: str) -> str:
    """What one client has: an IPv4 address, or all IPv6 addresses of a network."""
    address = plain_address(address)
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    return str(IPv6Network((int(parsed), _SITE), strict=False).network_address)
