"""``rollback`` and ``promote``: the change that they say, and what they refuse."""

from typing import Any

import pytest

from modelservice.cluster.errors import ClusterError
from modelservice.cluster.pinning import promote, rollback

DIGEST = "sha256:" + "ab" * 32


def service(*phases: str, serving: int | None = None, pin: Any = None, manual: bool = False) -> dict[str, Any]:
    """Revisions by their phases, the newest first."""
    revisions = [
        {
            "number": len(phases) - place,
            "key": f"key{len(phases) - place}",
            "phase": phase,
            "primaryMetric": "f1",
            "metrics": [{"name": "f1", "value": 0.9}],
        }
        for place, phase in enumerate(phases)
    ]
    return {
        "spec": {"serving": {"pinRevision": pin}, "promotion": {"manual": manual}},
        "status": {"revisions": revisions, "revision": serving, "key": "new", "digest": "sha256:old"},
    }


def pinned(revision: Any) -> dict[str, Any]:
    return {"spec": {"serving": {"pinRevision": revision}}}


def test_a_rollback_pins_the_last_revision_before_that_did_not_fail() -> None:
    found = rollback(service("Serving", "Failed", "Retired", "Retired", serving=4), None)
    assert found.change == pinned({"number": 2})
    assert found.said.startswith("revision 2 (f1 0.9) serves in place of 4; what is trained meanwhile waits")
    assert rollback(service("Serving", "Retired", serving=2), 1).change == pinned({"number": 1})
    # One whose pods have not ended yet is no other one.
    assert rollback(service("Serving", "Deploying", serving=2), None).change == pinned({"number": 1})


@pytest.mark.parametrize(
    ("found", "number", "said"),
    [
        (service("Serving", serving=1), None, "no revision before 1 is kept; kept are 1"),
        (service("Serving", "Retired", serving=2), 7, "no revision 7 is kept; kept are 1, 2"),
        (service(), None, "no revision before the first is kept; no revision is kept"),
        (service("Serving", serving=1, pin={"number": 1}), 1, "revision 1 serves, and is pinned"),
    ],
)
def test_a_rollback_to_nothing_is_refused_with_what_there_is(found: Any, number: int | None, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        rollback(found, number)


def test_a_promotion_takes_the_pin_away_or_names_what_waits() -> None:
    assert promote(service("Retired", "Serving", serving=1, pin={"number": 1}), None).change == pinned(None)
    assert promote(service("Retired", "Serving", serving=1), 2).change == pinned({"number": 2})
    records: list[dict[str, Any]] = [
        {"data": {"key": "old", "artifact": {"digest": "sha256:old"}}},
        {"data": {"kind": "ServingTemplate"}},
    ]
    waits = {"data": {"key": "new", "artifact": {"digest": DIGEST}}}
    assert promote(service("Serving", manual=True), None, [*records, waits]).change == pinned({"digest": DIGEST})
    with pytest.raises(ClusterError, match="no model waits"):
        promote(service("Serving", manual=True), None, records)


@pytest.mark.parametrize(("manual", "said"), [(True, "no model waits to be promoted"), (False, "nothing is pinned")])
def test_a_promotion_of_nothing_is_refused(manual: bool, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        promote(service("Serving", serving=1, manual=manual), None)
