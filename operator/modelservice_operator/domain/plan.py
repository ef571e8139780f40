"""What to do: from what is wanted and what is, the writes. A converged ModelService gives none."""

from collections.abc import Iterator
from dataclasses import dataclass

from modelservice.contract.keys import train_key
from modelservice.contract.report import Success
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.constants import FIELD_MANAGER, REPLICAS_FIELD_MANAGER
from modelservice_operator.domain.builders.identity import build_network_policy, build_service_account
from modelservice_operator.domain.builders.record import build_record
from modelservice_operator.domain.builders.serving import (
    build_autoscaler,
    build_deployment,
    build_disruption_budget,
    build_replicas_holder,
    build_service,
)
from modelservice_operator.domain.builders.training import shares_node
from modelservice_operator.domain.metadata import Object, is_current, stamped
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.observe import DataState, JobPhase, Observed, TrainingJob
from modelservice_operator.domain.retention import outdated
from modelservice_operator.domain.revisions import Revision
from modelservice_operator.domain.template import choose_template
from modelservice_operator.domain.training import Attempt, choose_attempt
from modelservice_operator.kinds import (
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
    Kind,
    Ref,
    ref_of,
)


@dataclass(frozen=True, kw_only=True)
class Apply:
    """A server-side apply. ``fresh``: nothing of ours has this name yet, but perhaps a stranger has."""

    obj: Object
    manager: str = FIELD_MANAGER
    fresh: bool = False


@dataclass(frozen=True, kw_only=True)
class Delete:
    """A deletion of exactly one object."""

    ref: Ref
    uid: str
    propagation: str = "Background"


Action = Apply | Delete


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The writes, and the decisions that they follow from.

    Each lane (training, serving, cleaning up) is in order. A refused write holds up its own lane only: a quota that
    refuses a claim must neither keep what serves from being scaled nor an old claim from being deleted.

    ``key`` is what spec and data ask for, ``wanted`` its recorded revision, ``target`` the revision to serve now (an
    older one while the wanted one is trained), ``job`` the training attempt that counts.
    """

    lanes: tuple[tuple[Action, ...], ...] = ()
    key: str | None = None
    wanted: Revision | None = None
    target: Revision | None = None
    job: TrainingJob | None = None


def plan(spec: ModelServiceSpec, observed: Observed, data: DataState, settings: Settings) -> Plan:
    """Decide. Pure: the same picture gives the same plan."""
    key = train_key(spec, data.digest) if data.digest else None
    attempt = choose_attempt(spec, observed, settings, key=key, data=data)
    wanted = _wanted(observed, attempt, key=key, digest=data.digest)
    target = wanted or _fallback(observed)
    training: list[Action] = [*_identity(spec, observed, settings)]
    if wanted is None and not spec.suspend:
        training += _start(observed, attempt)
    training += _stop(spec, attempt, wanted=wanted)
    serving = tuple(_serve(spec, observed, settings, target)) if target is not None else ()
    gone = outdated(
        observed,
        wanted=key,
        target=target.key if target else None,
        starting=frozenset(obj["metadata"]["name"] for obj in attempt.objects),
        limit=spec.revision_history_limit,
    )
    lanes = (tuple(training), serving, tuple(_delete(kind, obj) for kind, obj in gone))
    return Plan(lanes=lanes, key=key, wanted=wanted, target=target, job=attempt.current)


def _wanted(observed: Observed, attempt: Attempt, *, key: str | None, digest: str | None) -> Revision | None:
    """The revision of the wanted key: recorded, or just reported by its Job. Without its claim it is nothing.

    The trainer's report counts, not the end of its Job: a sidecar may keep the pod, and with it the Job, running.
    """
    if key is None or digest is None or observed.claim(key) is None:
        return None
    if recorded := observed.revision(key):
        return recorded
    job = attempt.current
    if job is None or job.phase not in (JobPhase.RUNNING, JobPhase.SUCCEEDED) or not isinstance(job.result, Success):
        return None
    return Revision.from_success(
        job.result,
        number=max((revision.number for revision in observed.revisions), default=0) + 1,
        data_digest=digest,
        claim=keyed_name(observed.owner.name, key),
        image=job.image,
    )


def _fallback(observed: Observed) -> Revision | None:
    """What goes on serving: the deployed revision, else the newest whose claim is still there."""
    deployed = observed.revision(observed.deployed_key)
    held = [revision for revision in observed.revisions if observed.claim(revision.key) is not None]
    return deployed or (held[-1] if held else None)


def _identity(spec: ModelServiceSpec, observed: Observed, settings: Settings) -> Iterator[Action]:
    yield from _apply(observed, build_service_account(observed.owner))
    yield from _apply(observed, build_network_policy(observed.owner, spec.serving.allow_from, settings))


def _start(observed: Observed, attempt: Attempt) -> Iterator[Action]:
    """The claim, the task and the Job of an attempt that may begin; each is immutable, so it is only ever made."""
    for obj in attempt.objects:
        if observed.child(ref_of(obj).kind, obj["metadata"]["name"]) is None:
            yield _make(observed, obj)


def _stop(spec: ModelServiceSpec, attempt: Attempt, *, wanted: Revision | None) -> Iterator[Action]:
    """End Jobs that another key or another way to run has overtaken; with ``suspend`` also the current one."""
    jobs = list(attempt.superseded)
    if spec.suspend and wanted is None and attempt.current and attempt.current.phase is JobPhase.RUNNING:
        jobs.append(attempt.current)
    for job in jobs:
        if job.phase is not JobPhase.DELETING:
            yield _delete(JOB, job.obj, propagation="Foreground")
    if attempt.unfit_claim is not None:
        yield _delete(PERSISTENT_VOLUME_CLAIM, attempt.unfit_claim)


def _serve(spec: ModelServiceSpec, observed: Observed, settings: Settings, target: Revision) -> Iterator[Action]:
    owner, serving = observed.owner, spec.serving
    shared_node = shares_node(observed.claim(target.key))
    stored = choose_template(spec, observed, settings, target, shared_node=shared_node)
    if observed.revision(target.key) is None:
        yield _make(observed, build_record(owner, target.model_copy(update={"serving": stored})))
    autoscaler = observed.child(HORIZONTAL_POD_AUTOSCALER, owner.name)
    if serving.autoscaling and observed.deployment and not autoscaler:
        # At 0 an autoscaler takes itself for switched off, and would never begin.
        held = max(observed.deployment["spec"].get("replicas", 1), serving.autoscaling.min_replicas)
        yield Apply(obj=build_replicas_holder(owner, held), manager=REPLICAS_FIELD_MANAGER)
    yield from _apply(observed, build_deployment(owner, serving, target, stored))
    yield from _apply(observed, build_service(owner))
    if serving.autoscaling:
        yield from _apply(observed, build_autoscaler(owner, serving.autoscaling))
    elif autoscaler:
        yield _delete(HORIZONTAL_POD_AUTOSCALER, autoscaler)
    replicas = serving.autoscaling.min_replicas if serving.autoscaling else serving.replicas
    budget = observed.child(POD_DISRUPTION_BUDGET, owner.name)
    if replicas > 1 and not shared_node:
        yield from _apply(observed, build_disruption_budget(owner))
    elif budget:
        yield _delete(POD_DISRUPTION_BUDGET, budget)


def _apply(observed: Observed, obj: Object) -> Iterator[Action]:
    desired = stamped(obj)
    live = observed.child(ref_of(obj).kind, obj["metadata"]["name"])
    if not is_current(live, desired):
        yield Apply(obj=desired, fresh=live is None)


def _make(observed: Observed, obj: Object) -> Apply:
    """An object whose name holds a hash: only what a namesake left behind can have it, and that carries our label."""
    left = (ref_of(obj).kind, obj["metadata"]["name"]) in observed.leftovers
    return Apply(obj=stamped(obj), fresh=left)


def _delete(kind: Kind, obj: Object, *, propagation: str = "Background") -> Delete:
    metadata = obj["metadata"]
    return Delete(ref=Ref(kind, metadata["namespace"], metadata["name"]), uid=metadata["uid"], propagation=propagation)
