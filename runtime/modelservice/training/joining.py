"""How a process that torch's agent started joins the others of its training."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
from torch import distributed

from modelservice.contract.failure import StageError
from modelservice.contract.places import granted_gpus
from modelservice.contract.training import Parallelism
from modelservice.training.data_parallel import DataParallel, lost_peers
from modelservice.training.heartbeats import Heartbeats, watched
from modelservice.training.ranks import Ranks, trains_in

_LONGEST: Final = timedelta(minutes=30)
"""That one process may wait for another that lives: rank 0 may write a large checkpoint, or read slowly."""
_ANSWER: Final = timedelta(seconds=10)
"""For an answer of the agent of worker 0."""


@contextmanager
def joined(parallelism: Parallelism, environment: Mapping[str, str], *, on_lost: Callable[[], None]) -> Iterator[Ranks]:
    """Train together with the others that torch's agent started, while inside.

    Args:
        parallelism: how.
        environment: what torch's agent says of this process.
        on_lost: ends the process, from a thread, where another is lost and this one waits for it.

    Raises:
        PeerLostError: another process ended.
        StageError: there are fewer GPUs than processes here.
    """
    gpu = torch.cuda.is_available()
    if gpu:
        _take_gpu(environment)
    with lost_peers():
        # Flags and outputs are on the CPU in any case, so gloo is there beside NCCL.
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=_LONGEST)
        host, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
        counters = distributed.TCPStore(host, port, is_master=False, timeout=_ANSWER)  # type: ignore[attr-defined]
        ranks = _ranks(parallelism, "cuda" if gpu else "cpu")
    heartbeats = Heartbeats(counters, rank=ranks.rank, size=ranks.size, clock=time.monotonic)
    with watched(heartbeats, on_lost), trains_in(ranks):
        yield ranks
        ranks.barrier()
    distributed.destroy_process_group()


def _take_gpu(environment: Mapping[str, str]) -> None:
    processes, seen = int(environment["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if seen >= processes:
        torch.cuda.set_device(int(environment["LOCAL_RANK"]))
        return
    gpus = "1 GPU" if seen == 1 else f"{seen} GPUs"
    if granted := granted_gpus(environment):
        field = "spec.training.resources"
        message = (
            f"the pod holds {granted} GPUs and torch sees {gpus}, as it does where they are parts of one (MIG): ask for"
            f" one in {field}.limits, and for more pods by spec.training.workers"
        )
        raise StageError("GpuNotVisible", message, field=field)
    message = f"{processes} processes train here, and torch sees {gpus}: set --workers to that at most"
    raise StageError("GpuNotVisible", message, field="spec.training.workers")


def _ranks(parallelism: Parallelism, device: str) -> DataParallel:
    if parallelism is Parallelism.SHARDED:
        from modelservice.training.fully_sharded import FullySharded  # noqa: PLC0415 - seconds of imports

        return FullySharded(device)
    return DataParallel()
