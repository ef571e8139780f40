"""Which trials of a search are trained with how many epochs, by what came of those before."""

from collections.abc import Callable, Iterable, Sequence

from modelservice.contract.search_report import Outcome, Trial
from modelservice.contract.trials import Rung

Train = Callable[[int, int | None], Trial]
"""Trains a trial, by its number, with so many epochs; None are those that are written."""


def run_trials(count: int, rounds: Sequence[Rung], train: Train, *, lower_is_better: bool) -> tuple[Trial, ...]:
    """All trials in the order of their numbers, as they ended.

    Trial 0, the spec as it is written, has all epochs whatever it comes to, so that there is always one to compare
    with. Of the others the best of each round are in the next one (Jamieson and Talwalkar, 2016); equal ones in the
    order of their numbers.

    Args:
        count: how many there are.
        rounds: how many of those that are drawn are in each, and their epochs.
        train: is called for each trial of each round.
        lower_is_better: the direction of the metric.
    """
    ended = {0: train(0, None)}
    racing = list(range(1, count))
    for number, rung in enumerate(rounds):
        if number:
            racing = ranked((ended[one] for one in racing), lower_is_better=lower_is_better)[: rung.trials]
        ended |= {one: train(one, rung.epochs) for one in racing}
    return tuple(_as_left(ended[number], raced=number in {0, *racing}) for number in range(count))


def ranked(trials: Iterable[Trial], *, lower_is_better: bool) -> list[int]:
    """Numbers of the trials that did not fail, the best first, equal ones in their order."""
    sign = 1 if lower_is_better else -1
    valued = [(sign * trial.value, trial.number) for trial in trials if trial.value is not None]
    return [number for _, number in sorted(valued)]


def _as_left(trial: Trial, *, raced: bool) -> Trial:
    """A trial that ended well, but was not in the last round, was stopped."""
    if raced or trial.outcome is Outcome.FAILED:
        return trial
    return trial.model_copy(update={"outcome": Outcome.STOPPED})
