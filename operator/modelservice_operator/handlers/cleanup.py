"""The end: kopf waits here until our own work is done, then it cancels whatever is left on the loop."""

from typing import Any

import kopf

from modelservice_operator.machinery.manager import Lifecycle


def register_cleanup(registry: kopf.OperatorRegistry, lifecycle: Lifecycle) -> None:
    """Stop our workers when kopf stops, for whatever reason."""

    @kopf.on.cleanup(registry=registry, id="cleanup")
    async def stop(**_: Any) -> None:
        lifecycle.stop.set()
        await lifecycle.stopped.wait()
