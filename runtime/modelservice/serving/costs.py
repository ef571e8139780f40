"""What a batch costs here, measured before the first request: it decides how requests are batched."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from modelservice.modalities.base import Rows
from modelservice.serving.model import Compute, computed
from modelservice.tasks.base import Array

Clock = Callable[[], float]

INLINE_HANDOVERS = 5
"""A batch that costs no more hand-overs than this runs on the event loop.

A hand-over costs more than its own time: loop and thread then compete for the interpreter lock. Measured at 64
connections: networks of up to 3 us a row answer no more requests/s in a thread, one of 9 us answers 10 % more, and a
CNN of 40 us 70 % more.
"""
HANDED_HANDOVERS = 3
"""What a batch costs beside the model where a thread computes it, in hand-overs: it is made and shared out, too."""
TOLERANCE = 1.1
"""A smaller batch is preferred to a larger one that is at most 10 % cheaper for each row: its rows wait less."""
REPEATS = 5
_ASKING_SECONDS, _ASKED_ROW_SECONDS = 1e-3, 1e-3
"""Of asking an encoder: for a batch, and for each of its rows; a small BERT on one CPU takes about as long."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Measured seconds.

    Attributes:
        compute: by number of rows, ascending and starting at 1, encoding them with it.
        handover: to a thread and back.
        encode_row: of encoding alone, for each row of the largest batch.
    """

    compute: tuple[tuple[int, float], ...]
    handover: float
    encode_row: float = 0.0

    @property
    def inline(self) -> bool:
        """Whether all batches are cheap enough to run on the event loop."""
        return self.seconds_of(self._halves[-1][0]) <= self._inline_seconds

    @property
    def inline_rows(self) -> int:
        """Most rows that are cheap enough to be computed on the event loop: a lone request need not be handed over."""
        if self.inline:
            return self.compute[-1][0]
        return max((rows for rows, seconds in self.compute if seconds <= self._inline_seconds), default=0)

    @property
    def encodes_on_loop(self) -> bool:
        """Whether a batch is encoded on the event loop also where a thread computes it."""
        return self.encode_row * self.batch_size <= self._inline_seconds

    @property
    def batch_size(self) -> int:
        """The smallest batch whose rows are about as cheap as any: on a CPU a larger one can be slower for each.

        In a thread it has at most half of the rows that may be computed at once: while one half is computed, the other
        is answered, and asks again.
        """
        beside = 0.0 if self.inline else HANDED_HANDOVERS * self.handover
        each = {rows: (seconds + beside) / rows for rows, seconds in (self.compute if self.inline else self._halves)}
        return next(rows for rows, seconds in each.items() if seconds <= min(each.values()) * TOLERANCE)

    @property
    def row_seconds(self) -> float:
        """Seconds of a row in a full batch."""
        return self.seconds_of(self.batch_size) / self.batch_size

    def seconds_of(self, rows: int) -> float:
        """Seconds of a batch of so many rows, at most: those of the next larger one that was measured."""
        return next((seconds for size, seconds in self.compute if size >= rows), self.compute[-1][1])

    @property
    def _inline_seconds(self) -> float:
        return INLINE_HANDOVERS * self.handover

    @property
    def _halves(self) -> tuple[tuple[int, float], ...]:
        most = max(1, self.compute[-1][0] // 2)
        return tuple(one for one in self.compute if one[0] <= most) or self.compute[:1]


def assumed_costs(max_size: int) -> Costs:
    """What a head is taken to cost whose encoder is asked: it may be away now, and on the event loop it never is asked.

    The queue learns what it costs from how fast it drains.
    """
    return Costs(
        compute=tuple((rows, _ASKING_SECONDS + _ASKED_ROW_SECONDS * rows) for rows in _sizes(max_size)),
        handover=0.0,
        encode_row=_ASKED_ROW_SECONDS,
    )


def measure_costs(
    compute: Compute,
    *,
    example: Callable[[int], Rows],
    check: Callable[[Array], None],
    max_size: int,
    handover: Callable[[], object],
    clock: Clock,
    budget: float = 1.0,
) -> Costs:
    """Warm the model up and measure it, at 1, 2, 4 ... ``max_size`` rows.

    Args:
        compute: rows to raw outputs.
        example: so many rows that the model takes.
        check: compares the answer to one row with the signature.
        max_size: most rows of a batch.
        handover: runs nothing in the executor thread and waits for it.
        clock: seconds.
        budget: seconds after which no larger batch is tried; sizes beyond are then not used.

    Raises:
        ModelFaultError: the answer is not what the signature says.
    """
    check(computed(compute, example(1)))
    started = clock()
    measured: list[tuple[int, float]] = []
    for rows in _sizes(max_size):
        measured.append((rows, _median_seconds(partial(computed, compute, example(rows)), clock)))
        if clock() - started > budget:
            break
    most = measured[-1][0]
    encoding = _median_seconds(partial(compute.encode, example(most)), clock)
    return Costs(compute=tuple(measured), handover=_median_seconds(handover, clock), encode_row=encoding / most)


def _sizes(max_size: int) -> list[int]:
    sizes = [2**power for power in range(max_size.bit_length()) if 2**power < max_size]
    return [*sizes, max_size]


def _median_seconds(call: Callable[[], object], clock: Clock) -> float:
    call()
    seconds = []
    for _ in range(REPEATS):
        started = clock()
        call()
        seconds.append(clock() - started)
    return statistics.median(seconds)
