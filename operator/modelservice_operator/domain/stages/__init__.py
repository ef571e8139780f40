"""The stages of the pipeline: one module for each, one line for each in ``STAGES``."""

from dataclasses import dataclass

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.domain.stages.base import Assignment, JobSettings, Parent, Stage, Verdict
from modelservice_operator.domain.stages.compress import Compress
from modelservice_operator.domain.stages.fetch import Fetch
from modelservice_operator.domain.stages.train import Train

__all__ = [
    "STAGES",
    "Assignment",
    "JobSettings",
    "Parent",
    "Stage",
    "Step",
    "Verdict",
    "asked_stages",
    "pipeline",
]

STAGES: tuple[Stage, ...] = (Train(), Fetch(), Compress())


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stage with the key of the result that is desired of it, and the key of what it starts from."""

    stage: Stage
    key: str
    parent: str | None = None


def asked_stages(spec: ModelServiceSpec) -> tuple[Stage, ...]:
    """The stages that a spec asks for, in order."""
    return tuple(stage for stage in STAGES if stage.asked_for(spec))


def pipeline(spec: ModelServiceSpec, data_digest: str | None) -> tuple[Step, ...]:
    """The steps whose last result is to be served; none while the data is not known, since keys begin with it."""
    steps: list[Step] = []
    if data_digest is None:
        return ()
    for stage in asked_stages(spec):
        parent = steps[-1].key if steps else None
        steps.append(Step(stage=stage, key=stage.key(spec, parent or data_digest), parent=parent))
    return tuple(steps)
