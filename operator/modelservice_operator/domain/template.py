"""Which pod template a revision is served with."""

import contextlib
from collections.abc import Iterable

from pydantic import ValidationError

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.constants import ANNOTATION_TEMPLATE
from modelservice_operator.domain.builders.serving import build_serving_template, serving_inputs
from modelservice_operator.domain.metadata import Object
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.revisions import Revision, StoredTemplate


def choose_template(
    spec: ModelServiceSpec,
    observed: Observed,
    settings: Settings,
    revision: Revision,
    *,
    shared_node: bool,
) -> StoredTemplate:
    """The template that is already served or was first served with these inputs, else a new one.

    So a newer operator, which would build another template, restarts nothing until the inputs change. What answers no
    request, or waits for an image that is missing, has nothing to lose: it gets the newest template, which may mend it.
    """
    inputs = serving_inputs(spec, revision)
    deployment = observed.deployment
    if deployment is not None and deployment.get("status", {}).get("availableReplicas", 0) > 0:
        for stored in _stored(deployment, revision):
            if stored.inputs == inputs and _image(stored) not in observed.missing_images:
                return stored
    return build_serving_template(observed.owner, spec, settings, revision, shared_node=shared_node)


def _image(stored: StoredTemplate) -> str:
    image: str = stored.template["spec"]["containers"][0]["image"]
    return image


def _stored(deployment: Object, revision: Revision) -> Iterable[StoredTemplate]:
    # Somebody may have removed or changed the annotation: the record is the next best truth.
    with contextlib.suppress(ValidationError):
        annotation = deployment["metadata"].get("annotations", {}).get(ANNOTATION_TEMPLATE, "")
        yield StoredTemplate.model_validate_json(annotation)
    if revision.serving is not None:
        yield revision.serving
