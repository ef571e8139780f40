"""One pass over one ModelService: read, decide, write, say. Level-triggered: it may end anywhere and run again."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from modelservice.contract.base import problems
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.data_source import DataSource
from modelservice_operator.data_watch import DataWatch
from modelservice_operator.diagnostics import Diagnostician
from modelservice_operator.domain.assessment import assess
from modelservice_operator.domain.builders.finalizer import has_finalizer
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.diff import Scale
from modelservice_operator.domain.encoders import EncoderState, encoder_state, gone, settle
from modelservice_operator.domain.jobs import StageJob
from modelservice_operator.domain.judging import Readings
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.plan import Plan, plan
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.rollout import is_under_way, rollout
from modelservice_operator.domain.summarize import summarize, summarize_invalid
from modelservice_operator.ending import Ender
from modelservice_operator.kinds import MODEL_SERVICE, SERVICE, ref_of
from modelservice_operator.kube.port import KubePort, ProgressPort
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.damper import Damper
from modelservice_operator.machinery.doubling import doubled
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.machinery.imposed import Impositions
from modelservice_operator.machinery.lookups import Lookups
from modelservice_operator.machinery.names import Names
from modelservice_operator.machinery.turns import Turns
from modelservice_operator.machinery.watch import own_key
from modelservice_operator.objects import Key, Object, Ref
from modelservice_operator.observing import Observer
from modelservice_operator.readings import Reader
from modelservice_operator.saying import Speaker
from modelservice_operator.specs import Specs
from modelservice_operator.writing import Outcome, Writer

_REPORT_SECONDS = 2.0
"""How soon the pods of a Job that ended are looked at again: the two are watched apart."""

_SOON_SECONDS = 5.0
"""How soon something that is under way, or stands in the way, is looked at again."""

_LATE_SECONDS = 30.0
"""How late a write that failed again and again is tried once more, and what is not Ready is looked at again."""

_PATIENCE_SECONDS = 5.0
"""How long a new spec waits for its data to be read before it is said that nobody has come to it."""

_AT_LEAST_SECONDS = 1.0
"""How soon the next step of a canary is looked for at least."""

WRITTEN_SECONDS = 0.2
"""How soon it is said what was written, together with what the cluster made of it meanwhile: one decision for both."""

_ROUNDS = 3
"""Decisions in one pass: what is adopted or taken away shows what else there is to do."""


class _Carried(NamedTuple):
    """The picture that is true now, what follows from it, and what came of the writes."""

    observed: Observed
    data: DataState
    planned: Plan
    outcome: Outcome


class Reconciler:
    """Brings one ModelService nearer to what its spec asks for, and its status to what is.

    What it writes is in the cache when the port answers, so that the next pass does not write it again.
    """

    def __init__(
        self,
        *,
        kube: KubePort,
        progress: ProgressPort,
        cache: Cache,
        settings: Settings,
        clock: Clock,
        on_change: Callable[[Key], None],
    ) -> None:
        self._cache = cache
        self._on_change = on_change
        self._settings = settings
        self._clock = clock
        self._diagnostician = Diagnostician(
            kube=kube, progress=progress, settings=settings, clock=clock, on_change=on_change
        )
        self._reader = Reader(pods=progress, clock=clock, on_change=on_change)
        self._data = DataSource(kube=kube, clock=clock, on_change=on_change)
        self.data_watch = DataWatch(self._data)
        damper, impositions = Damper(clock=clock), Impositions()
        self._observer = Observer(kube=kube, cache=cache, settings=settings, impositions=impositions)
        names = Names(reads=kube, clock=clock)
        self._writer = Writer(kube=kube, cache=cache, damper=damper, impositions=impositions, names=names)
        feed = Feed(cache=cache, on_change=lambda _, key: on_change(key))
        self._speaker = Speaker(kube=kube, feed=feed, clock=clock, damper=damper)
        self._ender = Ender(kube=kube, cache=cache, settings=settings, clock=clock)
        self._specs = Specs()
        self._turns: Turns[Key] = Turns(limit=settings.follow_at_once, on_turn=on_change, clock=clock)
        self._failures: dict[Key, int] = {}
        self._unsaid: set[Key] = set()

    async def reconcile(self, key: Key) -> float | None:
        """Do what is to be done now.

        Returns:
            Seconds after which to look again, or None to wait for an event.

        Raises:
            Transient: the apiserver did not answer; try again with back-off.
        """
        service = self._cache.get(Ref(MODEL_SERVICE, *key))
        if service is None:  # looked at for each child of it that goes: heads ask an encoder's Service, not this
            for head in self._cache.naming(MODEL_SERVICE, key):
                self._on_change(own_key(head))
        if service is None or service["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return None if service is None or not has_finalizer(service) else await self._end(service)
        try:
            spec = self._specs.read(service)
        except ValidationError as error:
            self._forget(key)
            observed = self._observer.observe(service)
            status = summarize_invalid(observed, _invalid(error), now=self._clock.now())
            return await self._speaker.say(observed, status, warning=True)
        # What was said of this spec stays true until its data turns out to be other data: no need to unsay it.
        patience = _LATE_SECONDS if is_said(service) else _PATIENCE_SECONDS
        if (data := self._data.read(key, spec, patience=patience)) is None:
            return patience
        encoder = self._encoder(key, spec)
        spec = settle(spec, encoder)
        if encoder is not None and encoder.problem is not None:
            data = replace(data, digest=None)  # no key is known, and everything is kept
        carried = await self._carry_out(key, service, spec, data)
        return WRITTEN_SECONDS if carried is None else await self._say(key, spec, carried, encoder)

    async def _say(
        self, key: Key, spec: ModelServiceSpec, carried: "_Carried", encoder: EncoderState | None
    ) -> float | None:
        """Say how it stands; answers with the seconds after which to look again, or None to wait for an event."""
        observed, data, planned, outcome = carried
        if outcome.failure is not None:
            self._turns.leave(key)  # it asks again when it tries again, and keeps nobody waiting until then
        refused = outcome.failure.problem if outcome.failure else None
        now = self._clock.now()
        diagnostics = self._diagnostician.gather(key, spec, observed, planned, refused=refused, now=now)
        assessment = assess(
            spec,
            observed,
            data,
            planned=planned,
            diagnostics=diagnostics,
            settings=self._settings,
            now=now,
            encoder=encoder,
            encoder_gone=self._encoder_gone(key, observed),
        )
        status = summarize(assessment, now=now)
        delayed = await self._speaker.say(observed, status, warning=assessment.problem is not None)
        times = self._look_again(key, observed, planned, outcome)
        if delayed is None:
            self._unsaid.discard(key)
        else:
            times.append(delayed)
        if not assessment.rolled_out or assessment.problem is not None:
            times.append(_LATE_SECONDS)
        asked = outcome.failure.after if outcome.failure else 0.0
        return max(asked, min(times)) if times else None

    async def _end(self, service: Object) -> float | None:
        """Let a ModelService go that waits for what it stored to be deleted."""
        spec = None
        with suppress(ValidationError):
            spec = self._specs.read(service)
        return await self._ender.end(self._observer.observe(service), spec)

    @property
    def lookups(self) -> tuple[Lookups[Any, Any], ...]:
        """What is asked beside the passes, while this replica leads."""
        return (self._data.lookups, *self._diagnostician.lookups, self._reader.lookups)

    def _forget(self, key: Key) -> None:
        self._failures.pop(key, None)
        self._unsaid.discard(key)
        self._data.forget(key)
        self._diagnostician.forget(key)
        self._reader.forget(key)
        self._speaker.forget(Ref(MODEL_SERVICE, *key))
        self._turns.leave(key)

    def _encoder(self, key: Key, spec: ModelServiceSpec) -> EncoderState | None:
        """How the encoder stands that a head is to be trained with; None where it asks none."""
        asked = spec.shared_encoder
        if asked is None or not spec.is_trained:
            return None
        found = self._cache.get(Ref(MODEL_SERVICE, key.namespace, asked.name))
        return encoder_state(asked, found, head=key.name)

    def _encoder_gone(self, key: Key, observed: Observed) -> Problem | None:
        """That what serves asks an encoder that is not there; a Service leads to one for as long as it is."""
        asks = observed.served.record.encoder if observed.served else None
        if asks is None:
            return None
        children = self._cache.children(key.namespace, asks.name)
        return gone(observed.served, {one["metadata"]["name"] for one in children.get(SERVICE, ())})

    async def _carry_out(self, key: Key, service: Object, spec: ModelServiceSpec, data: DataState) -> "_Carried | None":
        """Decide and write; again where a write brought to light what was not known before.

        Returns:
            None where all was written, and the pass before left nothing unsaid: what comes of it is looked at soon.
        """
        for _ in range(_ROUNDS):
            observed, problem = await self._observer.find(service, spec, data)
            # While the data is not known, everything is kept.
            known = data if problem is None else DataState(problem=problem, known=False)
            readings = self._reader.read(key, spec, observed)
            planned = self._decide(key, spec, observed, known, readings)
            if not planned.changes and planned.replicas is None:
                return _Carried(observed, known, planned, Outcome())
            outcome = await self._writer.carry_out(observed, planned.changes)
            if not outcome.changed:
                break
        if planned.replicas is not None:
            scale = Scale(ref=ref_of(observed.service), replicas=planned.replicas, version=observed.version)
            scaled = await self._writer.scale(observed, scale)
            failure, changed = outcome.failure or scaled.failure, outcome.changed or scaled.changed
            outcome = Outcome(failure=failure, changed=changed)
        if outcome.failure is None and not outcome.changed and key not in self._unsaid:
            self._unsaid.add(key)
            self._failures.pop(key, None)
            return None
        observed = replace(
            self._observer.observe(self._newest(service)), unsure=observed.unsure, scalers=observed.scalers
        )
        return _Carried(observed, known, self._decide(key, spec, observed, known, readings), outcome)

    def _decide(
        self, key: Key, spec: ModelServiceSpec, observed: Observed, data: DataState, readings: Readings
    ) -> Plan:
        """The plan; a newer operator's server is in it once the turn has come, and the turn ends with its rollout."""

        def planned(*, may_follow: bool) -> Plan:
            now = self._clock.now()
            return plan(spec, observed, data, self._settings, now=now, readings=readings, may_follow=may_follow)

        found = planned(may_follow=key in self._turns)
        if found.waits:
            return planned(may_follow=True) if self._turns.ask(key) else found
        deployments = (observed.deployment, observed.canary.deployment if observed.canary else None)
        if not found.changes and (self._turns.is_over(key) or not any(map(is_under_way, deployments))):
            self._turns.leave(key)
        return found

    def _newest(self, service: Object) -> Object:
        """The ModelService after what was written to it: with another version, but of the same spec."""
        known = self._cache.get(ref_of(service))
        same = [one["metadata"].get(name) for one in (service, known or service) for name in ("uid", "generation")]
        return known if known is not None and same[:2] == same[2:] else service

    def _look_again(self, key: Key, observed: Observed, planned: Plan, outcome: Outcome) -> list[float]:
        """Seconds after which something may be another way that no event tells."""
        seconds = []
        failures = self._failures.pop(key, 0)
        if outcome.failure is not None:
            self._failures[key] = failures + 1
            again = outcome.failure.again
            seconds.append(max(again, doubled(again, failures, most=_LATE_SECONDS)))
        elif outcome.changed or planned.changes:  # a webhook may make nothing of a write that was taken
            seconds.append(_SOON_SECONDS)
        job = planned.pending.job if planned.pending else None
        if job is not None and job.awaits_report:
            seconds.append(_REPORT_SECONDS)
        elif planned.pending is not None and not _runs(job) and (job is None or job.suspended_since is None):
            seconds.append(_SOON_SECONDS)
        if planned.keeps or observed.scalers:
            seconds.append(_LATE_SECONDS)
        beside = observed.canary.deployment if observed.canary else None
        states = (rollout(observed.deployment), rollout(beside))
        if any(state is not None and not state.complete for state in states):
            seconds.append(_SOON_SECONDS)
        if planned.expiry.again is not None:
            seconds.append(max(_AT_LEAST_SECONDS, (planned.expiry.again - self._clock.now()).total_seconds()))
        if planned.trial is not None and planned.trial.until is not None:
            seconds.append(max(_AT_LEAST_SECONDS, (planned.trial.until - self._clock.now()).total_seconds()))
        return seconds


def is_said(service: Object) -> bool:
    """Whether the status is of the spec as it is now."""
    return bool(service.get("status", {}).get("observedGeneration") == service["metadata"].get("generation", 0))


def _runs(job: StageJob | None) -> bool:
    """Whether a pod works: then it tells how far it is, and an event when it ends."""
    return job is not None and any(pod.get("status", {}).get("phase") == "Running" for pod in job.pods)


def _invalid(error: ValidationError) -> Problem:
    message = "; ".join(problems(error, root="spec"))
    return Problem(reason="InvalidSpec", message=message, waits_for_change=True)
