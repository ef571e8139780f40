"""Specs, read once for each change while a ModelService is at work: up to a hundred trials of a search are checked."""

import json
from collections import OrderedDict
from typing import NamedTuple

from pydantic import ValidationError

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.objects import Object

_REMEMBERED = 1024
"""Of a thousand that are made at once, several hundred are at work at the same time."""
_LARGE = 32 * 1024
"""Characters of a spec, as JSON, from which it is read anew in each pass: a thousand of the largest take a gigabyte."""
Outcome = ModelServiceSpec | ValidationError


class Read(NamedTuple):
    """The newest spec of a ModelService, and of which generation it is."""

    generation: int
    outcome: Outcome


class Specs:
    """Reads specs of ModelServices, and remembers those that were read last.

    Passes over one of them follow each other within seconds, and then there are none for hours.
    """

    def __init__(self) -> None:
        self._read: OrderedDict[str, Read] = OrderedDict()

    def read(self, service: Object) -> ModelServiceSpec:
        """The spec of a ModelService as it is stored.

        Raises:
            ValidationError: it is not valid.
        """
        metadata = service["metadata"]
        uid, generation = metadata["uid"], int(metadata.get("generation", 0))
        read = self._read.pop(uid, None)
        if read is None or read.generation != generation:
            read = Read(generation, _parsed(service))
            if len(json.dumps(service["spec"])) >= _LARGE:
                return _told(read.outcome)
        self._read[uid] = read
        if len(self._read) > _REMEMBERED:
            self._read.popitem(last=False)
        return _told(read.outcome)


def _told(outcome: Outcome) -> ModelServiceSpec:
    if isinstance(outcome, ValidationError):
        raise outcome.with_traceback(None)  # each raise would add its frames to those of the ones before
    return outcome


def _parsed(service: Object) -> Outcome:
    try:
        return ModelServiceSpec.model_validate(service["spec"])
    except ValidationError as error:
        return error
