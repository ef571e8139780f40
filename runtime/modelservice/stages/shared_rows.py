"""The numbers of a training's rows, from the service of a shared encoder: each different row is asked for once."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import numpy as np

from modelservice.contract.encoders import EncoderService
from modelservice.contract.failure import PassingError, StageError
from modelservice.contract.manifest import SharedEncoder
from modelservice.contract.work_order import TrainWork
from modelservice.inference.asked_encoder import AskedEncoder, look_at, together
from modelservice.inference.encoder_wire import NotAnsweredError, Trouble
from modelservice.modalities.base import Features
from modelservice.modalities.known import Known
from modelservice.modalities.shared import FIELD, EncoderInput, SentRows
from modelservice.stages.base import Context
from modelservice.stages.stopwatch import Clock

PATIENCE_SECONDS: Final = 600.0
"""An encoder that is away is asked again for so long; then the Job's own restarts go on."""
ANSWER_SECONDS: Final = 60.0
"""For the numbers of the rows of one request, which may wait behind those of others."""
_SAID_SECONDS: Final = 30.0
"""Between two notes that it is waited for."""
_PASS: Final = frozenset({Trouble.AWAY, Trouble.BUSY, Trouble.LATE})

_Answer = TypeVar("_Answer")


def shared_rows(work: TrainWork, context: Context) -> "AskedRows | None":
    """Who makes numbers of the rows of an order; None where its encoder is read here, or there is none.

    Raises:
        StageError: what is named is no encoder.
        PassingError: it was not reached for long enough, or is another one by now.
    """
    service = None if work.model.encoder is None else work.model.encoder.service
    if service is None:
        return None
    if work.encoder is None:
        message = "the work order does not say where the encoder answers: operator and runtime must be of one release"
        raise StageError("OrderInvalid", message)
    waiting = _Waiting(clock=context.watch.clock, say=context.say)
    encoder, reads = waiting.answer(partial(_looked_at, work.encoder, service))
    return AskedRows(work.encoder, encoder, reads, waiting)


def settle_encoder(service: EncoderService, address: str) -> SharedEncoder:
    """The encoder that answers at an address now; errors as above, without any waiting."""
    try:
        return _looked_at(address, service)[0]
    except NotAnsweredError as error:
        if error.trouble in _PASS:
            raise PassingError("EncoderAway", str(error), field=FIELD) from None
        raise StageError("EncoderUnsuited", str(error), field=FIELD) from None


class AskedRows:
    """See ``SharedRows``; what was asked for is known from then on."""

    def __init__(self, address: str, encoder: SharedEncoder, reads: EncoderInput, waiting: "_Waiting") -> None:
        self.encoder = encoder
        self.reads = reads
        self._ask = AskedEncoder(address, encoder)
        self._waiting = waiting
        self._known = Known()

    def embed(self, rows: SentRows) -> Features:
        """See ``SharedRows``."""

        def ask(places: list[int]) -> Features:
            some = rows.some(places)
            # Each request has its time, and what it was told is not asked for again: images are many of them.
            requests = (partial(self._ask, some.some(part), ANSWER_SECONDS) for part in together(some.rows))
            return np.concatenate([self._waiting.answer(request) for request in requests])

        # Texts of one length together: the longest of some decides how much is computed for each of them.
        return self._known.numbers(rows.rows, ask, width=self.encoder.width, sizes=[len(row) for row in rows.rows])


class _Waiting:
    """Asks again while an encoder is away or has too much to do, and says so."""

    def __init__(self, *, clock: Clock, say: Callable[[str], None]) -> None:
        self._clock = clock
        self._say = say

    def answer(self, ask: Callable[[], _Answer]) -> _Answer:
        """What it answers in the end.

        Raises:
            StageError: it refuses.
            PassingError: it did not answer in time, or is another one by now.
        """
        began, said = self._clock(), float("-inf")
        while True:
            try:
                return ask()
            except NotAnsweredError as error:
                now = self._clock()
                if error.trouble is Trouble.CHANGED:
                    raise _changed(str(error)) from None
                if error.trouble not in _PASS:
                    raise StageError("EncoderUnsuited", str(error), field=FIELD) from None
                if now - began > PATIENCE_SECONDS:
                    message = f"{error}; it was waited for since {PATIENCE_SECONDS:g} s"
                    raise PassingError("EncoderAway", message, field=FIELD) from None
                if now - said >= _SAID_SECONDS:
                    self._say(f"{error}; the training waits for it")
                    said = now
                time.sleep(error.retry_after)


def _looked_at(address: str, service: EncoderService) -> tuple[SharedEncoder, EncoderInput]:
    try:
        encoder, reads = look_at(address, service.name)
    except ValueError as error:
        raise StageError("EncoderUnsuited", str(error), field=FIELD) from None
    if service.digest not in (None, encoder.digest):
        raise _changed(f"the encoder {service.name} is {encoder.digest} by now, and {service.digest} is asked for")
    return encoder, reads


def _changed(said: str) -> PassingError:
    return PassingError("EncoderChanged", f"{said}: the next training asks the one that is there", field=FIELD)
