"""The operator's process: ``python -m modelservice_operator``, configured by the environment (``config.Settings``)."""

import asyncio
import gc
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import kopf
import prometheus_client
import structlog

from modelservice_operator import logging
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import SystemClock
from modelservice_operator.config import Settings, SettingsError, from_environment
from modelservice_operator.constants import LEASE_NAME
from modelservice_operator.context import Context
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.handlers.cleanup import register_cleanup
from modelservice_operator.handlers.login import connect, register_login
from modelservice_operator.handlers.startup import build_settings
from modelservice_operator.handlers.watch import register_watches
from modelservice_operator.http import serve_http
from modelservice_operator.kinds import LEASE, MODEL_SERVICE, Key, Ref
from modelservice_operator.kube.client import KubeClient, LeaseClient
from modelservice_operator.kube.discovery import is_served
from modelservice_operator.kube.events import EventRecorder
from modelservice_operator.machinery.lease import Elector
from modelservice_operator.kube.port import KubeError
from modelservice_operator.kube.progress import open_progress_client
from modelservice_operator.kube.transport import Transport, open_transport
from modelservice_operator.machinery.leading import LeaseLostError, live
from modelservice_operator.metrics import ConditionCollector, Metrics
from modelservice_operator.machinery.queue import Backoff, WorkQueue
from modelservice_operator.reconciler import Reconciler
from modelservice_operator.machinery.worker import Reconciles, Workers

log = structlog.get_logger(__name__)

_DISCOVERY_SECONDS = 5.0

_YOUNG_OBJECTS = 10_000
"""Python's default is 700, less than one event of the apiserver brings: it searched each for cycles many times."""


def main() -> int:
    """Run until a signal; exit code 0 then, 1 after a failure, 2 if a setting cannot be used."""
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.configure(settings.log_level)
    _spare_garbage_collector()
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs; each series once is enough
    try:
        asyncio.run(run(settings))
    except LeaseLostError:
        return 1
    except Exception:
        log.exception("the operator ends")
        return 1
    return 0


def _spare_garbage_collector() -> None:
    """Look for cycles less often, and never in what was imported: a sixth of all CPU while many children change."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


async def run(settings: Settings) -> None:
    """Compose the operator and run it until it is told to stop."""
    async with open_context(settings) as (context, transport):
        reconciler = Reconciler(
            kube=context.kube,
            progress=context.progress,
            cache=context.cache,
            settings=settings,
            clock=context.clock,
        )
        await operate(context, transport, reconciler)


async def operate(context: Context, transport: Transport, reconciler: Reconciles) -> None:
    """Watch and reconcile until a signal or ``context.stop``, with probes and metrics on the HTTP port."""
    workers = Workers(
        queue=context.queue,
        reconciler=reconciler,
        count=context.settings.workers,
        clock=context.clock,
        metrics=context.metrics,
    )

    def alive() -> str | None:
        return f"hanging: {', '.join(map(str, stuck))}" if (stuck := workers.stuck()) else None

    def ready() -> str | None:
        return None if context.synced.is_set() else "the cache is being filled"

    async with serve_http(port=context.settings.http_port, alive=alive, ready=ready, metrics=context.metrics):
        await _wait_until_served(context, transport)
        await _run_kopf(context, workers)


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[tuple[Context, Transport]]:
    """All parts with their connections, closed at the end."""
    clock, metrics, cache = SystemClock(), Metrics(), Cache()
    metrics.registry.register(ConditionCollector(lambda: cache.objects(MODEL_SERVICE)))
    queue: WorkQueue[Key] = WorkQueue(clock=clock, metrics=metrics, backoff=Backoff())
    feed = Feed(cache=cache, on_change=queue.add)
    async with (
        open_transport(connect=connect, metrics=metrics) as transport,
        open_progress_client() as progress,
    ):
        elector = Elector(
            store=LeaseClient(transport=transport),
            ref=Ref(LEASE, settings.pod_namespace, LEASE_NAME),
            identity=settings.pod_name or f"{socket.gethostname()}-{os.getpid()}",
            clock=clock,
        )
        kube = KubeClient(
            transport=transport,
            namespaces=settings.watch_namespaces,
            may_write=elector.may_write,
            memory=feed,
            recorder=EventRecorder(clock=clock),
            metrics=metrics,
        )
        yield (
            Context(
                settings=settings,
                clock=clock,
                metrics=metrics,
                cache=cache,
                queue=queue,
                feed=feed,
                kube=kube,
                progress=progress,
                elector=elector,
            ),
            transport,
        )


async def _wait_until_served(context: Context, transport: Transport) -> None:
    """Kopf discovers kinds once: the CRD must be there before it starts."""
    while True:
        try:
            if await is_served(transport, MODEL_SERVICE):
                return
            log.warning("the CustomResourceDefinition is not installed", kind=MODEL_SERVICE.kind)
        except KubeError as error:
            log.warning("the apiserver does not answer", error=str(error))
        await context.clock.wait(context.stop, _DISCOVERY_SECONDS)


async def _run_kopf(context: Context, workers: Workers) -> None:
    registry = kopf.OperatorRegistry()
    register_login(registry)
    register_watches(registry, context.feed)
    register_cleanup(registry, context)
    stop_flag = asyncio.Event()
    life = asyncio.create_task(live(context, workers), name="live")
    life.add_done_callback(lambda _: stop_flag.set())
    await asyncio.sleep(0)
    try:
        await kopf.operator(
            registry=registry,
            settings=build_settings(),
            standalone=True,
            clusterwide=not context.settings.watch_namespaces,
            namespaces=context.settings.watch_namespaces,
            stop_flag=stop_flag,
        )
    finally:
        context.stop.set()
        stop_flag.set()
    await life


if __name__ == "__main__":
    sys.exit(main())
