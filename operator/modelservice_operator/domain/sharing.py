"""What an encoder has for the heads that ask it: each of them is answered by the revision that it was trained with.

While the encoder goes on to a newer revision, the one that heads ask stays beside it, in a Deployment of its own that
is there before the change, until the last head has gone on as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelservice_operator.constants import STAGE_KEEP
from modelservice_operator.domain.builders.serving import (
    build_encoder_service,
    build_keeper,
    build_serving_template,
)
from modelservice_operator.domain.diff import Desired, Part, Phase
from modelservice_operator.domain.encoders import SHAREABLE
from modelservice_operator.domain.history import history_of
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.last_good import Choice
from modelservice_operator.domain.names import encoder_name
from modelservice_operator.domain.observe import told
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.rollout import rollout
from modelservice_operator.kinds import DEPLOYMENT, SERVICE
from modelservice_operator.objects import Object

_SHOWN = 5
"""Heads that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """The children for heads, and the keys of the revisions that these ask.

    ``keeps``: a revision is kept beside the one that serves. ``waits`` says what has to be there before another
    revision may take the place of the deployed one.
    """

    parts: tuple[Part, ...] = ()
    keys: frozenset[str] = frozenset()
    keeps: bool = False
    waits: str | None = None


def share(inputs: Inputs, choice: Choice | None) -> Sharing:
    """Decide what heads need of an encoder; ``choice`` is what it would be served by from now on."""
    observed = inputs.observed
    if not observed.heads:
        return Sharing()
    now = observed.deployed_key
    following = choice.revision.key if choice else now
    asked = [revision for revision in _held(inputs) if _heads_of(inputs, revision)]
    offered = (now, following) if inputs.spec.model.choice in SHAREABLE else ()
    # Of revisions with the same artifact the first one has the name: it is kept for as long as heads ask that.
    led_to = {one.digest: one for one in reversed([*_held(inputs)]) if one in asked or one.key in offered}.values()
    kept = [one for one in asked if _is_kept(inputs, one, following)]
    parts = [
        Part(desired=(Desired(obj=build_encoder_service(observed.owner, one)),), phase=Phase.FIRST) for one in led_to
    ]
    parts += [*(_kept(inputs, one) for one in kept), _unrecorded(inputs)]
    needed = (one for one in kept if one.key == now != following and not _answers(inputs, one))
    return Sharing(
        parts=tuple(parts),
        keys=frozenset(one.key for one in asked),
        keeps=bool(kept),
        waits=next((_waits(inputs, one) for one in needed), None),
    )


def _held(inputs: Inputs) -> Iterator[Revision]:
    """The revisions whose artifacts are there."""
    return (one for one in inputs.observed.revisions if inputs.observed.holds(one.record, inputs.artifacts))


def _unrecorded(inputs: Inputs) -> Part:
    """What leads heads to pods of which no record tells, since it cannot be read or was lost: it serves on as it is."""
    observed, name = inputs.observed, inputs.observed.owner.name
    recorded = {one.digest for one in _held(inputs)}
    asked = {digest for head in observed.heads for digest in head.asks} - recorded
    keepers = {found for one in asked if observed.child(DEPLOYMENT, found := encoder_name(name, one))}
    templates = [observed.deployment["spec"].get("template", {})] if observed.deployment else []
    served = {said.digest for pod in (*templates, *observed.serving_pods) if (said := told(pod))} - recorded
    led = keepers | {encoder_name(name, one) for one in served}
    return Part(kept=frozenset({*((DEPLOYMENT, one) for one in keepers), *((SERVICE, one) for one in led)}))


def _heads_of(inputs: Inputs, revision: Revision) -> list[str]:
    return [head.name for head in inputs.observed.heads if revision.digest in head.asks]


def _is_kept(inputs: Inputs, revision: Revision, following: str | None) -> bool:
    """Whether a revision that heads ask needs pods beside those that serve."""
    observed = inputs.observed
    if following != revision.key:
        return True
    state = rollout(observed.deployment)
    if observed.deployed_key == revision.key and (state is None or state.complete):
        return False
    return _live(inputs, revision) is not None  # until the pods that serve have taken over again


def _live(inputs: Inputs, revision: Revision) -> Object | None:
    return inputs.observed.child(DEPLOYMENT, encoder_name(inputs.observed.owner.name, revision.digest))


def _answers(inputs: Inputs, revision: Revision) -> bool:
    live = _live(inputs, revision)
    state = None if live is None or _is_stopped(inputs, live) else rollout(live)
    return state is not None and state.current and state.available >= state.desired


def _is_stopped(inputs: Inputs, live: Object) -> bool:
    """Whether somebody scaled what is kept for heads to nothing, while the encoder has pods."""
    state = rollout(live)
    return state is not None and state.desired == 0 < _replicas(inputs)


def _replicas(inputs: Inputs) -> int:
    state = rollout(inputs.observed.deployment)
    return state.desired if state is not None else inputs.spec.serving.replicas


def _keeper(inputs: Inputs, revision: Revision) -> Object:
    observed = inputs.observed
    template = build_serving_template(
        observed.owner,
        inputs.spec,
        inputs.settings,
        revision,
        observed.holders,
        history=history_of(revision, observed.revisions),
        stage=STAGE_KEEP,
    )
    return build_keeper(observed.owner, revision, template, replicas=_replicas(inputs))


def _kept(inputs: Inputs, revision: Revision) -> Part:
    """Pods that stay as they were made, while there are any: a change would only restart what is about to go."""
    live = _live(inputs, revision)
    if live is None or _is_stopped(inputs, live):
        return Part(desired=(Desired(obj=_keeper(inputs, revision)),))
    return Part(kept=frozenset({(DEPLOYMENT, live["metadata"]["name"])}))


def _waits(inputs: Inputs, revision: Revision) -> str:
    names, name = _heads_of(inputs, revision), encoder_name(inputs.observed.owner.name, revision.digest)
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return f"Deployment {name} has to be available first, which keeps revision {revision.number} for {shown}"
