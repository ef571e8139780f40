"""Which pod template a revision is served with."""

from collections.abc import Iterator

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.builders.serving import build_serving_template, serving_inputs
from modelservice_operator.domain.history import history_of
from modelservice_operator.domain.metadata import covers
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import Revision, StageRecord, StoredTemplate
from modelservice_operator.domain.rollout import lacks_gpu


def choose_template(
    spec: ModelServiceSpec, observed: Observed, settings: Settings, revision: Revision
) -> StoredTemplate:
    """The newest stored template for these inputs, else a new one.

    So a newer operator, which would build another template, restarts nothing until the inputs change. What answers no
    request, or waits for an image that is missing, has nothing to lose: it gets the newest template, which may mend it.
    """
    stored = _choose(spec, observed, settings, revision, serving_inputs(spec, settings, revision.record))
    return paced(stored, spec, observed, revision.record)


def paced(stored: StoredTemplate, spec: ModelServiceSpec, observed: Observed, record: StageRecord) -> StoredTemplate:
    """The template with how it takes over: once its surge pods could have no GPU, old pods end first from then on.

    Unless the spec says how it is rolled out.
    """
    known = any(one.recreate for one in stored_templates(observed, record) if one.inputs == stored.inputs)
    recreate = known or (spec.serving.rollout is None and lacks_gpu(observed) and is_deployed(stored, observed))
    return stored.model_copy(update={"recreate": recreate or None})


def _choose(
    spec: ModelServiceSpec, observed: Observed, settings: Settings, revision: Revision, inputs: str
) -> StoredTemplate:
    record, deployment = revision.record, observed.deployment
    if deployment is not None and deployment.get("status", {}).get("availableReplicas", 0) > 0:
        for stored in stored_templates(observed, record):
            if stored.inputs == inputs and _image(stored) not in observed.missing_images:
                return stored
    # Told once: what is pruned later is to restart nothing, and what starts least of all.
    told = next((one.history for one in stored_templates(observed, record) if one.history is not None), None)
    history = history_of(revision, observed.revisions) if told is None else told
    return build_serving_template(observed.owner, spec, settings, revision, observed.children, history=history)


def is_deployed(stored: StoredTemplate, observed: Observed) -> bool:
    """Whether a template is the Deployment's, whatever others added to that."""
    return observed.deployment is not None and covers(observed.deployment["spec"].get("template"), stored.template)


def _image(stored: StoredTemplate) -> str:
    image: str = stored.template["spec"]["containers"][0]["image"]
    return image


def stored_templates(observed: Observed, record: StageRecord) -> Iterator[StoredTemplate]:
    """What the operator wrote where nobody else can, newest first: templates of their own, then that of the record."""
    for template in reversed(observed.templates):
        if template.document.key == record.key and template.document.failed is None:
            yield template.document.serving
    if record.serving is not None:
        yield record.serving
