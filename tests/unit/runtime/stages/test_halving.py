"""Which trials are trained with how many epochs, and in which order they stand."""

from modelservice.contract.search_report import Outcome, Trial
from modelservice.contract.trials import Rung
from modelservice.stages.halving import ranked, run_trials

ROUNDS = (Rung(9, 2), Rung(3, 6), Rung(1, 18))


def trial(number: int, value: float | None) -> Trial:
    outcome = Outcome.FAILED if value is None else Outcome.FINISHED
    return Trial(number=number, parameters={}, outcome=outcome, value=value)


class Table:
    """Trials that come to what stands here, and what was trained."""

    def __init__(self, *values: float | None) -> None:
        self.values = values
        self.trained: list[tuple[int, int | None]] = []

    def train(self, number: int, epochs: int | None) -> Trial:
        self.trained.append((number, epochs))
        return trial(number, self.values[number])

    def run(self, *rounds: Rung, lower: bool = False) -> tuple[Trial, ...]:
        return run_trials(len(self.values), rounds, self.train, lower_is_better=lower)


def test_the_best_go_on_and_the_spec_as_written_has_all_epochs() -> None:
    table = Table(0.0, 0.1, 0.9, 0.3, 0.8, 0.5, 0.2, 0.7, 0.4, 0.6)
    ended = table.run(*ROUNDS)
    first = [(0, None), *((number, 2) for number in range(1, 10))]
    assert table.trained == [*first, (2, 6), (4, 6), (7, 6), (2, 18)]
    finished = [one.number for one in ended if one.outcome is Outcome.FINISHED]
    assert finished == [0, 2]
    assert [one.number for one in ended] == list(range(10))
    assert {one.outcome for one in ended} == {Outcome.FINISHED, Outcome.STOPPED}


def test_less_may_be_better_and_equal_ones_go_on_by_their_numbers() -> None:
    table = Table(9.0, 0.5, 0.5, 0.1, 0.5)
    table.run(Rung(4, 1), Rung(2, 2), lower=True)
    assert table.trained[-2:] == [(3, 2), (1, 2)]
    table = Table(9.0, 0.5, 0.5, 0.1, 0.5)
    table.run(Rung(4, 1), Rung(2, 2))
    assert table.trained[-2:] == [(1, 2), (2, 2)]


def test_what_failed_does_not_go_on() -> None:
    table = Table(None, None, 0.2, None, None)
    ended = table.run(Rung(4, 1), Rung(2, 3))
    assert table.trained[-1] == (2, 3)
    assert [one.outcome for one in ended] == [
        Outcome.FAILED,
        *(Outcome.FAILED, Outcome.FINISHED),
        *(Outcome.FAILED,) * 2,
    ]
    assert ranked(ended, lower_is_better=True) == [2]
    nothing = Table(0.1, None, None)
    assert nothing.run(Rung(2, 1), Rung(1, 3))[0].outcome is Outcome.FINISHED
    assert len(nothing.trained) == 3


def test_without_halving_each_has_all_epochs_and_none_is_stopped() -> None:
    table = Table(0.1, 0.2, 0.3)
    ended = table.run(Rung(2, None))
    assert table.trained == [(0, None), (1, None), (2, None)]
    assert {one.outcome for one in ended} == {Outcome.FINISHED}


def test_a_space_that_has_fewer_trials_than_a_round_takes_all() -> None:
    table = Table(0.1, 0.2)
    table.run(*ROUNDS)
    assert table.trained == [(0, None), (1, 2), (1, 6), (1, 18)]
