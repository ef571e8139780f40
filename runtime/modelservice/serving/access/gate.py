"""All that is asked of callers, put together."""

import asyncio
import logging
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from modelservice.contract.access import Access, Auth, Jwt, Tls
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.places import API_KEYS_FOLDER, JWKS_CA_FOLDER, JWKS_FOLDER, TLS_FOLDER
from modelservice.serving.access.attempts import Allowance, Attempts
from modelservice.serving.access.certificates import Certificates, check_certificate
from modelservice.serving.access.credentials import credential_of
from modelservice.serving.access.folder import Folder
from modelservice.serving.access.rates import Rates
from modelservice.serving.callers import PUBLIC, Caller, Credential
from modelservice.serving.chain import Arrival, Guard
from modelservice.serving.errors import ForbiddenError, NotServedError, TooManyRequestsError

REFRESH_SECONDS: Final = 2.0
"""Between two looks at what may have been exchanged; kubelet takes a minute or two to bring it."""

_LOG = logging.getLogger(__name__)


class Refreshed(Protocol):
    """Something that is exchanged while the server runs."""

    @property
    def ready(self) -> bool:
        """Whether there is something to go by."""

    async def refresh(self) -> None:
        """Take over what is there now; what is there already stays where that fails.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not what it should be.
        """


class Authenticator(Refreshed, Protocol):
    """A way to know who calls."""

    @property
    def allowance(self) -> Allowance:
        """How many wrong credentials of one address it looks at."""

    def caller_of(self, credential: Credential) -> Caller:
        """Who sends it.

        Raises:
            UnauthenticatedError: nobody who can be known.
        """


class Kept:
    """A part that is kept fresh; ``arrived`` is set once it had something to go by."""

    def __init__(self, part: Refreshed) -> None:
        self._part = part
        self._said: str | None = None
        self.arrived = asyncio.Event()
        self._look()

    async def refresh(self) -> None:
        """Take over what was exchanged; a failure is tried again at each look, and said once."""
        try:
            await self._part.refresh()
            self._said = None
        except Exception as error:  # whatever it is, the server goes on by what it has
            if (said := f"{type(error).__name__}: {error}") != self._said:
                _LOG.warning("what callers are known by could not be read again, the last stays: %s", error)
            self._said = said
        self._look()

    async def keep_fresh(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self.refresh()

    def _look(self) -> None:
        if self._part.ready:
            self.arrived.set()


class Gate(NamedTuple):
    """Guards in their order, and what they go by; ``auth`` is how callers are known, for those who describe it."""

    guards: tuple[Guard, ...] = ()
    parts: tuple[Kept, ...] = ()
    certificates: Certificates | None = None
    looks_at_peers: bool = False
    auth: Auth | None = None

    @property
    def ready(self) -> bool:
        """Whether callers can be told apart: before the keys of an issuer came, every token would be refused."""
        return all(part.arrived.is_set() for part in self.parts)

    async def arrived(self) -> None:
        """Return once it is ready."""
        for part in self.parts:
            await part.arrived.wait()

    def admit(self, arrival: Arrival) -> None:
        """Ask these guards alone, for one message of many.

        Raises:
            RequestError: the first refusal.
        """
        for guard in self.guards:
            guard(arrival)

    async def refresh(self) -> None:
        """Take over what was exchanged."""
        await asyncio.gather(*(part.refresh() for part in self.parts))

    async def keep_fresh(self) -> None:
        """Refresh for ever, each part by itself: a slow issuer holds up no certificate."""
        await asyncio.gather(*(part.keep_fresh() for part in self.parts))


OPEN_GATE: Final = Gate()
"""Asks nothing."""


def build_gate(access: Access, secrets: Path) -> Gate:
    """What ``access`` asks for.

    Args:
        access: what the spec says.
        secrets: folder with what callers are known by, see ``contract.places``.

    Raises:
        NotServedError: it is not there, or not what it should be.
    """
    guards: list[Guard] = []
    parts: list[Refreshed] = []
    certificates = None
    field = "tls"
    try:
        if access.tls is not None:
            certificates = _certificates(access.tls, secrets)
            parts.append(certificates)
            if access.tls.client_certificates is not None:
                guards.append(check_certificate(access.tls.client_certificates))
        field = "auth"
        if access.auth is not None:
            authenticator = _authenticator(access.auth, secrets)
            guards.append(authenticate(Attempts(authenticator)))
            parts.append(authenticator)
        if access.limits.per_caller is not None:
            guards.append(Rates(access.limits.per_caller))
    except FileNotFoundError as error:
        message = (
            f"spec.serving.{field}: {error.filename} is not there; in a pod its Secret is mounted so, on a laptop"
            " --secrets names the folder that holds api-keys, jwks and tls"
        )
        raise NotServedError(message, exit_code=ExitCode.ORDER_INVALID) from error
    except (OSError, ValueError) as error:
        raise NotServedError(f"spec.serving.{field}: {error}", exit_code=ExitCode.ORDER_INVALID) from error
    return Gate(
        tuple(guards),
        tuple(map(Kept, parts)),
        certificates,
        looks_at_peers=(
            access.audit is not None
            or access.auth is not None
            or access.limits.per_caller is not None
            or (certificates is not None and certificates.asks_clients)
        ),
        auth=access.auth,
    )


def authenticate(attempts: Attempts) -> Guard:
    """Let nobody through who is not known and allowed, but to what is public."""

    def guard(arrival: Arrival) -> None:
        if arrival.path in PUBLIC:
            return
        if arrival.credential is None:  # a head that is known again brings its own along
            arrival.credential = credential_of(arrival.headers)
        arrival.beyond = False  # set anew: a stream asks about its messages with one and the same arrival
        try:
            caller = arrival.caller = attempts.caller_of(arrival.credential, arrival.peer)
        except TooManyRequestsError:
            arrival.beyond = True
            raise
        if not caller.allowed:
            raise ForbiddenError(f"{caller.subject!r:.80} may not call this model; ask whoever runs it")

    return guard


def _certificates(tls: Tls, secrets: Path) -> Certificates:
    return Certificates(Folder(secrets / TLS_FOLDER), asks_clients=tls.client_certificates is not None)


def _authenticator(auth: Auth, secrets: Path) -> Authenticator:
    if auth.jwt is not None:
        return _tokens(auth.jwt, secrets)
    from modelservice.serving.access.api_keys import ApiKeys  # noqa: PLC0415

    return ApiKeys(Folder(secrets / API_KEYS_FOLDER))


def _tokens(said: Jwt, secrets: Path) -> Authenticator:
    from modelservice.serving.access.key_sets import FolderSource, KeySet, Source, WebSource, fetcher, parse_sets  # noqa: PLC0415
    from modelservice.serving.access.tokens import Tokens  # noqa: PLC0415 - 11 MB

    source: Source
    if said.jwks.uri is not None:
        authorities = None if said.jwks.ca_config_map_ref is None else Folder(secrets / JWKS_CA_FOLDER)
        source = WebSource(fetcher(said.jwks.uri, authorities))
    else:
        folder = Folder(secrets / JWKS_FOLDER)
        try:
            keys = parse_sets(folder.read().values(), said.algorithms)
        except ValueError as error:
            raise ValueError(f"{folder.path}: {error}; each of its entries has to be a key set") from None
        if not keys:
            raise ValueError(f"{folder.path} holds no key for {', '.join(said.algorithms)}")
        source = FolderSource(folder)
    return Tokens(said, KeySet(source, said.algorithms))
