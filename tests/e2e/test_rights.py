"""What the operator does while all else is tested is what its role lets it do: nothing is refused, or left unused."""

from datetime import datetime
from typing import Final

import pytest
from tests.cluster.controlplane import AUDIT_LOG
from tests.e2e.stories import is_whole
from tests.support.rights import Right, calls, granted

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

UNSEEN: Final[dict[Right, str]] = {
    ("modelservice.dev", "modelservices/finalizers", "update"): "admission asks, where a child blocks its owner",
}
"""Rights that no call of a whole run shows, and why they are granted."""


def test_no_call_was_refused_and_every_right_was_used(pytestconfig: pytest.Config, session_began: datetime) -> None:
    made = list(calls(AUDIT_LOG, since=session_began.isoformat(timespec="microseconds")))
    assert made, "the apiserver keeps no audit log"
    assert [call for call in made if not call.allowed] == []
    if not is_whole(pytestconfig):
        pytest.skip("some tests were left out, and with them what they make the operator do")
    unused = set(granted()) - {call.right for call in made}
    assert unused == set(UNSEEN)
