"""`make demo` waits for what goes on by itself, and for nothing else."""

import json
from typing import Any

import pytest
from tests.demo import DemoError, wait_ready

Object = dict[str, Any]


class Script:
    """A cluster whose ModelService is as the script says, look by look."""

    def __init__(self, *statuses: list[Object]) -> None:
        self._statuses = list(statuses)

    def service(self) -> Object:
        return {"status": {"conditions": self._statuses.pop(0)}}

    def kubectl(self, *args: str) -> str:
        return json.dumps(args)


def condition(kind: str, *, status: str = "True", generation: int = 2, reason: str = "DataInvalid") -> Object:
    said = {"reason": reason, "message": "column species is not there"}
    return {"type": kind, "status": status, "observedGeneration": generation, **said}


def test_what_only_people_can_change_ends_it_at_once_with_the_reason() -> None:
    stalled = Script([], [condition("Ready", status="False"), condition("Stalled")])
    with pytest.raises(DemoError, match=r"^DataInvalid: column species is not there\n.*pods.*\n.*events"):
        wait_ready(stalled, 2)  # type: ignore[arg-type]  # what it uses of a cluster


def test_what_an_older_generation_came_to_is_no_end() -> None:
    before = [condition("Ready", generation=1), condition("Stalled", generation=1)]
    service, reached = wait_ready(Script(before, [condition("Ready")]), 2)  # type: ignore[arg-type]  # as above
    assert service["status"]["conditions"] == [condition("Ready")]
    assert list(reached) == ["Ready"]


def test_a_table_that_is_made_after_its_model_service_is_waited_for() -> None:
    early = [condition("Ready", status="False"), condition("Stalled", reason="ConfigMapNotFound")]
    _, reached = wait_ready(Script(early, [condition("Ready")]), 2)  # type: ignore[arg-type]  # as above
    assert list(reached) == ["Ready"]
