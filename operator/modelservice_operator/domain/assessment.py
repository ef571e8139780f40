"""How each stage stands and what keeps it: the middle between a plan and the words of the status."""

from dataclasses import dataclass

from modelservice.contract.progress import Progress
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.crd.status import Stage
from modelservice_operator.domain.diagnose import (
    failure_problem,
    memory_limit_of,
    pending_problem,
    pod_problem,
    with_remedy,
)
from modelservice_operator.domain.metadata import Object
from modelservice_operator.domain.observe import DataState, JobPhase, Observed
from modelservice_operator.domain.plan import Plan
from modelservice_operator.domain.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What the reconciler learned besides the cache: live progress, last warnings by stage, and a refused write.

    ``claim`` is the last warning about a claim that does not bind: it is the cause of what its pods say.
    """

    progress: Progress | None = None
    claim: Problem | None = None
    training: Problem | None = None
    serving: Problem | None = None
    refused: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Numbers of the Deployment, as far as its controller has seen the newest version."""

    wanted: int
    updated: int
    available: int
    total: int
    current: bool

    @property
    def complete(self) -> bool:
        """All wanted replicas are of the newest template and available, and no old one is left."""
        return self.current and self.updated == self.wanted == self.available == self.total


def rollout(deployment: Object | None) -> Rollout | None:
    """Read a Deployment's status; None while there is none."""
    if deployment is None:
        return None
    status = deployment.get("status", {})
    return Rollout(
        wanted=deployment["spec"].get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        total=status.get("replicas", 0),
        current=status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0),
    )


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """Everything that the status is made from. ``data_problem`` is what the owner of the data has to mend."""

    spec: ModelServiceSpec
    observed: Observed
    data: DataState
    planned: Plan
    rollout: Rollout | None
    progress: str | None
    data_problem: Problem | None
    training_problem: Problem | None
    serving_problem: Problem | None
    refused: Problem | None

    @property
    def rolled_out(self) -> bool:
        """Whether the wanted revision serves with all wanted replicas."""
        wanted = self.planned.wanted
        deployed = wanted is not None and self.observed.deployed_key == wanted.key
        return deployed and self.rollout is not None and self.rollout.complete

    @property
    def suspended(self) -> bool:
        """Whether a training waits for ``spec.suspend`` to end."""
        return self.spec.suspend and self.planned.wanted is None

    @property
    def problem(self) -> Problem | None:
        """The first thing that fails, in the order in which the stages follow each other."""
        serving = None if self.rolled_out else self.serving_problem
        return self.data_problem or self.refused or self.training_problem or serving


def assess(spec: ModelServiceSpec, observed: Observed, data: DataState, planned: Plan, diagnostics: Diagnostics) -> Assessment:
    """Put together what is known about each stage."""
    training = _training_problem(planned, diagnostics)
    blames_data = training is not None and training.blames_data
    return Assessment(
        spec=spec,
        observed=observed,
        data=data,
        planned=planned,
        rollout=rollout(observed.deployment),
        progress=_progress(planned, diagnostics, observed.service.get("status", {}), training),
        data_problem=data.problem or (training if blames_data else None),
        training_problem=None if blames_data or data.problem else training,
        serving_problem=_serving_problem(observed, diagnostics) if planned.target else None,
        refused=diagnostics.refused,
    )


def _progress(planned: Plan, diagnostics: Diagnostics, live: Object, problem: Problem | None) -> str | None:
    """Percent of the training; the last known one while a pod does not answer, so that it never jumps back."""
    if planned.wanted is not None:
        return "100%"
    if planned.job is None or problem is not None:
        return None
    if diagnostics.progress is not None:
        return f"{diagnostics.progress.percent}%"
    known: str | None = live.get("progress")
    return known if (live.get("key"), live.get("stage")) == (planned.key, Stage.TRAINING) else None


def _training_problem(planned: Plan, diagnostics: Diagnostics) -> Problem | None:
    """What keeps the training from going on."""
    job = planned.job
    if planned.wanted is not None:
        return None
    if job is None:
        return diagnostics.training
    if job.lost_report:
        message = f"Job {job.name} ended twice without a report that can be read: see its log, then delete it"
        return Problem(reason="ReportUnreadable", message=message, waits_for_change=True)
    if job.phase is JobPhase.FAILED and not job.awaits_report:
        return failure_problem(job)
    limit = memory_limit_of(job.obj)
    waiting = (pod_problem(pod, section="spec.training", memory_limit=limit) for pod in reversed(job.pods))
    found = diagnostics.claim or next((problem for problem in waiting if problem), None)
    return found or pending_problem(job) or diagnostics.training


def _serving_problem(observed: Observed, diagnostics: Diagnostics) -> Problem | None:
    """What keeps the newest serving pods from running."""
    if observed.deployment is None:
        return diagnostics.serving
    limit = memory_limit_of(observed.deployment)
    pods = sorted(observed.serving_pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True)
    waiting = (pod_problem(pod, section="spec.serving", memory_limit=limit) for pod in pods)
    found = next((problem for problem in waiting if problem), None)
    return found or _replica_failure(observed.deployment) or diagnostics.serving


def _replica_failure(deployment: Object) -> Problem | None:
    for condition in deployment.get("status", {}).get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = with_remedy(condition.get("message", ""), section="spec.serving")
            return Problem(reason=condition.get("reason", "ReplicaFailure"), message=message)
    return None


def waiting_objects(observed: Observed, planned: Plan) -> list[tuple[str, Object]]:
    """Objects whose events may say why nothing goes on, with the section of the spec; the closest cause first."""
    found: list[tuple[str, Object]] = []
    job = planned.job
    if planned.wanted is None and job is not None and job.phase is JobPhase.RUNNING:
        claim = observed.claim(job.key)
        if claim is not None and claim.get("status", {}).get("phase") != "Bound":
            found.append(("spec.artifacts", claim))
        found += [("spec.training", pod) for pod in job.pods if _is_waiting(pod)]
        if not job.pods:
            found.append(("spec.training", job.obj))
    state = rollout(observed.deployment)
    if observed.deployment is not None and state is not None and not state.complete:
        found += [("spec.serving", pod) for pod in observed.serving_pods if _is_waiting(pod)]
        if not observed.serving_pods:
            found.append(("spec.serving", observed.deployment))
    return found


def _is_waiting(pod: Object) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Pending")
