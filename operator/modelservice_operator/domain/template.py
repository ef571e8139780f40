"""Which pod template a revision is served with, and whether a newer operator's takes its place."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from modelservice.contract.keys import short_hash
from modelservice.contract.server_flags import ENGINE, ENGINES
from modelservice.contract.serving import Engine
from modelservice_operator.constants import ANNOTATION_INPUTS
from modelservice_operator.domain.builders.encryption import secret_of
from modelservice_operator.domain.builders.serving import (
    build_serving_template,
    choose_engine,
    server_image,
    serving_inputs,
)
from modelservice_operator.domain.history import history_of
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.observe import Observed, Told, arguments_of, image_of, told
from modelservice_operator.domain.records import Opened, Revision, StageRecord, StoredTemplate
from modelservice_operator.domain.rollout import (
    is_deployed,
    is_overdue,
    lacks_gpu,
    newest_pods,
    rollout,
    was_complete,
)
from modelservice_operator.domain.stores import location_of
from modelservice_operator.domain.verdict import loops
from modelservice_operator.objects import Object


class Chosen(NamedTuple):
    """A template; ``waits``: a newer operator's is to take its place, once it is the turn of this ModelService."""

    stored: StoredTemplate
    waits: bool = False


def choose_template(inputs: Inputs, revision: Revision) -> Chosen:
    """What a revision is served with, by ``spec.serving.runtimePolicy``.

    Pinned: the newest template that is stored for what the spec says of pods, else a new one with the image that the
    revision is served by already. So a newer operator restarts nothing, and brings its image with a new revision only.
    FollowOperator: what this operator builds, while the artifact is seen where it lies: who cannot see a claim cannot
    tell which nodes mount it. What never came to serve and fails, or waits for an image that is missing, has nothing to
    lose: it gets the newest template at once, which may mend it.
    """
    spec, observed = inputs.spec, inputs.observed
    record = _opened(observed, revision.record)
    asked = serving_inputs(spec, inputs.settings, record)
    lost = _fails_to_start(observed, record) or _lacks_image(inputs, record)
    fit = [] if lost else _fit(observed, record)
    kept, waits = next((one for one in fit if one.asked == asked), None), False
    if kept is None or (spec.serving.follows_operator and _is_seen(inputs, record)):
        built = _build(inputs, replace(revision, record=record), kept=[] if spec.serving.follows_operator else fit)
        if spec.serving.follows_operator:
            built = _of_this_operator(built)
        built = _opening(built, inputs, record, recorded=revision.record)
        if kept is None or not _alike(kept, built):
            waits = kept is not None and not (inputs.may_follow or _is_begun(observed, record, built))
            kept = kept if waits and kept is not None else built
    return Chosen(paced(kept, inputs, record), waits)


def paced(stored: StoredTemplate, inputs: Inputs, record: StageRecord) -> StoredTemplate:
    """The template with how it takes over: once its surge pods could have no GPU, old pods end first from then on.

    Unless the spec says how it is rolled out.
    """
    observed = inputs.observed
    known = any(one.recreate for one in stored_templates(observed, record) if one.inputs == stored.inputs)
    said = inputs.spec.serving.rollout is not None
    recreate = known or (not said and lacks_gpu(observed) and is_deployed(stored, observed))
    return stored.model_copy(update={"recreate": recreate or None})


def stored_templates(observed: Observed, record: StageRecord) -> Iterator[StoredTemplate]:
    """What the operator wrote where nobody else can, newest first: templates of their own, then that of the record."""
    for template in reversed(observed.templates):
        if template.document.key == record.key and template.document.failed is None:
            yield template.document.serving
    if record.serving is not None:
        yield record.serving


def rolled_out(observed: Observed, record: StageRecord) -> Iterator[StoredTemplate]:
    """Those of them that were rolled out, the newest first: neither what a canary only tries, nor what failed."""
    documents, failed = (one.document for one in reversed(observed.templates)), _failed(observed, record)
    plain = [one.serving for one in documents if one.key == record.key and one.is_rolled_out]
    recorded = [record.serving] if record.serving is not None else []
    yield from (one for one in (*plain, *recorded) if one.inputs not in failed)


def _failed(observed: Observed, record: StageRecord) -> frozenset[str]:
    """Inputs of the templates whose rollout failed."""
    documents = (one.document for one in observed.templates)
    return frozenset(one.serving.inputs for one in documents if one.key == record.key and one.failed is not None)


def _fit(observed: Observed, record: StageRecord) -> list[StoredTemplate]:
    """Stored templates that are not known to fail: the deployed one, then the others, the newest first."""
    failed = _failed(observed, record)
    found = [
        one
        for one in stored_templates(observed, record)
        if one.inputs not in failed and (_image(one) not in observed.missing_images or is_deployed(one, observed))
    ]
    return sorted(found, key=lambda one: not is_deployed(one, observed)) if len(found) > 1 else found


def _opened(observed: Observed, record: StageRecord) -> StageRecord:
    """The record with the Secrets that its artifact was opened with last; those of before may be gone."""
    found = list(rolled_out(observed, record))
    if all(one.opened is None for one in found):
        return record
    last = next((one for one in found if is_deployed(one, observed)), found[0])
    if last.opened is None:
        return record
    return record.model_copy(update={"artifact": record.artifact.opened_with(last.opened)})


def _opening(built: StoredTemplate, inputs: Inputs, record: StageRecord, *, recorded: StageRecord) -> StoredTemplate:
    """The template with the Secrets that its pods open the artifact with, where others are recorded."""
    _, location = location_of(record, inputs.artifacts)
    opened = Opened(secret_name=location.secret, encryption_secret=secret_of(record.artifact, inputs.artifacts))
    same = recorded.artifact.opened_with(opened) == recorded.artifact
    return built if same else built.model_copy(update={"opened": opened})


def _is_seen(inputs: Inputs, record: StageRecord) -> bool:
    """Whether the artifact is there to stay, as far as can be seen, whosever what holds it is."""
    store, location = location_of(record, inputs.artifacts)
    return store.holds(location, inputs.observed.holders)


def _lacks_image(inputs: Inputs, record: StageRecord) -> bool:
    """Whether the pods that are deployed wait for their image in vain, so that the one of this operator may mend it.

    Not while some of them answer; nor where that is the image which they wait for: there is nothing else to try.
    """
    observed = inputs.observed
    without = (one for one in stored_templates(observed, record) if _image(one) in observed.missing_images)
    deployed = next((one for one in without if is_deployed(one, observed)), None)
    if deployed is None or _origin(deployed.template) in map(_origin, observed.answering):
        return False
    return _image(deployed) != server_image(_engine(deployed) or Engine.ONNX, inputs.settings)


def _origin(pod: Object) -> tuple[Told | None, str | None, str | None]:
    """What a pod, or a pod template, serves, with which image, and what that was built from."""
    return told(pod), image_of(pod), (pod["metadata"].get("annotations") or {}).get(ANNOTATION_INPUTS)


def _fails_to_start(observed: Observed, record: StageRecord) -> bool:
    """Whether the pods of this key are none that ever came to serve, and end again and again or are late.

    Those of a Deployment that was made anew, or of a cluster that starts again, are only on their way.
    """
    deployment, state = observed.deployment, rollout(observed.deployment)
    if deployment is None or state is None or observed.deployed_key != record.key:
        return False
    if not state.desired or state.available or was_complete(deployment):
        return False
    return is_overdue(deployment) or any(map(loops, newest_pods(observed)))


def _build(inputs: Inputs, revision: Revision, *, kept: list[StoredTemplate]) -> StoredTemplate:
    """A new template, with the server's image of the newest one of those that are ``kept``, where one is the same."""
    observed, record = inputs.observed, revision.record
    # Told once: what is pruned later is to restart nothing, and what starts least of all.
    known = next((one.history for one in stored_templates(observed, record) if one.history is not None), None)
    engine = choose_engine(inputs.spec.serving, record)
    images = (_image(one) for one in kept if _engine(one) == engine)
    return build_serving_template(
        observed.owner,
        inputs.spec,
        inputs.settings,
        revision,
        observed.holders,
        history=history_of(revision, observed.revisions) if known is None else known,
        image=next((one for one in images if one not in observed.missing_images), None),
    )


def _of_this_operator(built: StoredTemplate) -> StoredTemplate:
    """The template under a name that tells what the operator makes of the inputs, too.

    So its rollout is one of its own: pods tell which of the two they have, and a failure is of this one alone.
    """
    inputs = f"{built.inputs}.{short_hash(built.template, length=16)}"
    return built.model_copy(update={"inputs": inputs, "template": _named(built.template, inputs)})


def _alike(one: StoredTemplate, other: StoredTemplate) -> bool:
    """Whether two templates make the same pods, whatever these say of what they were built from."""
    return _named(one.template, "") == _named(other.template, "")


def _named(template: Object, inputs: str) -> Object:
    metadata = template["metadata"]
    return {
        **template,
        "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), ANNOTATION_INPUTS: inputs}},
    }


def _is_begun(observed: Observed, record: StageRecord, stored: StoredTemplate) -> bool:
    """Whether a template was written down before, as one to be rolled out, as a canary's, or as one that failed."""
    documents = (one.document for one in observed.templates)
    return any((one.key, one.serving.inputs) == (record.key, stored.inputs) for one in documents)


def _image(stored: StoredTemplate) -> str | None:
    return image_of(stored.template)


def _engine(stored: StoredTemplate) -> Engine | None:
    return ENGINES.get(arguments_of(stored.template).get(ENGINE, ""))
