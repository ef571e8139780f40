"""Looks by name for children that no watch shows: they may have lost only their labels, and are not gone."""

from collections.abc import Iterator
from dataclasses import replace

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.constants import LABEL_NAME, MANAGED_BY, MANAGED_BY_LABEL
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.diff import Name
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.observe import Head, Observed, observe, observe_head
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.stages import pipeline
from modelservice_operator.domain.stores import location_of, settled_artifacts
from modelservice_operator.domain.unproven import unproven_claims
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, MODEL_SERVICE
from modelservice_operator.kube.port import KubePort
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.errors import KubeError
from modelservice_operator.machinery.imposed import Impositions
from modelservice_operator.objects import Key, Object, Ref


class Observer:
    """Reads a ModelService and its children out of the cache, and what is missed there from the apiserver.

    That is the record of what is served, and what holds a recorded artifact: without them the record would be deleted,
    and the model trained again.
    """

    def __init__(self, *, kube: KubePort, cache: Cache, settings: Settings, impositions: Impositions) -> None:
        self._kube = kube
        self._cache = cache
        self._settings = settings
        self._impositions = impositions

    def observe(self, service: Object) -> Observed:
        """What the cache knows, and what came of earlier writes."""
        metadata = service["metadata"]
        children = self._cache.children(metadata["namespace"], metadata["name"])
        uids = (child["metadata"]["uid"] for objects in children.values() for child in objects)
        return observe(service, children, imposed=self._impositions.of(uids), heads=tuple(self._heads(service)))

    def _heads(self, service: Object) -> Iterator[Head]:
        """Who asks this ModelService."""
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        for head in self._cache.naming(MODEL_SERVICE, Key(namespace, name)):
            children = self._cache.children(namespace, head["metadata"]["name"])
            yield observe_head(head, children, encoder=name)

    async def find(self, service: Object, spec: ModelServiceSpec, data: DataState) -> tuple[Observed, Problem | None]:
        """What is there, with all that is ``unsure``.

        Returns:
            Also what is wrong with that, where it matters for what is desired or served.
        """
        observed, unsure, problem = self.observe(service), dict[Name, Object | None](), None
        if names := [*_hidden_record(observed), *_missing_records(observed, spec, data)]:
            unsure, problem = await self._look(observed, names, needed=set(names))
            observed = self.observe(service)
        if problem is None and (holders := self._hidden_holders(observed, spec)):
            keys = {observed.deployed_key, *(step.key for step in pipeline(spec, data.digest))}
            needed = {name for name, key in holders.items() if key in keys}
            found, problem = await self._look(observed, list(holders), needed=needed)
            observed, unsure = self.observe(service), unsure | found
        scalers, unread = await self._scalers(observed, spec)
        if unsure or scalers != observed.scalers:  # hardly ever: what was read of the picture stays read
            observed = replace(observed, unsure=unsure, scalers=scalers)
        return observed, problem or unread

    async def _scalers(
        self, observed: Observed, spec: ModelServiceSpec
    ) -> tuple[tuple[str, ...] | None, Problem | None]:
        """Autoscalers of somebody else, asked for only where the number of pods was set as they do.

        Beside one of ours they need not be known: Kubernetes has both stand still, and ours says so.
        """
        deployment, owner = observed.deployment, observed.owner
        if spec.serving.autoscaling is not None or deployment is None or "scaledBy" not in deployment["metadata"]:
            return (), None
        try:
            found = await self._kube.autoscalers_of(Ref(DEPLOYMENT, owner.namespace, owner.name))
        except KubeError as error:
            return None, Problem(reason="ReadFailed", message=f"autoscalers cannot be read: {error}")
        ours = {one["metadata"]["name"] for one in observed.children.get(HORIZONTAL_POD_AUTOSCALER, ())}
        return tuple(name for name in found if name not in ours), None

    def _hidden_holders(self, observed: Observed, spec: ModelServiceSpec) -> dict[Name, str]:
        """What holds recorded artifacts, with their keys."""
        artifacts = settled_artifacts(spec, self._settings)
        places = ((revision.key, *location_of(revision.record, artifacts)) for revision in observed.records)
        holders = {name: key for key, store, location in places for name in store.holders(location)}
        return {name: key for name, key in holders.items() if observed.child(*name) is None}

    async def _look(
        self, observed: Observed, names: list[Name], *, needed: set[Name]
    ) -> tuple[dict[Name, Object | None], Problem | None]:
        """What stays under the names, None where it cannot be read; ours is in the cache from now on."""
        owner, taken, problem = observed.owner, dict[Name, Object | None](), None
        for kind, name in names:
            try:
                found = await self._kube.get(Ref(kind, owner.namespace, name))
            except KubeError as error:
                message = f"{kind.kind} {name} cannot be read: {error}"
                return dict.fromkeys(names), Problem(reason="ReadFailed", message=message)
            if found is None or found["metadata"].get("deletionTimestamp"):
                continue
            taken[kind, name] = found
            if owner.owns(found) or owner.may_adopt(found):
                self._cache.put(kind, found)
            elif (kind, name) in needed and problem is None:
                problem = _not_ours((kind, name), owner)
        return taken, problem


def _hidden_record(observed: Observed) -> list[Name]:
    key = observed.deployed_key
    if key is None or observed.record(key) is not None or observed.unreadable_record(key) is not None:
        return []
    return [(CONTROLLER_REVISION, keyed_name(observed.owner.name, key))]


def _missing_records(observed: Observed, spec: ModelServiceSpec, data: DataState) -> list[Name]:
    """Records without which a claim of nobody keeps a stage from beginning: a watch may show them later than that."""
    if not (unproven := unproven_claims(observed)):
        return []
    names = (keyed_name(observed.owner.name, step.key) for step in pipeline(spec, data.digest))
    return [(CONTROLLER_REVISION, name) for name in names if name in unproven]


def _not_ours(name: Name, owner: Owner) -> Problem:
    labels = f"{MANAGED_BY_LABEL}={MANAGED_BY} {LABEL_NAME}={owner.name}"
    message = (
        f"{name[0].kind} {name[1]} belongs to an artifact and is not ours (any more): give it the labels {labels} and "
        "no owner, and it is adopted; or delete it, and what it held is made again"
    )
    return Problem(reason="NameConflict", message=message)
