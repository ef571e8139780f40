"""Authorities and certificates, made anew: small and quick."""

import ssl
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Identity = dict[str, bytes]
"""The entries of a Secret as cert-manager writes it."""


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """Signs certificates."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def pem(self) -> bytes:
        return self._signed(self._key.public_key(), self._name, None).public_bytes(serialization.Encoding.PEM)

    def issue(self, common: str, *uris: str, dns: str = "localhost", ip: str = "127.0.0.1") -> Identity:
        """A certificate for an address and a host, and for clients, of that common name; an empty name is none."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [
                *([x509.DNSName(dns)] if dns else []),
                x509.IPAddress(ip_address(ip)),
                *map(x509.UniformResourceIdentifier, uris),
            ]
        )
        signed = self._signed(key.public_key(), common, names).public_bytes(serialization.Encoding.PEM)
        return {"tls.crt": signed, "tls.key": _pem(key), "ca.crt": self.pem}

    def sign(self, other: "Authority") -> bytes:
        """The certificate of another authority, which is below this one."""
        return self._signed(other._key.public_key(), other._name, None).public_bytes(serialization.Encoding.PEM)

    def _signed(
        self, key: ec.EllipticCurvePublicKey, common: str, names: x509.SubjectAlternativeName | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common))
            .issuer_name(_name(self._name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def client_context(authority: Authority, folder: Path, shown: Identity | None = None) -> ssl.SSLContext:
    """What a client connects with, which trusts the authority and shows a certificate, or none."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if shown is not None:
        file = folder / "client.pem"
        file.write_bytes(shown["tls.crt"] + shown["tls.key"])
        context.load_cert_chain(file)
    return context
