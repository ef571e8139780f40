"""The operator's process, put together; configured by the environment (``config.Settings``)."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import prometheus_client
import structlog
import uvloop

from modelservice_operator import logging
from modelservice_operator.config import Settings, SettingsError, from_environment
from modelservice_operator.constants import LEASE_NAME
from modelservice_operator.context import Context
from modelservice_operator.data_watch import DATA_WATCH
from modelservice_operator.exposition import Exposition
from modelservice_operator.handlers.login import connect
from modelservice_operator.handlers.run import run_kopf
from modelservice_operator.http import serve_http
from modelservice_operator.kinds import LEASE, MODEL_SERVICE, PERSISTENT_VOLUME_CLAIM, POD, REPLICA_SET
from modelservice_operator.kube.client import KubeClient
from modelservice_operator.kube.discovery import Discovery
from modelservice_operator.kube.events import EventRecorder
from modelservice_operator.kube.lease import LeaseClient, ReleaseClient, release_annotations
from modelservice_operator.kube.progress import open_progress_client
from modelservice_operator.kube.transport import open_transport
from modelservice_operator.kube.watching import WatchClient
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import SystemClock
from modelservice_operator.machinery.discovery import wait_until_served
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.machinery.lease import Elector
from modelservice_operator.machinery.manager import LeaseLostError, Manager, Runs
from modelservice_operator.machinery.queue import Backoff, WorkQueue
from modelservice_operator.machinery.reflector import Reflector, Reflectors, Sink
from modelservice_operator.machinery.rivals import Rivals
from modelservice_operator.machinery.sync import Synchronizer
from modelservice_operator.machinery.verifier import Verifier
from modelservice_operator.machinery.watch import Watch, own_key
from modelservice_operator.machinery.worker import Reconciles, Workers
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key, Ref
from modelservice_operator.reconciler import Reconciler, is_said
from modelservice_operator.watches import WATCHES

log = structlog.get_logger(__name__)

_YOUNG_OBJECTS = 10_000
"""Python's default is 700, less than one event of the apiserver brings: it searched each for cycles many times."""

_MIDDLE, _OLD = 5, 70
"""A search among what survived one is short if it comes soon (200,000 at once took 55 ms), and one of all is rare."""

BURST_SECONDS = 0.2
"""How soon a change of a child is looked at, and what we wrote ourselves once more: controllers write in bursts, and
most of a burst is one pass. What people change is looked at in no time."""

DETAIL_SECONDS = 1.5
"""How soon a change of what another kind sums up is looked at: a Job tells of the end of its pods, and a Deployment of
its pods and ReplicaSets, up to a second later, and what follows from both is one pass."""

_SECONDS_OF = dict.fromkeys((POD, REPLICA_SET, PERSISTENT_VOLUME_CLAIM), DETAIL_SECONDS)

SAID_SECONDS = 2.0
"""How soon a head is looked at that asks a ModelService whose status we wrote."""

_NESTED = 12_000
"""The apiserver takes JSON that is nested 10,000 deep, in managedFields too, and Python parses 1,000 of it. C needs
2 MB of stack for all of it."""


def main() -> int:
    """Run until a signal; exit code 0 then, 1 after a failure, 2 if a setting cannot be used."""
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.configure(settings.log_level)
    _spare_garbage_collector()
    parse_deep_answers()
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs; each series once is enough
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except LeaseLostError:
        return 1
    except Exception:
        log.exception("the operator ends")
        return 1
    return 0


def parse_deep_answers() -> None:
    """Let any answer be parsed, also by kopf: whoever may edit one object writes how deep its managedFields are."""
    sys.setrecursionlimit(_NESTED)


def _spare_garbage_collector() -> None:
    """Look for cycles less often, and never in what was imported: a sixth of all CPU while many children change."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _MIDDLE, _OLD)


async def run(settings: Settings) -> None:
    """Compose the operator and run it until it is told to stop."""
    async with open_context(settings) as context:
        reconciler = Reconciler(
            kube=context.kube,
            progress=context.progress,
            cache=context.cache,
            settings=settings,
            clock=context.clock,
            on_change=context.queue.add,
        )
        data = build_reflectors(context, [DATA_WATCH], sink=reconciler.data_watch)
        await operate(context, reconciler, beside=(*reconciler.lookups, Reflectors(data)))


async def operate(
    context: Context, reconciler: Reconciles, *, watches: Sequence[Watch] = WATCHES, beside: Sequence[Runs] = ()
) -> None:
    """Watch and reconcile until a signal or ``lifecycle.stop``, with probes and metrics on the HTTP port."""
    workers = Workers(
        queue=context.queue,
        reconciler=reconciler,
        count=context.settings.workers,
        clock=context.clock,
        metrics=context.metrics,
    )
    waiting_for = "the cache is being filled"

    def alive() -> str | None:
        return f"hanging: {', '.join(map(str, stuck))}" if (stuck := workers.stuck()) else None

    def ready() -> str | None:
        return context.rivals.problem if context.lifecycle.synced.is_set() else waiting_for

    def wait_for(missing: str) -> None:
        nonlocal waiting_for
        waiting_for = missing

    page = Exposition(context.metrics.registry, lambda: context.cache.objects(MODEL_SERVICE))
    async with serve_http(port=context.settings.http_port, alive=alive, ready=ready, metrics=page.render):
        with _stopped_by_signals(context.lifecycle.stop):  # until kopf puts its own handlers there
            if await wait_until_served(
                watches,
                discovery=context.discovery,
                clock=context.clock,
                stop=context.lifecycle.stop,
                on_wait=wait_for,
            ):
                wait_for("the cache is being filled")
                reconciled = [watch for watch in watches if not watch.owned]
                await run_kopf(context, reconciled, build_manager(context, watches, workers, beside))


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set ``stop``, as kopf does later: the first process of a container has no other way."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def build_manager(context: Context, watches: Sequence[Watch], workers: Workers, beside: Sequence[Runs] = ()) -> Manager:
    """What works on all ModelServices of the cache, which these watches fill: their own by kopf, the others by us."""
    verifier = build_verifier(context)
    owned = build_reflectors(context, [watch for watch in watches if watch.owned], sink=verifier)
    return Manager(
        lifecycle=context.lifecycle,
        reflectors=Reflectors(owned, beside=[verifier]),
        synchronizer=Synchronizer(
            watches=[watch for watch in watches if not watch.owned],
            lists=context.kube,
            cache=context.cache,
            clock=context.clock,
            metrics=context.metrics,
        ),
        elector=context.elector,
        rivals=context.rivals,
        queue=context.queue,
        workers=workers,
        beside=beside,
        keys=lambda: map(own_key, sorted(context.cache.objects(MODEL_SERVICE), key=is_said)),
        metrics=context.metrics,
    )


def build_verifier(context: Context) -> Verifier:
    """What takes children into the cache."""

    def is_there(key: Key) -> bool:
        service = context.cache.get(Ref(MODEL_SERVICE, *key))
        return service is not None and "deletionTimestamp" not in service["metadata"]

    return Verifier(
        lookup=context.kube,
        feed=context.children,
        cache=context.cache,
        clock=context.clock,
        wanted=is_there,
    )


def build_reflectors(context: Context, watches: Sequence[Watch], *, sink: Sink) -> list[Reflector]:
    """What tells a sink of all that these watches see, in all watched namespaces."""
    return [
        Reflector(watch=watch, namespace=namespace, source=context.source, sink=sink, clock=context.clock)
        for watch in watches
        for namespace in context.settings.watch_namespaces or (None,)
    ]


@asynccontextmanager
async def open_context(settings: Settings, *, watches: Sequence[Watch] = WATCHES) -> AsyncIterator[Context]:
    """All parts with their connections, closed at the end."""
    clock, metrics, cache = SystemClock(), Metrics(), Cache(watches)
    queue: WorkQueue[Key] = WorkQueue(clock=clock, metrics=metrics, backoff=Backoff())
    feed = Feed(cache=cache, on_change=lambda _, key: queue.add(key))
    children = Feed(cache=cache, on_change=lambda kind, key: queue.add_after(key, _SECONDS_OF.get(kind, BURST_SECONDS)))
    said = Feed(cache=cache, on_change=lambda _, key: queue.add_after(key, SAID_SECONDS), others=True)
    async with (
        open_transport(connect=connect, metrics=metrics) as transport,
        open_transport(connect=connect, metrics=metrics, connections=0) as watching,
        open_progress_client() as progress,
    ):
        scope = frozenset(settings.watch_namespaces)
        elector = Elector(
            store=LeaseClient(transport=transport),
            ref=Ref(LEASE, settings.pod_namespace, LEASE_NAME),
            identity=settings.pod_name or f"{socket.gethostname()}-{os.getpid()}",
            clock=clock,
            annotations=release_annotations(scope=scope, account=settings.pod_service_account),
        )
        rivals = Rivals(
            releases=ReleaseClient(transport=transport, name=LEASE_NAME),
            namespace=settings.pod_namespace,
            scope=scope,
            clock=clock,
        )
        kube = KubeClient(
            transport=transport,
            namespaces=settings.watch_namespaces,
            may_write=elector.may_write,
            memory=children,
            said=said,
            recorder=EventRecorder(clock=clock),
            metrics=metrics,
        )
        yield Context(
            settings=settings,
            clock=clock,
            metrics=metrics,
            cache=cache,
            queue=queue,
            feed=feed,
            children=children,
            kube=kube,
            source=WatchClient(transport=watching),
            progress=progress,
            discovery=Discovery(transport=transport),
            elector=elector,
            rivals=rivals,
        )
