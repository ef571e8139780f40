"""Conditions as in meta/v1: positive polarity, and a transition time that moves only with the status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from modelservice_operator.crd.status import MAX_MESSAGE_LENGTH
from modelservice_operator.domain.clamp import clamped_reason
from modelservice_operator.objects import Object


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One condition before it has a time: None is Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str = ""


_WORDS: Mapping[bool | None, str] = {True: "True", False: "False", None: "Unknown"}


def to_conditions(findings: list[Finding], *, before: list[Object], generation: int, now: datetime) -> list[Object]:
    """Conditions for the status; the time of the last transition is kept where the status did not change."""
    old = {condition["type"]: condition for condition in before}
    timestamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = []
    for finding in findings:
        status = _WORDS[finding.status]
        same = old.get(finding.type, {})
        conditions.append(
            {
                "type": str(finding.type),
                "status": status,
                "observedGeneration": generation,
                "lastTransitionTime": same["lastTransitionTime"] if same.get("status") == status else timestamp,
                "reason": clamped_reason(finding.reason),
                "message": finding.message[:MAX_MESSAGE_LENGTH],
            }
        )
    return conditions
