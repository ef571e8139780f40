"""Volumes that a pod waits for while a node holds them: which claim, who uses it and where, and what helps."""

import re
from collections.abc import Collection
from dataclasses import replace

from modelservice_operator.constants import LABEL_STAGE, STAGE_SERVE
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.problem import Problem
from modelservice_operator.kinds import PERSISTENT_VOLUME_CLAIM
from modelservice_operator.objects import Object

VOLUME_BUSY = "VolumeBusy"

MULTI_ATTACH = "Multi-Attach"
"""In what the attach-detach controller says of a volume that is attached to another node."""

_ONE_POD = "ReadWriteOncePod"
"""In what the scheduler says of a claim that one pod may use, and another one does."""

_ELSEWHERE = ("volume node affinity", "PersistentVolume's node affinity", "match pod affinity")
"""In what it says of nodes that a volume cannot follow to, in older and newer releases; or that ours may not go to,
since pods of a ReadWriteOnce claim are kept together."""

_VOLUME = re.compile(r'for volume "([^"]+)"')
_USERS = re.compile(r"used by pod\(s\) ([^ ,]+(?:, [^ ,]+)*)")
_SHOWN = 3


def unscheduled(pod: Object, message: str, observed: Observed) -> Problem | None:
    """That a pod gets no node since another one uses its claim, by the scheduler's ``message``; else None."""
    if _ONE_POD in message:
        field = claim_field(pod)
        words = f"another pod uses the claim of {field}, which is for one at a time: {_remedy(field)}"
        return Problem(reason=VOLUME_BUSY, message=f"{message} ({words})")
    if not any(words in message for words in _ELSEWHERE):
        return None
    # Claims of ours first: those of data and caches may be mounted by any node, which nobody here knows.
    claims = sorted(_claims(pod), key=lambda name: (observed.child(PERSISTENT_VOLUME_CLAIM, name) is None, name))
    used = ((claim, _users(claim, pod, observed)) for claim in claims)
    claim, names = next(((claim, names) for claim, names in used if names), ("", ()))
    return Problem(reason=VOLUME_BUSY, message=f"{message} ({_words(claim, names, pod, observed)})") if names else None


def explained(problem: Problem, pod: Object, observed: Observed) -> Problem:
    """What an event says of a volume that another node holds, with its claim and who uses that, as far as is known."""
    if problem.reason != VOLUME_BUSY:
        return problem
    volume, users = _VOLUME.search(problem.message), _USERS.search(problem.message)
    claims = observed.children.get(PERSISTENT_VOLUME_CLAIM, ())
    named = (one["metadata"]["name"] for one in claims if volume and one["spec"].get("volumeName") == volume[1])
    claim = next(named, "")
    names = _users(claim, pod, observed) or (users[1].split(", ") if users else ())
    return replace(problem, message=f"{problem.message} ({_words(claim, names, pod, observed)})")


def claim_field(pod: Object) -> str:
    """The field that names the claim which a pod reads, where that is none of an artifact."""
    stage = (pod.get("metadata", {}).get("labels") or {}).get(LABEL_STAGE)
    if stage == STAGE_SERVE:
        return "spec.artifacts.cache.claimName"
    fetches = stage == "fetch"
    return "spec.model.artifact or spec.serving.pinRevision" if fetches else "spec.data.persistentVolumeClaim.claimName"


def _words(claim: str, names: Collection[str], pod: Object, observed: Observed) -> str:
    """Which claim is used by whom, and what helps; without ``names`` the node still has what no pod uses any more."""
    field = "spec.artifacts.volumeClaim" if observed.child(PERSISTENT_VOLUME_CLAIM, claim) else claim_field(pod)
    what = f"PersistentVolumeClaim {claim}" if claim else f"the claim of {field}"
    if not names:
        return f"no pod uses {what} any more, and its node lets go of it within minutes: {_remedy(field)}"
    nodes = {one["metadata"]["name"]: one.get("spec", {}).get("nodeName") for one in observed.pods}
    users = [f"Pod {name} on node {nodes[name]}" if nodes.get(name) else f"Pod {name}" for name in names]
    more = [f"{len(users) - _SHOWN} more"] if len(users) > _SHOWN else []
    return f"{what} is used by {', '.join([*users[:_SHOWN], *more])}: {_remedy(field)}"


def _remedy(field: str) -> str:
    if field == "spec.artifacts.volumeClaim":
        return (
            "wait for its end, or for room on that node; of what is made from now on any node can have"
            f" {field}.accessModes [ReadWriteMany], or spec.artifacts.uri"
        )
    return f"wait for its end, or name a ReadWriteMany claim in {field}"


def _claims(pod: Object) -> frozenset[str]:
    volumes = pod.get("spec", {}).get("volumes", ())
    return frozenset(one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one)


def _users(claim: str, pod: Object, observed: Observed) -> tuple[str, ...]:
    """Names of other pods of ours that are on a node, have not ended, and mount the claim."""
    others = (one for one in observed.pods if one["metadata"]["name"] != pod["metadata"]["name"])
    placed = (one for one in others if one.get("spec", {}).get("nodeName"))
    there = (one for one in placed if one.get("status", {}).get("phase") not in {"Succeeded", "Failed"})
    return tuple(one["metadata"]["name"] for one in there if claim in _claims(one))
