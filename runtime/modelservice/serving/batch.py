"""Requests, or parts of them, that share a forward pass."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from modelservice.modalities.base import Rows, merge_rows
from modelservice.modalities.errors import InputError
from modelservice.serving.costs import Clock
from modelservice.serving.errors import EncoderError, NotFiniteError, TooLateError
from modelservice.serving.load import Load
from modelservice.serving.model import Compute, Encoded
from modelservice.serving.results import Results
from modelservice.tasks.base import Array


class Asker(Protocol):
    """Who asked for the answer to some rows."""

    @property
    def disconnected(self) -> bool:
        """Whether nobody is left to answer: rows that were not taken yet are dropped."""

    def take(self, outcome: Results | Exception) -> None:
        """Take the model's answer, or what went wrong; is called once, and must not raise.

        Args:
            outcome: finite raw outputs; InputError where a row cannot be encoded, NotFiniteError where the
                model's answer is not finite, ClientLeftError where the asker was found gone.
        """


class Waiting:
    """A request in the queue: its rows, how many of them were taken, and what has been answered so far."""

    __slots__ = ("_answered", "_load", "asker", "begun", "compute", "count", "rows", "taken", "told")

    deadline: float | None = None
    """By the batcher's clock: when it is told that it is over; None where it said no time."""

    def __init__(self, rows: Rows, asker: Asker, compute: Compute, load: Load) -> None:
        self.rows = rows
        self.count = len(rows)
        self.begun = load.begin()
        self._load = load
        self.compute = compute
        self.taken = 0
        self.told = False
        self.asker = asker
        self._answered: dict[int, Results] | None = None

    @property
    def disconnected(self) -> bool:
        """See ``Asker``."""
        return self.asker.disconnected

    def tell(self, outcome: Results | Exception) -> None:
        """Give the asker what it gets."""
        self.told = True
        self._load.end()
        self.asker.take(outcome)

    def take(self, room: int) -> "Part":
        """The next rows, at most so many."""
        if self.count <= room and not self.taken:  # nearly all requests
            self.taken = self.count
            return Part(self, self.rows, 0, self.count)
        start = self.taken
        self.taken = min(self.count, start + room)
        return Part(self, self.rows[start : self.taken], start, self.taken - start)

    def add(self, results: Results, start: int) -> None:
        """Take the answer to the rows from ``start``; the asker is told once all are answered.

        Parts come in any order: one that is computed again comes after those that were handed over meanwhile.
        """
        answered = self._answered = self._answered or {}  # nearly no request is answered in parts
        answered[start] = results
        if sum(len(one) for one in answered.values()) == self.count:
            self.tell(Results.joined([answered[first] for first in sorted(answered)]))


class Limited(Waiting):
    """A request that waits no longer than it said; ``timer`` ends that."""

    __slots__ = ("deadline", "timer")

    timer: asyncio.Handle
    deadline: float | None

    def tell(self, outcome: Results | Exception) -> None:
        """See ``Waiting``."""
        self.timer.cancel()
        super().tell(outcome)

    def expire(self, seconds: float) -> None:
        """It is over, if it was not answered."""
        if not self.told:
            self.tell(TooLateError(seconds))


class Part(NamedTuple):
    """Rows of a request that are in one batch, how many of its rows are before them, and how many they are."""

    request: Waiting
    rows: Rows
    start: int
    size: int

    def answer(self, outcome: Results | Exception) -> None:
        """Tell the request what its rows gave, or what is wrong with them."""
        if self.request.told:
            return
        if self.rows is self.request.rows and not isinstance(outcome, InputError):
            self.request.tell(outcome)  # nearly all requests: whole, in one batch
        elif not isinstance(outcome, Exception):
            self.request.add(outcome, self.start)
        elif isinstance(outcome, InputError) and outcome.row is not None:
            self.request.tell(outcome.at(outcome.row + self.start))
        else:
            self.request.tell(outcome)


class Batch:
    """Parts of requests that are computed in one way, together.

    Attributes:
        seconds: how long encoding and the model took.
        answered: whether its rows were told what the model made of them, and not what is wrong.
    """

    __slots__ = ("_compute", "_counts", "_encoded", "_error", "_parts", "_raw", "_rows", "_size", "answered", "seconds")

    def __init__(self, parts: Sequence[Part]) -> None:
        """Args: at least one."""
        self._parts = parts
        self._counts = [part.size for part in parts]
        self._size = sum(self._counts)
        self._compute = parts[0].request.compute
        self._rows: Rows = []
        self._encoded: Encoded | None = None
        self._raw: Array | None = None
        self._error: Exception | None = None
        self.seconds = 0.0
        self.answered = False

    def __len__(self) -> int:
        """Number of rows."""
        return self._size

    def encode(self, clock: Clock) -> None:
        """Make of the rows what the model is run on."""
        started = clock()
        try:
            self._rows = merge_rows([part.rows for part in self._parts])
            self._encoded = self._compute.encode(self._rows, self._within(started))
        except Exception as error:
            self._error = error
        self.seconds += clock() - started

    def _within(self, now: float) -> float | None:
        """Seconds in which somebody waits for the answer; None where one does not say."""
        latest = 0.0
        for part in self._parts:
            if part.request.deadline is None:
                return None
            latest = max(latest, part.request.deadline)
        return latest - now

    def run(self, clock: Clock) -> None:
        """Run the model, after encoding where that was not done; in the thread that computes."""
        if self._encoded is None and self._error is None:
            self.encode(clock)
        if self._encoded is None:
            return
        started = clock()
        try:
            self._raw = self._compute.run(self._encoded)
        except Exception as error:
            self._error = error
        self.seconds += clock() - started

    def answer(self) -> "list[Batch]":
        """Check, count and tell what was computed, once: afterwards nothing of it is left here.

        Returns:
            What is to be computed in its place: each request by itself where something went wrong, so that a wrong one
            fails alone.
        """
        results, parts = self._results(), self._parts
        # An error leads to its frames, and those to this batch, which must not lead back: its rows would stay.
        self._parts, self._rows, self._encoded, self._error = (), [], None, None
        if not isinstance(results, Exception):
            self.answered = True
            for part, result in zip(parts, results, strict=True):
                part.answer(result)
        elif len(parts) == 1 or isinstance(results, EncoderError):
            for part in parts:
                part.answer(results)
        else:
            return [Batch([part]) for part in parts]
        return []

    def _results(self) -> list[Results] | Exception:
        if self._encoded is None or self._raw is None:
            return self._error or RuntimeError("the batch was not run")
        try:
            self._compute.conclude(self._rows, self._encoded, finite(self._raw))
        except Exception as error:
            return error
        return Results.split(self._raw, self._counts)


def finite(raw: Array) -> Array:
    """Raw outputs that can be answered.

    Raises:
        NotFiniteError: some are no finite numbers.
    """
    are_finite = np.isfinite(raw)
    if are_finite.size == 0 or are_finite.item(are_finite.argmin()):  # half of what all() takes, of one row
        return raw
    raise NotFiniteError("the model's answer to these rows is not finite: their values are too extreme")
