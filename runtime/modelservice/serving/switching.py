"""A switch to another artifact while requests are answered: loaded and warmed up beside the one that answers.

Then all transports turn to it in one turn of the event loop. What was asked before is answered by the model that it was
parsed for, which goes once nothing needs it any more. An artifact that cannot be served changes nothing.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, NamedTuple, TypeVar

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.failure import StageError, StorageError
from modelservice.contract.history import PastRevision
from modelservice.contract.server_flags import FIRST_REVISION
from modelservice.serving.core import Core, Models
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


class Source(NamedTuple):
    """Where a model comes from.

    Attributes:
        name: of the model in all paths.
        load: verifies and loads the model that is there now; the caller chooses its store and its engine.
        changed: whether there may be another one than was loaded last; asked again and again, in a thread. None: the
            model is what it was at the start, also where a client asks for a look.
        revision: its number: the version in paths and answers.
        history: it and those before it, as its page tells.
    """

    name: str
    load: Callable[[], ServedModel]
    changed: Callable[[], bool] | None = None
    revision: int = FIRST_REVISION
    history: tuple[PastRevision, ...] = ()


class Switch:
    """Keeps a server on the newest artifacts; lives on its event loop.

    Attributes:
        models: what answers now; there are some after ``begin``.

    Args:
        sources: of all models.
        measure: warms a model up, and says what it costs; ``handover`` is known.
    """

    models: Models

    def __init__(self, sources: Iterable[Source], *, measure: Callable[..., Costs]) -> None:
        self._sources = {source.name: source for source in sources}
        self._measure = measure
        self._bound: Sequence[Bound] = ()
        self._renewing: dict[str, asyncio.Task[bool]] = {}
        self._one_by_one = asyncio.Lock()
        self._calm_at = float("inf")

    def begin(self, models: Models, bound: Sequence[Bound]) -> None:
        """Know what answers at first, and the transports that answer by it."""
        self.models, self._bound = models, bound

    async def keep_newest(self, *, seconds: float = LOOK_SECONDS, again: float = AGAIN_SECONDS) -> None:
        """Look for other artifacts for ever, and serve them; the log says why one is not."""
        await asyncio.gather(*(self._keep_newest(source, seconds, again) for source in self._sources.values()))

    async def _keep_newest(self, source: Source, seconds: float, again: float) -> None:
        again_at = float("inf")
        while source.changed is not None:
            await asyncio.sleep(seconds)
            if await asyncio.to_thread(source.changed) or _now() >= again_at:
                again_at = float("inf")
                try:
                    await self.renew(source.name)
                except NotRenewedError as error:
                    again_at = _now() + again if error.may_pass else again_at
            elif _now() >= self._calm_at:
                calm_garbage_collector()
                self._calm_at = float("inf")

    async def renew(self, name: str) -> bool:
        """Serve the artifact that is there now, if it is another one; who asks meanwhile gets the same answer.

        Args:
            name: of the model.

        Returns:
            Whether another one answers now.

        Raises:
            NotRenewedError: it cannot be served, and the one before serves on; says why, the log says more.
        """
        source = self._sources[name]
        if source.changed is None:
            return False
        renewing = self._renewing.get(name)
        if renewing is None:
            renewing = self._renewing[name] = asyncio.create_task(self._renew(source))
            renewing.add_done_callback(partial(self._renewed, name))
        return await asyncio.shield(renewing)

    def _renewed(self, name: str, renewing: asyncio.Task[bool]) -> None:
        del self._renewing[name]
        if not renewing.cancelled():
            renewing.exception()  # is looked at here where nobody waits any more

    async def _renew(self, source: Source) -> bool:
        async with self._one_by_one:  # each prepares all models, of which the next is to change another one
            return await self._turn_to_newest(source)

    async def _turn_to_newest(self, source: Source) -> bool:
        before = self.models[source.name]
        try:
            core = await self._newest(source)
            if core is before:
                return False
            models = self.models.replaced(core)
            turns = [await one.prepare(models) for one in self._bound]
            for turn in turns:
                turn()
            core.show()
        except (ArtifactError, ModelFaultError, StageError, OSError, MemoryError) as error:
            said = error.message if isinstance(error, StageError) else error or type(error).__name__
            _LOG.warning("another artifact cannot be served, %s serves on: %s", before.model.digest, said)
            reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
            raise _not_renewed(before.model.digest, reason, may_pass=isinstance(error, _MAY_PASS)) from None
        except Exception:
            _LOG.exception("another artifact cannot be served, %s serves on", before.model.digest)
            raise _not_renewed(before.model.digest, "a fault of the server") from None
        changed = "" if core.model.signature == before.model.signature else ", with other inputs or outputs"
        _LOG.info(
            "serving %s (%s) in place of %s%s", core.model.digest, core.model.engine.name, before.model.digest, changed
        )
        self.models = models
        del before  # with its model, which then can go
        collect_all()
        self._calm_at = _now() + RETIRED_SECONDS
        return True

    async def _newest(self, source: Source) -> Core:
        """What answers next; the same as now where there is nothing new."""
        now = self.models[source.name]
        model = await _beside(source.load)
        if model.digest == now.model.digest:
            return now
        costs = await _beside(partial(self._measure, model, handover=now.costs.handover))
        return now.around(model, costs)


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
