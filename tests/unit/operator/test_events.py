"""Events: what is repeated is counted in one object, and written now and then only."""

from typing import Any

import pytest
from tests.support.fake_clock import FakeClock

from modelservice_operator.kube.events import REPEAT_SECONDS, EventRecorder

SERVICE: dict[str, Any] = {
    "apiVersion": "modelservice.dev/v1alpha1",
    "kind": "ModelService",
    "metadata": {"namespace": "n", "name": "a", "uid": "u1"},
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recorder(clock: FakeClock) -> EventRecorder:
    return EventRecorder(clock=clock)


def say(recorder: EventRecorder, reason: str = "Training", message: str = "m", uid: str = "u1") -> Any:
    service = {**SERVICE, "metadata": {**SERVICE["metadata"], "uid": uid}}
    return recorder.event(service, reason=reason, message=message, warning=False)


def test_the_first_event_is_whole(recorder: EventRecorder) -> None:
    event = say(recorder)
    assert event["involvedObject"] == {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "namespace": "n",
        "name": "a",
        "uid": "u1",
    }
    assert (event["count"], event["type"]) == (1, "Normal")
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z"


async def test_repeats_are_counted_and_written_after_a_while(recorder: EventRecorder, clock: FakeClock) -> None:
    first = say(recorder)
    assert say(recorder) is None
    await clock.advance(REPEAT_SECONDS - 1)
    assert say(recorder) is None
    await clock.advance(1)
    again = say(recorder)
    assert again["metadata"]["name"] == first["metadata"]["name"]
    assert (again["count"], again["firstTimestamp"]) == (4, first["firstTimestamp"])
    assert again["lastTimestamp"] == "2026-01-01T00:10:00Z"


def test_reason_message_and_uid_make_another_event(recorder: EventRecorder) -> None:
    events = [say(recorder), say(recorder, reason="Failed"), say(recorder, message="x"), say(recorder, uid="u2")]
    assert len({event["metadata"]["name"] for event in events}) == 4


def test_a_failed_write_is_tried_again_at_the_next_repeat(recorder: EventRecorder) -> None:
    recorder.failed(say(recorder))
    assert say(recorder)["count"] == 1


def test_long_messages_are_cut_to_what_the_apiserver_takes(recorder: EventRecorder) -> None:
    assert len(say(recorder, message="x" * 5000)["message"]) == 1024


def test_memory_is_bounded(recorder: EventRecorder) -> None:
    for number in range(5000):
        say(recorder, message=str(number))
    assert say(recorder, message="4999") is None
    assert say(recorder, message="0") is not None, "the oldest was forgotten"
