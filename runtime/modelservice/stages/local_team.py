"""Several processes that train together on one machine, as the pods of a Job do in the cluster."""

import os
import socket
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TextIO

from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.training import Training
from modelservice.stages.documents import Resource, ResourceError, read_resource
from modelservice.stages.local import Together
from modelservice.training.peers import PeerLostError, rank_of

_HERE = "127.0.0.1"
_INTERFACE_ENV = "GLOO_SOCKET_IFNAME"


def workers_of(file: Path, asked: int | None) -> int:
    """How many processes train a file; 1 where it cannot be read, since who reads it next says why."""
    if asked is not None:
        return asked
    try:
        return read_resource(file).service.spec.training.workers
    except (ResourceError, OSError):
        return 1


def run_local_team(
    arguments: Sequence[str], *, workers: int, environment: MutableMapping[str, str], out: TextIO
) -> int:
    """Run ``python ARGUMENTS`` in so many processes that find each other, and give the exit code."""
    from modelservice.stages.agent import share_threads  # noqa: PLC0415 - a lone process does not wait for it
    from modelservice.training.launching import Team, launch  # noqa: PLC0415

    share_threads(environment, processes=workers)
    environment.setdefault(_INTERFACE_ENV, "lo0" if sys.platform == "darwin" else "lo")
    team = Team(name="local", workers=1, worker=0, processes=workers, host=_HERE, port=_free_port())
    return launch(arguments, team, out)


def together_of(resource: Resource, environment: Mapping[str, str]) -> Together:
    """What a process that ``run_local_team`` started is among the others; alone where it is none of those."""
    rank = rank_of(environment)
    if rank is None:
        return Together()
    training = resource.service.spec.training
    join = partial(_join, training, environment)
    return Together(workers=int(environment["WORLD_SIZE"]), rank=rank, join=join)


def _join(training: Training, environment: Mapping[str, str]) -> AbstractContextManager[object]:
    from modelservice.training.joining import joined  # noqa: PLC0415 - torch takes seconds to import

    return joined(training.parallelism, environment, on_lost=_end)


def _end() -> None:
    """End the process at once: it waits for one that is lost, in the middle of a sum."""
    sys.stderr.write(f"error: {PeerLostError().message}\n")
    os._exit(ExitCode.TRY_AGAIN)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        port: int = probe.getsockname()[1]
        return port
