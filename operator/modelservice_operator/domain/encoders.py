"""Encoders that stand as services, as a head sees them: which artifact answers there, or why none does.

The way is by digest: a head's Job and pods ask the Service that is named after the digest which they were made for, so
that they never reach another one; and they look at each answer, too.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelservice.contract.access import Access
from modelservice.contract.encoders import EncoderService
from modelservice.contract.manifest import SharedEncoder
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.domain.names import encoder_name, service_url
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.records import Revision, StageRecord
from modelservice_operator.objects import Object
from modelservice_operator.remembering import remembered

FIELD: Final = "spec.model.encoder.service"
SHAREABLE: Final = ("pretrained", "artifact")
"""Of ``spec.model``: what may answer with the numbers of rows."""


@dataclass(frozen=True, kw_only=True)
class EncoderState:
    """What answers for a head: its digest, and None with what is wrong where nothing does."""

    name: str
    digest: str | None = None
    problem: Problem | None = None


def encoder_state(asked: EncoderService, found: Object | None, *, head: str) -> EncoderState:
    """How an encoder stands.

    Args:
        asked: what the head's spec names.
        found: the ModelService of that name, as it is stored; None where there is none.
        head: name of the head.
    """
    digest = None if found is None else found.get("status", {}).get("digest")
    problem = _problem(asked, found, digest, head)
    return EncoderState(name=asked.name, digest=None if problem else digest, problem=problem)


def settle(spec: ModelServiceSpec, state: EncoderState | None) -> ModelServiceSpec:
    """The spec with the digest that its model is to be trained for, where that is known."""
    return spec if state is None or state.digest is None else _settled(spec, state.digest)


@remembered(512)
def _settled(spec: ModelServiceSpec, digest: str) -> ModelServiceSpec:
    """The same one in each pass, so that what follows from it is remembered, too."""
    return spec.with_encoder(digest)


def width_change(before: StageRecord, after: StageRecord) -> str | None:
    """That another encoder makes more or fewer numbers of a row than the one before did."""
    then, now = before.encoder, after.encoder
    if then is None or now is None or then.width == now.width:
        return None
    return f"it makes {now.width} numbers of a row, and made {then.width}"


def encoder_url(name: str, digest: str, namespace: str) -> str:
    """Where an encoder of this artifact answers, and no other."""
    return service_url(encoder_name(name, digest), namespace, tls=False)


def gone(served: Revision | None, led: Container[str]) -> Problem | None:
    """That what serves asks an encoder of an artifact that is not kept any more; None where it is, or asks none.

    Args:
        served: what answers.
        led: names of the Services by which heads reach encoders.
    """
    asks = served.record.encoder if served is not None else None
    if served is None or asks is None or encoder_name(asks.name, asks.digest) in led:
        return None
    words = f"revision {served.number} asks {asks.name} for numbers of {asks.digest}, which is not kept there any more"
    remedy = "it answers with 503 until a revision serves that was trained with what is there"
    return Problem(reason="EncoderGone", message=f"{words}: {remedy}")


def recorded_url(encoder: SharedEncoder, namespace: str) -> str:
    """Where the encoder answers that a head was trained with."""
    return encoder_url(encoder.name, encoder.digest, namespace)


def _problem(asked: EncoderService, found: Object | None, digest: str | None, head: str) -> Problem | None:
    name = asked.name
    if found is None or found["metadata"].get("deletionTimestamp"):
        there = f"{name}, and there is no such ModelService in this namespace: make it, or name another"
        gone = f"{name}, which is being deleted: make it again, or name another"
        words = f"{FIELD} names {there if found is None else gone}; without it this model answers with 503"
        return Problem(reason="EncoderNotFound", message=words)
    if not any(kind in (found["spec"].get("model") or {}) for kind in SHAREABLE):
        words = f"{FIELD} names {name}, which is no encoder: name a ModelService with model.pretrained"
        return Problem(reason="EncoderUnsuited", message=words, waits_for_change=True)
    if (closed := _closed(found.get("spec", {}).get("serving") or {}, name, head)) is not None:
        return Problem(reason="EncoderClosed", message=closed, waits_for_change=True)
    if digest is None:
        stage = str(found.get("status", {}).get("stage", "not looked at yet"))
        words = f"the encoder {name} does not answer ({stage[:64]}): it is waited for (kubectl get mdsvc {name})"
        return Problem(reason="EncoderAway", message=words)
    if asked.digest not in (None, digest):
        words = f"{FIELD}.digest is {asked.digest}, and {name} serves {digest}"
        return Problem(reason="EncoderChanged", message=f"{words}: name that, or leave it out", waits_for_change=True)
    return None


def _closed(serving: Mapping[str, Any], name: str, head: str) -> str | None:
    """Why the pods of a head may not ask; what a peer selects otherwise than by these labels nobody knows here."""
    for field in ("auth", "tls"):
        if serving.get(field) is not None:
            what = Access.model_fields[field].description or ""
            return (
                f"{name} has serving.{field}, and heads have no credentials for it ({what.partition(':')[0].lower()}):"
                f" leave it out there, and let serving.allowFrom say who may"
            )
    allowed = serving.get("allowFrom") or {}
    if allowed.get("scope") != "None":
        return None
    for peer in allowed.get("peers") or ():
        selector = peer.get("podSelector") or {}
        labels = selector.get("matchLabels") or {}
        if peer.get("namespaceSelector") or selector.get("matchExpressions") or labels.get(LABEL_NAME, head) == head:
            return None
    wanted = f"{{podSelector: {{matchLabels: {{{LABEL_NAME}: {head}}}}}}}"
    return f"{name} lets nobody in (serving.allowFrom): add the peer {wanted} there, or leave scope out"
