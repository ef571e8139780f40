"""The tables of docs/status.md against what the operator says, and what others make of that."""

import pytest
import yaml
from tests.support.gitops import ARGOCD_CM, HEALTH, HEALTH_KEY, health, kstatus
from tests.support.situations import SITUATIONS, STATUS, Situation, see, situations_table, status_page

TEXT = STATUS.read_text(encoding="utf-8")
NEVER_LOOKED_AT, *LOOKED_AT = SITUATIONS

situations = pytest.mark.parametrize("situation", LOOKED_AT, ids=lambda one: one.title)


def test_the_page_is_current() -> None:
    assert status_page() == TEXT, "run python -m tests.support.situations"


@situations
def test_argo_cd_shows_the_message_of_ready(situation: Situation) -> None:
    seen = see(situation)
    assert health(seen.service).message == seen.condition("Ready")["message"]


@situations
def test_argo_cd_and_flux_agree(situation: Situation) -> None:
    service = see(situation).service
    argo_cd = {"Current": {"Healthy"}, "InProgress": {"Progressing", "Suspended"}, "Failed": {"Degraded"}}
    assert health(service).status in argo_cd[kstatus(service)]


@situations
def test_what_was_said_of_another_spec_is_progress(situation: Situation) -> None:
    service = see(situation).service
    changed = {**service, "metadata": {**service["metadata"], "generation": service["metadata"]["generation"] + 1}}
    assert (health(changed).status, kstatus(changed)) == ("Progressing", "InProgress")


def test_nothing_is_done_before_the_operator_has_looked() -> None:
    """kstatus takes what has no status for done, so the apiserver gives one."""
    service = see(NEVER_LOOKED_AT).service
    assert (health(service).status, kstatus(service)) == ("Progressing", "InProgress")
    bare = {key: value for key, value in service.items() if key != "status"}
    assert (health(bare).status, kstatus(bare)) == ("Progressing", "Current")


def test_the_patch_of_argo_cd_is_the_health_check() -> None:
    assert yaml.safe_load(ARGOCD_CM.read_text("utf-8")) == {"data": {HEALTH_KEY: HEALTH.read_text("utf-8")}}


def test_the_stages_are_those_shown() -> None:
    stages = {see(one).service["status"]["stage"] for one in LOOKED_AT}
    assert {
        "Training",
        "Fetching",
        "Compressing",
        "Comparing",
        "Queued",
        "Waiting",
        "Deploying",
        "Serving",
        "Suspended",
        "Failed",
    } == stages
    assert [stage for stage in stages if f"| `{stage}` |" not in TEXT] == []


def test_each_alert_of_a_situation_is_shown() -> None:
    shown = situations_table()
    assert all(f"`{alert}`" in shown for one in SITUATIONS for alert in one.alerts)
