"""A switch to another artifact while requests are answered: loaded and warmed up beside the one that answers.

Then all transports turn to it in one turn of the event loop. What was asked before is answered by the model that it was
parsed for, which goes once nothing needs it any more. An artifact that cannot be served changes nothing.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeVar

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.failure import StageError, StorageError
from modelservice.serving.core import Core
from modelservice.serving.costs import Costs
from modelservice.serving.errors import NotRenewedError
from modelservice.serving.garbage import calm_garbage_collector, collect_all
from modelservice.serving.model import ModelFaultError, ServedModel
from modelservice.serving.transports.base import Bound

LOOK_SECONDS: Final = 1.0
"""Between two looks at where the artifact came from; a new one is loaded after two that saw the same."""
AGAIN_SECONDS: Final = 30.0
"""After a load that failed for what may pass by itself, such as a file system or a key that is not there yet."""
RETIRED_SECONDS: Final = 90.0
"""After a switch: what the model before was asked is answered by then, however slowly its client sent and reads."""

_MAY_PASS: Final = (OSError, StorageError, MemoryError)
_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (StorageError, "its store does not give it"),
    (StageError, "it cannot be loaded here"),
    (ArtifactError, "it is no whole artifact, or not what its manifest says"),
    (ModelFaultError, "its model does not answer as its signature says"),
    (MemoryError, "there is too little memory for it"),
    (OSError, "it cannot be read"),
)
"""What a caller is told; addresses and paths are for the log alone. The first that fits."""
_THREAD: Final = "load"
_Found = TypeVar("_Found")

_LOG = logging.getLogger(__name__)


def is_loading() -> bool:
    """Whether a load is under way still, which outlives the server that began it."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


class Switch:
    """Keeps a server on the newest artifact; lives on its event loop.

    Attributes:
        core: what answers now; there is one after ``begin``.

    Args:
        load: verifies and loads the model that is there now.
        changed: whether there may be another one; None: the model is what it was at the start.
        measure: warms a model up, and says what it costs; ``handover`` is known.
    """

    core: Core

    def __init__(
        self,
        *,
        load: Callable[[], ServedModel],
        changed: Callable[[], bool] | None,
        measure: Callable[..., Costs],
    ) -> None:
        self._load = load
        self._changed = changed
        self._measure = measure
        self._bound: Sequence[Bound] = ()
        self._renewing: asyncio.Task[bool] | None = None
        self._calm_at = float("inf")

    def begin(self, core: Core, bound: Sequence[Bound]) -> None:
        """Know what answers at first, and the transports that answer by it."""
        self.core, self._bound = core, bound

    async def keep_newest(self, *, seconds: float = LOOK_SECONDS, again: float = AGAIN_SECONDS) -> None:
        """Look for another artifact for ever, and serve it; the log says why one is not."""
        again_at = float("inf")
        while self._changed is not None:
            await asyncio.sleep(seconds)
            if await asyncio.to_thread(self._changed) or _now() >= again_at:
                again_at = float("inf")
                try:
                    await self.renew()
                except NotRenewedError as error:
                    again_at = _now() + again if error.may_pass else again_at
            elif _now() >= self._calm_at:
                calm_garbage_collector()
                self._calm_at = float("inf")

    async def renew(self) -> bool:
        """Serve the artifact that is there now, if it is another one; who asks meanwhile gets the same answer.

        Returns:
            Whether another one answers now.

        Raises:
            NotRenewedError: it cannot be served, and the one before serves on; says why, the log says more.
        """
        if self._changed is None:
            return False
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
            self._renewing.add_done_callback(self._renewed)
        return await asyncio.shield(self._renewing)

    def _renewed(self, renewing: asyncio.Task[bool]) -> None:
        self._renewing = None
        if not renewing.cancelled():
            renewing.exception()  # is looked at here where nobody waits any more

    async def _renew(self) -> bool:
        before = self.core.model.digest
        try:
            core, turns = await self._prepared()
            if core is self.core:
                return False
            for turn in turns:
                turn()
            core.show()
        except (ArtifactError, ModelFaultError, StageError, OSError, MemoryError) as error:
            said = error.message if isinstance(error, StageError) else error or type(error).__name__
            _LOG.warning("another artifact cannot be served, %s serves on: %s", before, said)
            reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
            raise _not_renewed(before, reason, may_pass=isinstance(error, _MAY_PASS)) from None
        except Exception:
            _LOG.exception("another artifact cannot be served, %s serves on", before)
            raise _not_renewed(before, "a fault of the server") from None
        changed = "" if core.model.signature == self.core.model.signature else ", with other inputs or outputs"
        _LOG.info("serving %s (%s) in place of %s%s", core.model.digest, core.model.engine.name, before, changed)
        self.core = core
        collect_all()
        self._calm_at = _now() + RETIRED_SECONDS
        return True

    async def _prepared(self) -> tuple[Core, list[Callable[[], None]]]:
        """What answers next, and what makes the transports turn to it; the same as now where there is nothing new."""
        model = await _beside(self._load)
        if model.digest == self.core.model.digest:
            return self.core, []
        costs = await _beside(partial(self._measure, model, handover=self.core.costs.handover))
        core = self.core.around(model, costs)
        return core, [await one.prepare(core) for one in self._bound]


async def _beside(work: Callable[[], _Found]) -> _Found:
    """Do it in a thread of its own, which a server that ends does not wait for, as it does for those of an executor."""
    outcome: Future[_Found] = Future()
    outcome.set_running_or_notify_cancel()

    def do() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=do, name=_THREAD, daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _not_renewed(before: str, reason: str, *, may_pass: bool = False) -> NotRenewedError:
    said = f"the artifact that is there cannot be served, {before} serves on: {reason}"
    return NotRenewedError(f"{said}; the server's log says more", may_pass=may_pass)


def _now() -> float:
    return asyncio.get_running_loop().time()
