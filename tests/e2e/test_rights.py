"""What the operator does while all else is tested is what its roles let it do."""

from datetime import datetime
from typing import Final

import pytest
from tests.cluster.controlplane import AUDIT_LOG
from tests.e2e.stories import is_whole
from tests.support.rights import Right, asked_for, granted, granted_in_all

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

UNSEEN: Final[dict[Right, str]] = {
    ("kueue.x-k8s.io", "workloads", "list"): "a Job in a queue of Kueue, which make test-kueue has",
    ("modelservice.dev", "modelservices/finalizers", "update"): "admission asks, where a child blocks its owner",
    ("policy", "poddisruptionbudgets", "delete"): "a model that goes to one replica",
}
"""Rights that no call of a whole run shows, and why they are granted."""


def test_every_right_that_is_asked_for_is_granted_and_none_is_left_unused(
    pytestconfig: pytest.Config, session_began: datetime
) -> None:
    asked = asked_for(AUDIT_LOG, since=session_began.isoformat(timespec="microseconds"))
    assert asked, "the operator did nothing, or the apiserver keeps no audit log"
    assert asked - granted_in_all() == set()
    if not is_whole(pytestconfig):
        pytest.skip("some tests were left out, and with them what they make the operator do")
    assert set(granted()) - asked == set(UNSEEN)
