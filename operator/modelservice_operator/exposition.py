"""The page that Prometheus reads: what the operator counts about itself, and the conditions of all ModelServices."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from modelservice_operator.metrics import ConditionCollector
from modelservice_operator.objects import Key

_FAMILY: Final = re.compile(rb"^(# HELP .*\n# TYPE .*\n)((?:[^#].*\n)*)", re.MULTILINE)
"""A family of the text format: what it is, and its samples."""

_Lines = tuple[bytes, ...]
"""Of each family of conditions, in order."""


class Exposition:
    """Renders the page, for one thread at a time.

    The lines of a ModelService are rendered once for each of its versions: those of a thousand take 35 ms of CPU, and
    Prometheus asks four times a minute.
    """

    def __init__(self, registry: CollectorRegistry, services: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Args: what is counted, and all ModelServices as they are kept: whatever changes is another object."""
        self._registry = registry
        self._services = services
        self._told: dict[Key, tuple[Mapping[str, Any], _Lines]] = {}
        self._heads = [head for head, _ in _families([])]

    def render(self) -> bytes:
        """The page, in the text format of Prometheus."""
        before, self._told = self._told, {}
        for service in self._services():
            key = Key(service["metadata"]["namespace"], service["metadata"]["name"])
            known = before.get(key)
            if known is None or known[0] is not service:
                known = service, tuple(samples for _, samples in _families([service]))
            self._told[key] = known
        page = [generate_latest(self._registry)]
        for number, head in enumerate(self._heads):
            page += [head, *(lines[number] for _, lines in self._told.values())]
        return b"".join(page)


def _families(services: Iterable[Mapping[str, Any]]) -> list[tuple[bytes, bytes]]:
    return [(found[1], found[2]) for found in _FAMILY.finditer(generate_latest(ConditionCollector(lambda: services)))]
