"""Which kinds the apiserver serves: kopf looks once, at its start, so whoever needs a kind looks before."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from modelservice_operator.kube.transport import Transport
from modelservice_operator.machinery.errors import NotFound
from modelservice_operator.objects import Kind


class Discovery:
    """``Discovers`` on a transport: the list of groups, and one list of resources for each group's version."""

    def __init__(self, *, transport: Transport) -> None:
        self._transport = transport

    async def served(self, kinds: Sequence[Kind]) -> frozenset[Kind]:
        """Those of the kinds that are served.

        A version answers before its group is listed, and kopf reads the list: what counts is what both say.

        Raises:
            KubeError: The apiserver did not answer well.
        """
        ordered = sorted(kinds, key=lambda kind: kind.api_path)
        answer = await self._transport.request("get", "GET", ordered[0], "/apis")
        listed = {"", *(group["name"] for group in answer["groups"])}
        served: set[Kind] = set()
        for _, same in groupby(ordered, key=lambda kind: kind.api_path):
            of_version = list(same)
            if of_version[0].group in listed:
                plurals = set(await self._plurals(of_version[0]))
                served.update(kind for kind in of_version if kind.plural in plurals)
        return frozenset(served)

    async def _plurals(self, kind: Kind) -> Iterable[str]:
        try:
            answer = await self._transport.request("get", "GET", kind, kind.api_path)
        except NotFound:
            return ()
        return (resource["name"] for resource in answer["resources"])
