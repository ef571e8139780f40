"""The end: kopf waits here until our own work is done, then it cancels whatever is left on the loop."""

from typing import Any

import kopf

from modelservice_operator.context import Context


def register_cleanup(registry: kopf.OperatorRegistry, context: Context) -> None:
    """Stop our workers when kopf stops, for whatever reason."""

    @kopf.on.cleanup(registry=registry, id="cleanup")
    async def stop(**_: Any) -> None:
        context.stop.set()
        await context.stopped.wait()
