"""Wrong keys and tokens: a few are asked about, more are refused unseen, and nobody else is harmed."""

import pytest
from tests.unit.runtime.serving.access.test_rates import Clock

from modelservice.serving.access import attempts as module
from modelservice.serving.access.attempts import FORGERIES, GUESSES, Allowance, Attempts
from modelservice.serving.access.credentials import credential_of
from modelservice.serving.callers import Caller, Credential, Peer, site_of
from modelservice.serving.errors import TooManyRequestsError, UnauthenticatedError


def sent(text: str) -> Credential:
    return credential_of([(b"x-api-key", text.encode())])


class Callers:
    """Knows who is in ``known``, and counts who asks."""

    def __init__(self, *known: str, allowance: Allowance = GUESSES) -> None:
        self.known = set(known)
        self.allowance = allowance
        self.asked = 0

    def caller_of(self, credential: Credential) -> Caller:
        self.asked += 1
        if (name := credential.text.decode()) not in self.known:
            raise UnauthenticatedError("no", tried=True, counts=name != "garbage")
        return Caller(name)


def guess(attempts: Attempts, count: int, address: str = "10.0.0.1") -> list[type[Exception]]:
    """What so many wrong credentials get."""
    found: list[type[Exception]] = []
    for number in range(count):
        with pytest.raises((UnauthenticatedError, TooManyRequestsError)) as refused:
            attempts.caller_of(sent(f"wrong{number}"), Peer(address))
        found.append(refused.type)
    return found


def test_guesses_beyond_a_few_are_refused_unseen() -> None:
    callers, clock = Callers("shop"), Clock()
    attempts = Attempts(callers, clock=clock)
    expected = [UnauthenticatedError] * GUESSES.at_once + [TooManyRequestsError] * 5
    assert guess(attempts, GUESSES.at_once + 5) == expected
    assert callers.asked == GUESSES.at_once
    with pytest.raises(TooManyRequestsError) as refused:
        attempts.caller_of(sent("shop"), Peer("10.0.0.1"))  # a right guess is not told from a wrong one
    assert refused.value.retry_after == pytest.approx(1.0)
    clock.now = 1.0
    assert attempts.caller_of(sent("shop"), Peer("10.0.0.1")) == Caller("shop")


def test_others_go_on() -> None:
    attempts = Attempts(Callers("shop", "bank"), clock=Clock())
    assert attempts.caller_of(sent("shop"), Peer("10.0.0.1")).subject == "shop"
    assert TooManyRequestsError in guess(attempts, GUESSES.at_once + 1)
    for _ in range(100):
        assert attempts.caller_of(sent("shop"), Peer("10.0.0.1")).subject == "shop"
    assert attempts.caller_of(sent("bank"), Peer("10.0.0.2")).subject == "bank"


def test_what_is_taken_back_is_a_guess_from_then_on() -> None:
    callers = Callers("shop")
    attempts = Attempts(callers, clock=Clock())
    attempts.caller_of(sent("shop"), Peer("10.0.0.1"))
    callers.known.clear()
    found = []
    for _ in range(GUESSES.at_once + 3):
        with pytest.raises((UnauthenticatedError, TooManyRequestsError)) as refused:
            attempts.caller_of(sent("shop"), Peer("10.0.0.1"))
        found.append(refused.type)
    assert found.count(TooManyRequestsError) == 3


def test_right_credentials_are_never_limited() -> None:
    names = [f"caller{number}" for number in range(10 * GUESSES.at_once)]
    attempts = Attempts(Callers(*names), clock=Clock())
    for name in names:
        assert attempts.caller_of(sent(name), Peer("10.0.0.1")).subject == name


def test_who_is_new_gets_through_what_is_wrong_at_first_sight() -> None:
    callers = Callers("renewed", allowance=FORGERIES)
    attempts = Attempts(callers, clock=Clock())
    for _ in range(2 * FORGERIES.at_once):
        with pytest.raises(UnauthenticatedError):
            attempts.caller_of(sent("garbage"), Peer("10.0.0.1"))
    assert attempts.caller_of(sent("renewed"), Peer("10.0.0.1")).subject == "renewed"


def test_forgeries_cost_no_more_than_they_may_and_others_get_between_them() -> None:
    clock = Clock()
    callers = Callers("renewed", allowance=FORGERIES)
    attempts = Attempts(callers, clock=clock)
    assert guess(attempts, FORGERIES.at_once) == [UnauthenticatedError] * FORGERIES.at_once
    assert guess(attempts, 2) == [TooManyRequestsError] * 2
    clock.now += 1 / FORGERIES.a_second
    assert attempts.caller_of(sent("renewed"), Peer("10.0.0.1")).subject == "renewed"


def test_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TAKEN", 2)
    attempts = Attempts(Callers(*"abcde"), clock=Clock())
    for name in "abcde":
        attempts.caller_of(sent(name), Peer("10.0.0.1"))
    assert list(attempts._taken) == [sent("d").digest, sent("e").digest]


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("", ""),
        ("unix:x", "unix:x"),
    ],
)
def test_a_client_has_a_whole_network_of_ipv6(address: str, site: str) -> None:
    assert site_of(address) == site
