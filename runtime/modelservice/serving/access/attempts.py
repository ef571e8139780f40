"""How often an address may try keys and tokens that are not taken, so that nobody guesses, and costs nobody much.

Beyond that, what it sends is refused unseen: a right guess must not be told from a wrong one. What was taken before is
asked about as ever, so callers behind the same proxy go on; only what is new from there waits.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

from modelservice.serving.access.rates import Buckets
from modelservice.serving.callers import Caller, Credential, Peer, site_of
from modelservice.serving.errors import TooManyRequestsError, UnauthenticatedError

WRONG_AT_ONCE: Final = 20
"""Wrong credentials of one address after a pause."""
WRONG_A_SECOND: Final = 1.0
"""And in the long run."""
MAX_TAKEN: Final = 4096
"""Credentials that are remembered as taken before; the first to come is the first to go."""


class Knows(Protocol):
    """What tells callers by their credentials; see ``gate.Authenticator``."""

    def caller_of(self, credential: Credential) -> Caller:
        """Who sends it."""


class Attempts:
    """Asks who a caller is, but for too many wrong guesses of one address."""

    def __init__(self, authenticator: Knows, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._authenticator = authenticator
        self._wrong = Buckets(rate=WRONG_A_SECOND, burst=WRONG_AT_ONCE, clock=clock)
        self._taken: dict[bytes, None] = {}

    def caller_of(self, credential: Credential, peer: Peer) -> Caller:
        """Who sends it.

        Raises:
            TooManyRequestsError: this address sent too many that were not taken.
            UnauthenticatedError: nobody who can be known.
        """
        digest = credential.digest
        is_new = digest not in self._taken
        if is_new and (wait := self._wrong.wait(site_of(peer.address))) > 0:
            raise TooManyRequestsError(
                "too many keys or tokens from this address were not taken; try again later", retry_after=wait
            )
        try:
            caller = self._authenticator.caller_of(credential)
        except UnauthenticatedError:
            self._taken.pop(digest, None)
            self._wrong.take(site_of(peer.address))
            raise
        if is_new:
            if len(self._taken) >= MAX_TAKEN:
                del self._taken[next(iter(self._taken))]
            self._taken[digest] = None
        return caller
