"""What a batch costs here, measured before the first request: it decides how requests are batched."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from modelservice.modalities.base import Rows
from modelservice.serving.model import Compute, computed
from modelservice.tasks.base import Array

Clock = Callable[[], float]

INLINE_HANDOVERS = 20
"""A batch that costs fewer hand-overs than this runs on the event loop.

A hand-over costs more than its own time: the thread and the loop then compete for the interpreter lock. Measured
with a small MLP: 16,414 requests/s on the loop, 9,826 in a thread; a CNN whose batch takes 14 ms gains by the thread.
"""
TOLERANCE = 1.1
"""A smaller batch is preferred to a larger one that is at most 10 % cheaper for each row: its rows wait less."""
REPEATS = 5


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
    def batch_size(self) -> int:
        """The smallest batch whose rows are about as cheap as any: on a CPU a larger one can be slower for each."""
        cheapest = min(seconds / rows for rows, seconds in self.compute)
        return next(rows for rows, seconds in self.compute if seconds / rows <= cheapest * TOLERANCE)

    @property
    def batch_seconds(self) -> float:
        """Seconds of a full batch."""
        return dict(self.compute)[self.batch_size]

    @property
    def row_seconds(self) -> float:
        """Seconds of a row in a full batch."""
        return self.batch_seconds / self.batch_size

    @property
    def encodes_on_loop(self) -> bool:
        """Whether rows of a batch are encoded on the event loop also where a thread computes them."""
        return self.encode_row * self.batch_size <= INLINE_HANDOVERS * self.handover

    @property
    def inline(self) -> bool:
        """Whether a batch is cheap enough to run on the event loop."""
        return self.batch_seconds <= INLINE_HANDOVERS * self.handover


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
