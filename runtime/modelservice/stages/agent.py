"""The first process of a pod whose training has several: it starts the others, under torch's elastic agent."""

import time
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from modelservice.contract import places
from modelservice.contract.failure import StageError
from modelservice.contract.model import GRADIENT_FAMILIES
from modelservice.contract.work_order import TrainWork
from modelservice.stages.run import Places, read_order, report_error
from modelservice.stages.threads import THREADS_ENV, granted_threads
from modelservice.training.launching import Meeting, Team, launch, meet
from modelservice.training.peers import PeerLostError, rank_of

_ANSWER = timedelta(seconds=5)
_HERE = "127.0.0.1"


def team_of(order_path: Path, environment: Mapping[str, str]) -> Team | None:
    """The processes that train an order, None for one that does so alone, or that is one of them already.

    An order that cannot be read is none of theirs: who works on it says why.
    """
    if rank_of(environment) is not None:
        return None
    try:
        order = read_order(order_path)
    except StageError:
        return None
    work, processes = order.work, max(1, places.granted_gpus(environment))
    if not isinstance(work, TrainWork) or not trains_together(work, processes=work.workers * processes):
        return None
    worker = int(environment.get(places.WORKER_ENV) or 0)
    return Team(
        name=order.key,
        workers=work.workers,
        worker=worker,
        processes=processes,
        # Of itself a name is known to DNS only some time after worker 0 has come.
        host=(environment.get(places.RENDEZVOUS_ENV) or _HERE) if worker else _HERE,
        port=places.RENDEZVOUS_PORT,
    )


def trains_together(work: TrainWork, *, processes: int) -> bool:
    """Whether several processes train: not for families without gradient steps, nor for a search, that have GPUs."""
    return processes > 1 and (
        work.workers > 1 or (work.model.choice in GRADIENT_FAMILIES and work.training.search is None)
    )


def run_team(team: Team, *, where: Places, environment: MutableMapping[str, str], out: TextIO) -> int:
    """Wait for the other pods, train, and give the exit code; processes report for themselves."""
    share_threads(environment, processes=team.processes)
    try:
        meeting = meet(lambda: _open_meeting(team), team, clock=time.monotonic, sleep=time.sleep)
        code = launch(["-m", "modelservice", "stage", "--order", str(where.order)], team, out)
        del meeting  # until here, since its server is that of all
    except RuntimeError as error:  # of torch's agent, where another one does not answer
        lost = PeerLostError()
        lost.__cause__ = error
        return report_error(where, lost, out)
    except StageError as error:
        return report_error(where, error, out)
    return code


def share_threads(environment: MutableMapping[str, str], *, processes: int) -> None:
    """Give each process of a machine its share of the threads that one would have, of all CPUs where nobody says."""
    environment[THREADS_ENV] = str(max(1, granted_threads(environment) // processes))


def _open_meeting(team: Team) -> Meeting:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # noqa: PLC0415 - seconds

    return TCPStore(
        team.host, team.port, is_master=team.worker == 0, timeout=_ANSWER, wait_for_workers=False, multi_tenant=True
    )
