"""Which pod template a revision is served with."""

from collections.abc import Iterator

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.builders.serving import build_serving_template, serving_inputs
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import Revision, StageRecord, StoredTemplate


def choose_template(
    spec: ModelServiceSpec, observed: Observed, settings: Settings, revision: Revision
) -> StoredTemplate:
    """The newest stored template for these inputs, else a new one.

    So a newer operator, which would build another template, restarts nothing until the inputs change. What answers no
    request, or waits for an image that is missing, has nothing to lose: it gets the newest template, which may mend it.
    """
    record = revision.record
    inputs = serving_inputs(spec, settings, record)
    deployment = observed.deployment
    if deployment is not None and deployment.get("status", {}).get("availableReplicas", 0) > 0:
        for stored in _stored(observed, record):
            if stored.inputs == inputs and _image(stored) not in observed.missing_images:
                return stored
    return build_serving_template(observed.owner, spec, settings, revision, observed.children)


def _image(stored: StoredTemplate) -> str:
    image: str = stored.template["spec"]["containers"][0]["image"]
    return image


def _stored(observed: Observed, record: StageRecord) -> Iterator[StoredTemplate]:
    """What the operator wrote where nobody else can: templates of their own, and the one in the record."""
    for template in reversed(observed.templates):
        if template.document.key == record.key:
            yield template.document.serving
    if record.serving is not None:
        yield record.serving
