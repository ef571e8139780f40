"""The page that Prometheus reads: what the operator counts about itself, and the conditions of all ModelServices."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from modelservice_operator.metrics import ConditionCollector

_FAMILY: Final = re.compile(rb"^(# HELP .*\n# TYPE .*\n)((?:[^#].*\n)*)", re.MULTILINE)
"""A family of the text format: what it is, and its samples."""

_Lines = tuple[bytes, ...]
"""Of each family of conditions, in order."""

_Version = tuple[str, str]
"""UID and ``resourceVersion``: what was told of this one is true of no other."""


class Exposition:
    """Renders the page, for one thread at a time.

    The lines of a ModelService are rendered once for each of its versions: to render those of a thousand once a minute
    took more CPU than all else that an operator at rest does.
    """

    def __init__(self, registry: CollectorRegistry, services: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Args: what is counted, and all ModelServices as they are stored."""
        self._registry = registry
        self._services = services
        self._told: dict[_Version, _Lines] = {}
        self._heads = tuple(head for head, _ in _families([]))

    def render(self) -> bytes:
        """The page, in the text format of Prometheus."""
        told: dict[_Version, _Lines] = {}
        for service in self._services():
            version = service["metadata"]["uid"], service["metadata"]["resourceVersion"]
            told[version] = self._told.get(version) or tuple(samples for _, samples in _families([service]))
        self._told = told
        families = zip(self._heads, *told.values(), strict=True)
        return b"".join((generate_latest(self._registry), *chain.from_iterable(families)))


def _families(services: Iterable[Mapping[str, Any]]) -> list[tuple[bytes, bytes]]:
    """What each family is, and its samples."""
    return [(found[1], found[2]) for found in _FAMILY.finditer(generate_latest(ConditionCollector(lambda: services)))]
