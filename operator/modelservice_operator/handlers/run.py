"""kopf for as long as our own work lasts: either end is the end of both."""

import asyncio
from collections.abc import Sequence

import kopf

from modelservice_operator.context import Context
from modelservice_operator.handlers.cleanup import register_cleanup
from modelservice_operator.handlers.login import register_login
from modelservice_operator.handlers.startup import build_settings
from modelservice_operator.handlers.watch import register_watches
from modelservice_operator.machinery.manager import Manager
from modelservice_operator.machinery.watch import Watch


async def run_kopf(context: Context, watches: Sequence[Watch], manager: Manager) -> None:
    """Watch, and run the manager, until a signal or ``lifecycle.stop``.

    Raises:
        LeaseLostError: The lease was lost while leading.
        HistoryRewoundError: The cluster's versions went backwards.
    """
    registry = kopf.OperatorRegistry()
    register_login(registry)
    register_watches(registry, watches, context.feed)
    register_cleanup(registry, context.lifecycle)
    stop_flag = asyncio.Event()
    life = asyncio.create_task(manager.run(), name="manager")
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
        context.lifecycle.stop.set()
        stop_flag.set()
    await life
