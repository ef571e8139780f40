"""The stages of the pipeline, in their order."""

from pkgutil import resolve_name
from typing import Final, NamedTuple

from modelservice.contract.failure import StageError
from modelservice.stages.base import Stage


class Place(NamedTuple):
    """Where a stage stands, so that no stage waits for the imports of another one."""

    name: str
    """As work orders name it."""
    member: str
    """Its module and its name there, as entry points write them."""


STAGES: Final[tuple[Place, ...]] = (
    Place("train", "modelservice.stages.train:TRAIN"),
    Place("fetch", "modelservice.stages.fetch:FETCH"),
    Place("compress", "modelservice.stages.compress:COMPRESS"),
)


def stage_named(name: str) -> Stage:
    """A stage by its name in a work order.

    Raises:
        StageError: this release does not know it.
    """
    for place in STAGES:
        if place.name == name:
            stage: Stage = resolve_name(place.member)
            return stage
    known = ", ".join(place.name for place in STAGES)
    message = f"the work order asks for {name!r}, but there are {known}: operator and runtime must be of one release"
    raise StageError("StageUnknown", message)
