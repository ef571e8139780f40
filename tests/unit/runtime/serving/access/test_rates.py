"""How often callers may ask: a burst, then the rate, each for itself."""

import pytest

from modelservice.contract.access import CallerLimit
from modelservice.serving.access import rates
from modelservice.serving.access.rates import Rates
from modelservice.serving.callers import Caller, Peer
from modelservice.serving.chain import Arrival
from modelservice.serving.errors import TooManyRequestsError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def arrival(address: str = "10.0.0.1", caller: str | None = None, path: str = "/v2") -> Arrival:
    made = Arrival("route", (), infers=True, path=path, peer=Peer(address))
    made.caller = None if caller is None else Caller(caller)
    return made


def taken(guard: Rates, count: int, *asked: Arrival) -> int:
    """How many of so many requests of each are let through."""
    found = 0
    for one in asked * count:
        try:
            guard(one)
        except TooManyRequestsError:
            continue
        found += 1
    return found


@pytest.mark.parametrize(("burst", "at_once"), [(None, 10), (25, 25)])
def test_a_burst_and_then_the_rate(burst: int | None, at_once: int) -> None:
    clock = Clock()
    guard = Rates(CallerLimit(requests_per_second=10, burst=burst), clock=clock)
    assert taken(guard, 100, arrival()) == at_once
    for clock.now in (1.0, 2.0, 3.0):
        assert taken(guard, 100, arrival()) == 10
    clock.now = 1000.0
    assert taken(guard, 100, arrival()) == at_once


def test_a_refusal_says_when_to_come_back_and_costs_nothing() -> None:
    clock = Clock()
    guard = Rates(CallerLimit(requests_per_second=2), clock=clock)
    assert taken(guard, 50, arrival()) == 2
    with pytest.raises(TooManyRequestsError, match=r"more than 2 requests a second .*limits\.perCaller") as refused:
        guard(arrival())
    assert refused.value.retry_after == pytest.approx(0.5)
    clock.now = 0.5
    assert taken(guard, 50, arrival()) == 1


def test_all_ipv6_addresses_of_a_network_are_one_caller() -> None:
    guard = Rates(CallerLimit(requests_per_second=2), clock=Clock())
    assert taken(guard, 1, *(arrival(f"2001:db8:1:2::{host}") for host in range(5))) == 2
    assert taken(guard, 5, arrival("2001:db8:1:3::1")) == 2


def test_callers_are_counted_by_name_and_else_by_address() -> None:
    guard = Rates(CallerLimit(requests_per_second=1), clock=Clock())
    assert taken(guard, 3, arrival("10.0.0.1", "shop"), arrival("10.0.0.2", "shop"), arrival("10.0.0.1", "bank")) == 2
    assert taken(guard, 3, arrival("10.0.0.1"), arrival("10.0.0.2")) == 2


def test_probes_are_not_counted() -> None:
    guard = Rates(CallerLimit(requests_per_second=1), clock=Clock())
    assert taken(guard, 5, arrival(path="/v2/health/ready")) == 5


def test_few_callers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_CALLERS", 2)
    guard = Rates(CallerLimit(requests_per_second=1), clock=Clock())
    assert taken(guard, 1, *(arrival(f"10.0.0.{number}") for number in range(5))) == 5
    assert len(guard._buckets) == 2
    assert taken(guard, 1, arrival("10.0.0.4"), arrival("10.0.0.0")) == 1
