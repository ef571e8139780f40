"""The stages of the pipeline: one module for each, one line for each in ``STAGES``."""

from dataclasses import dataclass

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.stages.base import Assignment, JobSettings, Parent, Stage, Verdict, Work
from modelservice_operator.domain.stages.compare import Compare
from modelservice_operator.domain.stages.compress import Compress
from modelservice_operator.domain.stages.fetch import Fetch
from modelservice_operator.domain.stages.train import Train
from modelservice_operator.remembering import remembered

__all__ = [
    "COMPARE",
    "STAGES",
    "Assignment",
    "JobSettings",
    "Parent",
    "Stage",
    "Step",
    "Verdict",
    "Work",
    "asked_stages",
    "pipeline",
]

STAGES: tuple[Stage, ...] = (Train(), Fetch(), Compress())
_PIPELINES = 1024
"""Pipelines that are remembered: a pass asks more than once, and its spec comes again in the next one."""

COMPARE: Work = Compare()
"""Follows them all, on the way to a promotion that asks for it; makes nothing that is served."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Work with the key of the result that is desired of it, and the key of what it starts from.

    ``against`` is what serves, where it is compared with what the step starts from: then there is no artifact.
    """

    stage: Work
    key: str
    parent: str | None = None
    against: Revision | None = None


def asked_stages(spec: ModelServiceSpec) -> tuple[Stage, ...]:
    """The stages that a spec asks for, in order."""
    return tuple(stage for stage in STAGES if stage.asked_for(spec))


@remembered(_PIPELINES)
def pipeline(spec: ModelServiceSpec, data_digest: str | None) -> tuple[Step, ...]:
    """The steps whose last result is to be served; none while the data is not known, since keys begin with it."""
    steps: list[Step] = []
    if data_digest is None:
        return ()
    for stage in asked_stages(spec):
        parent = steps[-1].key if steps else None
        steps.append(Step(stage=stage, key=stage.key(spec, parent or data_digest), parent=parent))
    return tuple(steps)
