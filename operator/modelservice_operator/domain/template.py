"""Which pod template a revision is served with."""

import contextlib
from collections.abc import Iterator

from pydantic import ValidationError

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.constants import ANNOTATION_TEMPLATE
from modelservice_operator.domain.builders.serving import build_serving_template, serving_inputs
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import StageRecord, StoredTemplate
from modelservice_operator.objects import Object


def choose_template(
    spec: ModelServiceSpec, observed: Observed, settings: Settings, record: StageRecord
) -> StoredTemplate:
    """The template that is already served or was first served with these inputs, else a new one.

    So a newer operator, which would build another template, restarts nothing until the inputs change. What answers no
    request, or waits for an image that is missing, has nothing to lose: it gets the newest template, which may mend it.
    """
    inputs = serving_inputs(spec, settings, record)
    deployment = observed.deployment
    if deployment is not None and deployment.get("status", {}).get("availableReplicas", 0) > 0:
        for stored in _stored(deployment, record):
            if stored.inputs == inputs and _image(stored) not in observed.missing_images:
                return stored
    return build_serving_template(observed.owner, spec, settings, record, observed.children)


def _image(stored: StoredTemplate) -> str:
    image: str = stored.template["spec"]["containers"][0]["image"]
    return image


def _stored(deployment: Object, record: StageRecord) -> Iterator[StoredTemplate]:
    # Somebody may have removed or changed the annotation: the record is the next best truth.
    with contextlib.suppress(ValidationError):
        annotation = deployment["metadata"].get("annotations", {}).get(ANNOTATION_TEMPLATE, "")
        yield StoredTemplate.model_validate_json(annotation)
    if record.serving is not None:
        yield record.serving
