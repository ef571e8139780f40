"""What a pod's metrics tell, and when a canary answers worse than what serves beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from modelservice.contract.rollout import Canary
from modelservice.serving.chain import Arrival
from modelservice.serving.metrics import Metrics
from modelservice_operator.answers import Answers, parse_answers
from modelservice_operator.domain.judging import compare

PREDICT, EXPLAIN = "/v1/models/{name}:predict", "/v1/models/{name}:explain"


def page() -> str:
    """As a server renders it."""
    metrics = Metrics()
    for route, code, seconds in (
        (PREDICT, "200", 0.5),
        (PREDICT, "200", 0.25),
        (PREDICT, "429", 0.25),
        (PREDICT, "499", 9.0),
        ("/v2/models/{name}/infer", "200", 1.0),
        ("/inference.GRPCInferenceService/ModelInfer", "OK", 1.0),
        ("/inference.GRPCInferenceService/ModelInfer", "INVALID_ARGUMENT", 1.0),
        (EXPLAIN, "500", 100.0),
        ("/v2/health/ready", "503", 100.0),
    ):
        metrics.record_request(Arrival(route, (), infers=True), code, seconds)
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def test_inferences_are_counted_on_the_page_that_a_server_renders() -> None:
    found = parse_answers(page())
    assert (found.answered, found.failed) == (4, 2)
    assert found.seconds == pytest.approx(13.0)


def test_a_page_that_is_cut_off_or_has_no_request_yet_is_read_as_far_as_it_goes() -> None:
    whole = page()
    cut = whole[: whole.index("modelservice_request_duration_seconds_sum") + 60]
    assert parse_answers(cut).total == 6
    assert parse_answers("") == parse_answers("no page of metrics") == Answers()


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "many"])
def test_what_nobody_counted_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"modelservice_requests_total|float|convert"):
        parse_answers(f'modelservice_requests_total{{code="200",route="{PREDICT}"}} {value}\n')


def test_a_container_that_was_started_again_counts_anew() -> None:
    before, after = Answers(100, 2, 5.0), Answers(7, 0, 0.5)
    assert after.since(before) == after
    assert before.since(after) == Answers(93, 2, 4.5)


@pytest.mark.parametrize(
    ("ours", "theirs", "fails"),
    [
        (Answers(80, 20), Answers(1000, 0), True),
        (Answers(99, 1), Answers(1000, 0), False),
        (Answers(0, 3), Answers(100, 0), True),
        (Answers(0, 1), Answers(5, 0), False),
        (Answers(80, 20), Answers(800, 200), False),
        (Answers(0, 100), Answers(), False),
        (Answers(), Answers(100, 0), False),
    ],
)
def test_only_what_is_surely_worse_fails(ours: Answers, theirs: Answers, *, fails: bool) -> None:
    assert bool(compare(Canary(max_error_rate=0.05), ours, theirs)) is fails
    assert compare(Canary(max_latency_ratio=2), ours, theirs) is None


def test_the_numbers_and_the_limit_are_named() -> None:
    assert compare(Canary(max_error_rate=0.05), Answers(80, 20), Answers(990, 10)) == (
        "20.0 % of 100 requests failed or were refused, 1.0 % of 1000 requests of what serves: surely more than"
        " spec.serving.rollout.canary.maxErrorRate 0.05 beyond that"
    )
    assert compare(Canary(max_latency_ratio=1.5), Answers(100, 0, 1.6), Answers(200, 0, 2.0)) == (
        "an answer took 16 ms in the mean of 100, 10 ms of what serves: more than"
        " spec.serving.rollout.canary.maxLatencyRatio 1.5 times as long"
    )


def test_few_requests_say_nothing_of_latency() -> None:
    limit = Canary(max_latency_ratio=1.5)
    assert compare(limit, Answers(99, 0, 99.0), Answers(200, 0, 2.0)) is None
    assert compare(limit, Answers(200, 0, 200.0), Answers(99, 0, 1.0)) is None
    assert compare(limit, Answers(100, 0, 1.5), Answers(100, 0, 1.0)) is None


@pytest.mark.parametrize("number", ["1e308", "+Inf", "NaN", "-1", "9007199254740994"])
def test_a_number_that_nobody_counted_is_none(number: str) -> None:
    with pytest.raises(ValueError, match="modelservice_requests_total is"):
        parse_answers(f'modelservice_requests_total{{code="200",route="{PREDICT}"}} {number}\n')


@pytest.mark.parametrize("lines", [['a="' + '\\"' * 1000 + '"'], ["" for _ in range(1001)]])
def test_a_page_that_takes_long_to_read_is_none(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="more than 1000 lines"):
        parse_answers("".join(f"modelservice_requests_total{{{line}}} 1\n" for line in lines))


def test_the_largest_numbers_that_are_read_are_compared() -> None:
    line = f'modelservice_requests_total{{code="500",route="{PREDICT}"}} 9007199254740992\n'
    seconds = f'modelservice_request_duration_seconds_sum{{route="{PREDICT}"}} 9007199254740992\n'
    found = parse_answers(line * 500 + seconds * 500)
    most = Answers(16 * found.answered, 16 * found.failed, 16 * found.seconds)
    for canary in (Canary(max_error_rate=0.1), Canary(max_latency_ratio=2)):
        assert compare(canary, most, most) is None
    assert compare(Canary(max_error_rate=0.1), most, Answers(100, 0, 1.0)) is not None


@given(
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.floats(0, 0.99),
)
def test_what_fails_no_more_often_never_fails(a: int, b: int, c: int, d: int, limit: float) -> None:
    ours, theirs = Answers(a, b), Answers(c, d)
    verdict = compare(Canary(max_error_rate=limit), ours, theirs)
    rates = [one.failed / one.total if one.total else 0.0 for one in (ours, theirs)]
    assert verdict is None or rates[0] > rates[1] + limit
