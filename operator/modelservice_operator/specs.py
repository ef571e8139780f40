"""Specs, read once for each change while a ModelService is at work: up to a hundred trials of a search are checked."""

from collections import OrderedDict

from pydantic import ValidationError

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.objects import Object

_REMEMBERED = 1024
"""Of a thousand that are made at once, several hundred are at work at the same time."""


class Specs:
    """Reads specs of ModelServices, and remembers those that were read last.

    Passes over one of them follow each other within seconds, and then there are none for hours.
    """

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[str, int], ModelServiceSpec | ValidationError] = OrderedDict()

    def read(self, service: Object) -> ModelServiceSpec:
        """The spec of a ModelService as it is stored.

        Raises:
            ValidationError: it is not valid.
        """
        metadata = service["metadata"]
        change = metadata["uid"], int(metadata.get("generation", 0))
        found = self._read.pop(change, None) or _parsed(service)
        self._read[change] = found
        if len(self._read) > _REMEMBERED:
            self._read.popitem(last=False)
        if isinstance(found, ValidationError):
            raise found.with_traceback(None)  # each raise would add its frames to those of the ones before
        return found


def _parsed(service: Object) -> ModelServiceSpec | ValidationError:
    try:
        return ModelServiceSpec.model_validate(service["spec"])
    except ValidationError as error:
        return error
