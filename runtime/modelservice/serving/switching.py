"""A switch to another artifact while requests are answered: loaded and warmed up beside the one that answers.

Then all transports turn to it in one turn of the event loop. What was asked before is answered by the model that it was
parsed for, which goes once nothing needs it any more. An artifact that cannot be served changes nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.failure import StageError
from modelservice.serving.core import Core
from modelservice.serving.costs import Costs
from modelservice.serving.garbage import calm_garbage_collector, collect_all
from modelservice.serving.model import ModelFaultError, ServedModel
from modelservice.serving.transports.base import Bound

LOOK_SECONDS: Final = 1.0
"""Between two looks at where the artifact came from; a new one is loaded after two that saw the same."""
RETIRED_SECONDS: Final = 90.0
"""After a switch: what the model before was asked is answered by then, however slowly its client sent and reads."""

_LOG = logging.getLogger(__name__)


class Switch:
    """Keeps a server on the newest artifact; lives on its event loop.

    Attributes:
        core: what answers now.

    Args:
        core: what answers at first.
        bound: the transports that answer by it.
        load: verifies and loads the model that is there now.
        changed: whether there may be another one; None: nobody ever looks.
        measure: warms a model up, and says what it costs; ``handover`` is known.
    """

    def __init__(
        self,
        core: Core,
        bound: Sequence[Bound],
        *,
        load: Callable[[], ServedModel],
        changed: Callable[[], bool] | None,
        measure: Callable[..., Costs],
    ) -> None:
        self.core = core
        self._bound = bound
        self._load = load
        self._changed = changed
        self._measure = measure

    async def keep_newest(self, *, seconds: float = LOOK_SECONDS) -> None:
        """Look for another artifact for ever, and serve it."""
        if self._changed is None:
            return
        calm_at = float("inf")
        while True:
            await asyncio.sleep(seconds)
            now = asyncio.get_running_loop().time()
            if await asyncio.to_thread(self._changed) and await self.switch():
                collect_all()
                calm_at = now + RETIRED_SECONDS
            elif now >= calm_at:
                calm_garbage_collector()
                calm_at = float("inf")

    async def switch(self) -> bool:
        """Serve the artifact that is there now, if it is another one and can be served; the log says what became of it.

        Returns:
            Whether another one answers now.
        """
        before = self.core.model
        try:
            model = await asyncio.to_thread(self._load)
            if model.digest == before.digest:
                return False
            costs = await asyncio.to_thread(self._measure, model, handover=self.core.costs.handover)
            core = self.core.around(model, costs)
            turns = [await one.prepare(core) for one in self._bound]
        except (ArtifactError, ModelFaultError, StageError, OSError) as error:
            said = error.message if isinstance(error, StageError) else error
            _LOG.warning("another artifact cannot be served, %s serves on: %s", before.digest, said)
            return False
        except Exception:
            _LOG.exception("another artifact cannot be served, %s serves on", before.digest)
            return False
        for turn in turns:
            turn()
        core.show()
        self.core = core
        changed = "" if model.signature == before.signature else ", with other inputs or outputs"
        _LOG.info("serving %s (%s) in place of %s%s", model.digest, model.engine.name, before.digest, changed)
        return True
