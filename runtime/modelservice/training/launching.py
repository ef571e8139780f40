"""Starting the processes of a training, under torch's own elastic agent; and waiting for those of other pods before."""

import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from modelservice.contract.failure import PassingError

PATIENCE_SECONDS: Final = 600.0
"""For pods that are still to come: an image is pulled in that time, and a node added."""
SHUTDOWN_SECONDS: Final = 50
"""For the step under way and one more checkpoint, once the end was asked for; a pod is given 60."""
_POLL_SECONDS: Final = 1.0
_RENDEZVOUS_SECONDS: Final = 120
_BEGUN: Final = "begun"
_SIGNALLED: Final = 128


@dataclass(frozen=True, kw_only=True)
class Team:
    """All processes of a training, and those that this machine is to start.

    Attributes:
        name: of the training, the same for all.
        workers: pods.
        worker: this one, from 0.
        processes: of each pod, one for each GPU.
        host: of worker 0, as this one reaches it.
        port: where the agent of worker 0 listens.
    """

    name: str
    workers: int
    worker: int
    processes: int
    host: str
    port: int


class Meeting(Protocol):
    """What torch's stores are here: marks that all workers see.

    Raises:
        RuntimeError: worker 0 does not answer.
    """

    def set(self, name: str, value: str, /) -> None:
        """Leave a mark."""

    def check(self, names: list[str], /) -> bool:
        """Whether all of these marks are there."""


class PeerMissingError(PassingError):
    """A worker that does not come."""

    def __init__(self, missing: Sequence[int], workers: int, seconds: float) -> None:
        who = "worker " + ", ".join(map(str, missing))
        message = (
            f"{who} of {workers} (from 0) did not come within {seconds:.0f} s: look why its pod does not run (quota,"
            " nodes, a NetworkPolicy of the namespace), or lower spec.training.workers"
        )
        super().__init__("PeerMissing", message, field="spec.training.workers")


def meet(
    open_meeting: Callable[[], Meeting],
    team: Team,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    patience: float = PATIENCE_SECONDS,
) -> Meeting:
    """Wait until all workers are there, in small steps, so that the end may be asked for meanwhile.

    Who comes while others have begun, since its predecessor was lost, waits until these have ended and are back.

    Args:
        open_meeting: reaches worker 0, and is worker 0's own; raises RuntimeError while nobody is there.
        team: who is waited for.
        clock: monotonic seconds.
        sleep: lets time pass.
        patience: seconds.

    Raises:
        PeerMissingError: not all came.
    """
    until = clock() + patience
    meeting: Meeting | None = None
    missing = [0]
    while clock() < until:
        try:
            if meeting is None:
                meeting = open_meeting()
                if meeting.check([_BEGUN]):
                    meeting = None
            if meeting is not None:
                meeting.set(_came(team.worker), "1")
                missing = [one for one in range(team.workers) if not meeting.check([_came(one)])]
                if team.worker == 0 and not missing:
                    meeting.set(_BEGUN, "1")
                if meeting.check([_BEGUN]):
                    return meeting
        except RuntimeError:
            meeting, missing = None, [0]
        sleep(_POLL_SECONDS)
    raise PeerMissingError(missing, team.workers, patience)


def launch(arguments: Sequence[str], team: Team, out: TextIO) -> int:
    """Run ``python ARGUMENTS`` once for each process of this machine, and give the exit code of the first that failed.

    The first process has the terminal; what another said is written to ``out`` if that is the one that failed.
    """
    from torch.distributed.elastic.multiprocessing import (  # noqa: PLC0415 - seconds
        DefaultLogsSpecs,
        SignalException,
        Std,
    )
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="modelservice-") as scratch:
        config = LaunchConfig(
            min_nodes=team.workers,
            max_nodes=team.workers,
            nproc_per_node=team.processes,
            run_id=team.name,
            rdzv_backend="static",
            rdzv_endpoint=f"{team.host}:{team.port}",
            rdzv_configs={"rank": team.worker, "timeout": _RENDEZVOUS_SECONDS},
            max_restarts=0,
            monitor_interval=0.2,
            **_patience(LaunchConfig),
            logs_specs=DefaultLogsSpecs(scratch, redirects=dict.fromkeys(range(1, team.processes), Std.ALL)),
        )
        try:
            elastic_launch(config, sys.executable)(*arguments)
        except ChildFailedError as failed:
            _, first = failed.get_first_failure()
            if first.local_rank > 0:
                out.write(_last_words(Path(scratch), first.local_rank))
            return first.exitcode if first.exitcode > 0 else _SIGNALLED - first.exitcode
        except SignalException as asked:
            return _SIGNALLED + int(signal.Signals(asked.sigval))
    return 0


def _patience(config: type[Any]) -> dict[str, Any]:
    """Older agents, such as that of torch 2.11, know no such setting: they give their processes 30 s."""
    name = "shutdown_timeout"
    return {name: SHUTDOWN_SECONDS} if name in {field.name for field in fields(config)} else {}


def _last_words(scratch: Path, local_rank: int) -> str:
    """What a process whose output goes to a file, at torch's place for it, said in the end."""
    words = (log.read_text(encoding="utf-8", errors="replace") for log in scratch.glob(f"*/*/{local_rank}/stderr.log"))
    return "".join(words)[-4096:]


def _came(worker: int) -> str:
    return f"came/{worker}"
