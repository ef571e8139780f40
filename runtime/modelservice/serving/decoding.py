"""Rows that come compressed, as pictures do: they are decoded in a thread, and counted before.

A body of 44 KiB can hold four pictures of 67 million pixels each, and one of 64 KiB make 90 MB of rows.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from modelservice.modalities.compressed import DecodingEncoder
from modelservice.serving.batch import Asker
from modelservice.serving.batcher import Batcher
from modelservice.serving.budget import Budget, Held
from modelservice.serving.calls import Call, Rendered, check_decoded, decode
from modelservice.serving.costs import Clock
from modelservice.serving.inference import Inference, Parsing, hand_over
from modelservice.serving.model import Compute
from modelservice.serving.results import Results


class DecodingInference(Inference):
    """The same for rows that may be compressed; those that are not go the same way.

    Args:
        batcher: as of ``Inference``.
        hypothetical: as of ``Inference``.
        parsing: as of ``Inference``; decodes, too.
        encoder: whose rows they are.
        budget: counts decoded rows until they are answered.
        clock: as of ``Inference``; by it decoding is part of a request's time, too.
    """

    def __init__(
        self,
        batcher: Batcher,
        hypothetical: Compute,
        parsing: Parsing,
        *,
        encoder: DecodingEncoder,
        budget: Budget,
        clock: Clock,
    ) -> None:
        super().__init__(batcher, hypothetical, parsing, clock=clock)
        self._encoder = encoder
        self._budget = budget

    async def compute(self, call: Call[Rendered], *, large: bool, patience: int = 1) -> Rendered:
        """See ``Inference``.

        Raises:
            BusyError: all requests together hold as much as they may.
        """
        size = check_decoded(self._encoder, call.rows, call.place)
        if not size:
            return await super().compute(call, large=large, patience=patience)
        with self._budget.hold() as held:
            held.add(size)
            call = await self.aside(self._decoded, call, self._clock())
            return await super().compute(call, large=large, patience=patience)

    def ask(self, call: Call[Any], asker: Asker, *, alone: bool = False) -> None:
        """See ``Inference``.

        Raises:
            BusyError: all requests together hold as much as they may.
        """
        size = check_decoded(self._encoder, call.rows, call.place)
        if not size:
            super().ask(call, asker, alone=alone)
            return
        counted = _Counted(asker, self._budget.hold())
        counted.held.add(size)
        decoding = self.aside(self._decoded, call, self._clock(), asker=asker)
        decoding.add_done_callback(partial(hand_over, go_on=partial(super().ask, asker=counted), fail=counted.take))

    def _parsed(
        self, parse: Callable[..., Call[Rendered]], request: tuple[Any, ...], held: Held, asked: float
    ) -> Call[Rendered]:
        """See ``Inference``; decodes in the same turn of the thread."""
        call = super()._parsed(parse, request, held, asked)
        size = check_decoded(self._encoder, call.rows, call.place)
        if not size:
            return call
        held.add(size)
        return self._decoded(call, self._clock())

    def _decoded(self, call: Call[Rendered], asked: float) -> Call[Rendered]:
        """What a thread does, unless the time is over."""
        self._still_timely(call, asked)
        rows = decode(self._encoder, call.rows, call.place)
        return self._still_timely(call, asked)._replace(rows=rows)


class _Counted:
    """An asker whose rows are in the budget until it is answered."""

    __slots__ = ("_asker", "held")

    def __init__(self, asker: Asker, held: Held) -> None:
        self._asker = asker
        self.held = held

    @property
    def disconnected(self) -> bool:
        return self._asker.disconnected

    def take(self, outcome: Results | Exception) -> None:
        self.held.release()
        self._asker.take(outcome)
