"""The server's certificate, from a Secret as cert-manager writes it, exchanged while connections stay."""

import logging
import ssl
from typing import Any, Final, NamedTuple

from modelservice.contract.access import ClientCertificates
from modelservice.serving.access.folder import Folder
from modelservice.serving.access.handshakes import CountedObject, Handshakes
from modelservice.serving.callers import PUBLIC, Caller
from modelservice.serving.chain import Arrival, Guard
from modelservice.serving.errors import ForbiddenError

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
AUTHORITY: Final = "ca.crt"

_LOG = logging.getLogger(__name__)


class Material(NamedTuple):
    """PEM texts: the server's key and chain, and the authority of its clients, or None where they show nothing."""

    key: bytes
    chain: bytes
    authority: bytes | None


class Certificates:
    """What a server proves itself with, and its clients; transports ask for it at each new connection.

    Attributes:
        material: what is there now.
        context: a TLS context of it.
        asks_clients: whether clients have to show a certificate.
        handshakes: counts those of connections that a ``listening_context`` took.
        ready: there is one from the start, or no server.
    """

    ready: Final = True

    def __init__(self, folder: Folder, *, asks_clients: bool) -> None:
        """Read the files.

        Raises:
            OSError: one is missing.
            ValueError: they are no certificate and key that belong together.
        """
        self._folder = folder
        self.asks_clients = asks_clients
        self.handshakes = Handshakes()
        with folder.changed():
            self._read()

    async def refresh(self) -> None:
        """Take over a new certificate."""
        with self._folder.changed() as changed:
            if not changed:
                return
            self._read()
        _LOG.info("the certificate was read again")

    def listening_context(self) -> ssl.SSLContext:
        """A context for a listener: each new connection gets that of the moment."""
        return _Exchanged.around(self)

    def _read(self) -> None:
        files = self._folder.read()
        missing = [
            name for name in (CERTIFICATE, KEY, *([AUTHORITY] if self.asks_clients else [])) if name not in files
        ]
        if missing:
            raise OSError(f"{self._folder.path} has no {' and no '.join(missing)}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        context.sslobject_class = CountedObject
        try:
            context.load_cert_chain(self._folder.path / CERTIFICATE, self._folder.path / KEY, password=_ask_nobody)
        except ssl.SSLError as error:
            raise ValueError(f"{self._folder.path}: no certificate and key that belong together: {error}") from None
        if self.asks_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            # What signed the clients may itself be signed by another authority, which nobody has to know.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            try:
                context.load_verify_locations(cadata=files[AUTHORITY].decode("ascii", "ignore"))
            except (ssl.SSLError, ValueError) as error:
                raise ValueError(f"{self._folder.path}: {AUTHORITY} is no certificate: {error}") from None
        self.context = context
        self.material = Material(files[KEY], files[CERTIFICATE], files[AUTHORITY] if self.asks_clients else None)


def _ask_nobody() -> str:
    raise ValueError("tls.key is encrypted, and nobody is there to be asked for a password: put it in without one")


class _Exchanged(ssl.SSLContext):
    """Hands each connection to the context of the moment: one that is in use cannot forget an old authority."""

    _certificates: Certificates

    @classmethod
    def around(cls, certificates: Certificates) -> "_Exchanged":
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._certificates = certificates
        return context

    def wrap_bio(self, *arguments: Any, **keywords: Any) -> ssl.SSLObject:
        """What event loops ask for at each connection."""
        connection = self._certificates.context.wrap_bio(*arguments, **keywords)
        if isinstance(connection, CountedObject):
            connection.watch(self._certificates.handshakes)
        return connection


def check_certificate(asked: ClientCertificates) -> Guard:
    """A guard that names callers by the certificate that they showed, which the handshake has verified.

    It lets through who is on the list, or everybody where it is empty, and whoever it is to what is public.
    """
    subjects = frozenset(asked.subjects)

    def guard(arrival: Arrival) -> None:
        names = arrival.peer.names
        if names:
            arrival.caller = Caller(names[0])
        if subjects and subjects.isdisjoint(names) and arrival.path not in PUBLIC:
            who = f"{names[0]!r:.80}" if names else "a certificate without a name"
            raise ForbiddenError(f"{who} may not call this model; ask whoever runs it")

    return guard
