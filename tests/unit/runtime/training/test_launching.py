"""Workers wait for each other, are missed by their numbers, and are lost when they are silent."""

import gc
import io
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from modelservice.training import heartbeats as beats
from modelservice.training.heartbeats import SILENT_SECONDS, Heartbeats, watched
from modelservice.training.launching import SHUTDOWN_SECONDS, Meeting, PeerMissingError, Team, _patience, launch, meet


def test_an_older_agent_is_not_told_how_long_to_wait() -> None:
    @dataclass
    class Older:
        monitor_interval: float

    @dataclass
    class Newer(Older):
        shutdown_timeout: int

    assert _patience(Older) == {}
    assert _patience(Newer) == {"shutdown_timeout": SHUTDOWN_SECONDS}


class Marks:
    """The store of worker 0."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def set(self, name: str, value: str, /) -> None:
        assert value
        self.names.add(name)

    def check(self, names: list[str], /) -> bool:
        return self.names >= set(names)


class Clock:
    """Goes on while somebody sleeps, and lets things happen then."""

    def __init__(self, **happens: Callable[[], None]) -> None:
        self.now, self.happens = 0.0, {int(at[1:]): what for at, what in happens.items()}

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.happens.pop(int(self.now), lambda: None)()


def team(worker: int, *, workers: int = 3, processes: int = 1) -> Team:
    return Team(name="a", workers=workers, worker=worker, processes=processes, host="h", port=1)


def met(marks: Callable[[], Meeting], worker: int, clock: Clock, patience: float = 60) -> Meeting:
    return meet(marks, team(worker), clock=clock, sleep=clock.sleep, patience=patience)


def test_worker_0_begins_when_all_have_come() -> None:
    marks = Marks("came/2")
    clock = Clock(t5=lambda: marks.names.add("came/1"))
    assert met(lambda: marks, 0, clock) is marks
    assert clock.now == 5
    assert "begun" in marks.names


def test_others_wait_until_worker_0_begins_and_is_reached() -> None:
    marks, reached = Marks(), list[Marks]()

    def opened() -> Marks:
        if not reached:
            raise RuntimeError("no such host")
        return reached[-1]

    clock = Clock(t2=lambda: reached.append(marks), t9=lambda: marks.names.add("begun"))
    assert met(opened, 1, clock) is marks
    assert clock.now == 9
    assert "came/1" in marks.names


def test_who_comes_late_leaves_those_alone_that_have_begun_without_it() -> None:
    old, new = Marks("came/0", "came/1", "came/2", "begun"), Marks()
    stores = [old]
    clock = Clock(t4=lambda: stores.append(new), t6=lambda: new.names.add("begun"))
    assert met(lambda: stores[-1], 1, clock) is new


def test_a_worker_that_does_not_come_is_named() -> None:
    with pytest.raises(PeerMissingError, match=r"worker 2 of 3 \(from 0\) did not come within 60 s") as caught:
        met(lambda: Marks("came/1"), 0, Clock())
    assert (caught.value.reason, caught.value.field) == ("PeerMissing", "spec.training.workers")
    assert caught.value.failure().exit_code == 75


def test_worker_0_that_is_never_reached_is_named() -> None:
    def nobody() -> Marks:
        raise RuntimeError("connection refused")

    with pytest.raises(PeerMissingError, match="worker 0 of 3"):
        met(nobody, 1, Clock())


class Counts:
    """Numbers that all share; may be out of reach."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.reached = True

    def add(self, name: str, amount: int, /) -> int:
        if not self.reached:
            raise RuntimeError("broken pipe")
        self.numbers[name] = self.numbers.get(name, 0) + amount
        return self.numbers[name]


def test_a_silent_process_is_lost_and_one_that_beats_is_not() -> None:
    clock, counts = Clock(), Counts()
    ours = Heartbeats(counts, rank=0, size=3, clock=clock)
    others = [Heartbeats(counts, rank=rank, size=3, clock=clock) for rank in (1, 2)]
    for silent in (0, SILENT_SECONDS):
        clock.sleep(SILENT_SECONDS)
        others[0].beat()
        if not silent:
            others[1].beat()
        ours.beat()
        assert not ours.lost()
    clock.sleep(1)
    assert ours.lost()


def test_who_reaches_nobody_has_lost_all() -> None:
    clock, counts = Clock(), Counts()
    ours, lost = Heartbeats(counts, rank=0, size=2, clock=clock), list[int]()
    counts.reached = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beats, "BEAT_SECONDS", 0.001)
        clock.sleep(SILENT_SECONDS + 1)
        with watched(ours, lambda: lost.append(1)):
            while not lost:
                pass
    assert lost == [1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # torch leaves a log open
def test_the_agent_gives_the_code_of_the_process_that_failed_first(tmp_path: Path) -> None:
    """One start of torch's agent, with processes that need no torch."""
    script, out = tmp_path / "work.py", io.StringIO()
    script.write_text(
        "import os, sys, time\n"
        "if os.environ['RANK'] == '1':\n    sys.stderr.write('no room\\n'); sys.exit(75)\n"
        "time.sleep(60)\n"
    )
    here = Team(name="a", workers=1, worker=0, processes=2, host="127.0.0.1", port=0)
    code = launch([str(script)], _with_free_port(here), out)
    gc.collect()  # what torch leaves open is found here, and not in whichever test is the next
    assert (code, out.getvalue()) == (75, "no room\n")


def _with_free_port(given: Team) -> Team:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return replace(given, port=probe.getsockname()[1])
