"""How often an address may try keys and tokens that are not taken: nobody guesses, and nobody makes much work.

A key can be guessed. So of those that are wrong an address may try few, and beyond that what it sends is refused
unseen: a right guess must not be told from a wrong one. What was taken before is asked about as ever, so callers behind
the same proxy go on; only a key that is new there waits.

A token is signed, so nobody guesses it, and one that is new is looked at beside what others at its address send. Only
the work is bounded: a signature takes 100 us of CPU to find wrong. What is wrong before that costs little and counts
nothing; while more is wrong than may be, a token that is new there waits, too.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from modelservice.serving.access.rates import Buckets
from modelservice.serving.callers import Caller, Credential, Peer, site_of
from modelservice.serving.errors import TooManyRequestsError, UnauthenticatedError

MAX_TAKEN: Final = 4096
"""Credentials that are remembered as taken before; the first to come is the first to go."""


class Allowance(NamedTuple):
    """Wrong credentials of one address that are looked at: so many after a pause, and so many a second after those."""

    at_once: int
    a_second: float


GUESSES: Final = Allowance(20, 1.0)
FORGERIES: Final = Allowance(1000, 500.0)
"""A twentieth of a core, for one address; a quarter, where each is as long as a token may be."""


class Knows(Protocol):
    """What tells callers by their credentials; see ``gate.Authenticator``."""

    @property
    def allowance(self) -> Allowance:
        """How many wrong ones it looks at."""

    def caller_of(self, credential: Credential) -> Caller:
        """Who sends it."""


class Attempts:
    """Asks who a caller is, but for too many wrong credentials of one address."""

    def __init__(self, authenticator: Knows, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._authenticator = authenticator
        allowed = authenticator.allowance
        self._wrong = Buckets(rate=allowed.a_second, burst=allowed.at_once, clock=clock)
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
        except UnauthenticatedError as error:
            self._taken.pop(digest, None)
            if error.counts:
                self._wrong.take(site_of(peer.address))
            raise
        if is_new:
            if len(self._taken) >= MAX_TAKEN:
                del self._taken[next(iter(self._taken))]
            self._taken[digest] = None
        return caller
