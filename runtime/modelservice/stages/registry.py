"""The stages of the pipeline, in their order."""

from typing import Final

from modelservice.contract.failure import StageError
from modelservice.stages.base import Stage
from modelservice.stages.compress import COMPRESS
from modelservice.stages.fetch import FETCH
from modelservice.stages.train import TRAIN

STAGES: Final[tuple[Stage, ...]] = (TRAIN, FETCH, COMPRESS)


def stage_named(name: str) -> Stage:
    """A stage by its name in a work order.

    Raises:
        StageError: this release does not know it.
    """
    for stage in STAGES:
        if stage.name == name:
            return stage
    known = ", ".join(stage.name for stage in STAGES)
    message = f"the work order asks for {name!r}, but there are {known}: operator and runtime must be of one release"
    raise StageError("StageUnknown", message)
