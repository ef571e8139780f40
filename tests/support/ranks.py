"""Trainings that several processes do together, for tests: rank 0 is the test itself, rank 1 a process beside it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from typing import Any

import torch
from tests.support.checkpoints import CheckpointsInMemory
from torch import distributed, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is there

from modelservice.contract.augmentation import Augmentation, Mixup
from modelservice.contract.optimizers import AdamW, Optimizer
from modelservice.contract.precision import Precision
from modelservice.contract.training import EarlyStopping, Hyperparameters
from modelservice.families.member_layers import MemberLinear, MemberScale
from modelservice.tasks.base import Loss
from modelservice.training.augmentation import build_augments
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing
from modelservice.training.curves import Epoch
from modelservice.training.data_parallel import DataParallel
from modelservice.training.fully_sharded import FullySharded
from modelservice.training.interruption import Interruption
from modelservice.training.loop import Rows, seeded, train_module
from modelservice.training.losses import OBJECTIVES
from modelservice.training.member_losses import MEMBER_OBJECTIVES
from modelservice.training.members import MemberData, MemberRows, Plan, train_members
from modelservice.training.peers import PeerLostError
from modelservice.training.ranks import Ranks
from modelservice.training.threads import limited_threads

SETTINGS = Hyperparameters(
    optimizer=Optimizer(adam_w=AdamW()),
    l1=0.001,
    l2=0.01,
    gradient_clip_norm=0.5,
    epochs=4,
    batch_size=7,
    gradient_accumulation=2,
    early_stopping=EarlyStopping(patience=2),
)
MIXED = SETTINGS.model_copy(update={"precision": Precision.BFLOAT16})


class Stopped(BaseException):
    """The process was asked to end."""


class AskedAfter(Interruption):
    """Asks for the end after so many steps; 0 never does."""

    def __init__(self, steps: int) -> None:
        super().__init__(Stopped)
        self._left = steps

    @property
    def asked(self) -> bool:
        """Looked at after each step."""
        self._left -= 1
        return self._left == 0

    @asked.setter
    def asked(self, value: bool) -> None:
        """As at first."""

    def obey(self) -> None:
        """Of the process that was asked."""
        if self._left == 0:
            raise Stopped


class Memory(CheckpointsInMemory):
    """A store of checkpoints in memory, and what a training is told of it."""

    def checkpointing(self, *, asked_after: int = 0) -> Checkpointing:
        """Of a process that is asked to end after so many steps."""
        return Checkpointing(
            store=self,
            key="abc",
            data="sha256:0",
            every_seconds=1000,
            clock=lambda: 0.0,
            interruption=AskedAfter(asked_after),
            say=lambda _: None,
        )


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    state: Mapping[str, torch.Tensor]
    best: int
    told: tuple[Epoch, ...]


def train_one(
    ranks: Ranks, checkpointing: Checkpointing = BEGINS_ANEW, *, settings: Hyperparameters = SETTINGS
) -> Outcome:
    """40 rows in batches of 7, the last of 5, two of which are a step; nothing of the recipe is left out."""
    told: list[Epoch] = []
    with limited_threads(1), seeded(3, "cpu") as generator:
        features = torch.randn(50, 5, generator=torch.Generator().manual_seed(5))
        targets = (features[:, 0] > 0).long() + (features[:, 1] > 0).long()
        module = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
        for parameter in module.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)
        ranks.prepare(module, device="cpu")
        best = train_module(
            module,
            objective=OBJECTIVES[Loss.CROSS_ENTROPY],
            train=Rows(features=features[:40], targets=targets[:40], weights=torch.linspace(0.5, 1.5, 40)),
            validation=Rows(features=features[41:], targets=targets[41:]),
            settings=settings,
            generator=generator,
            observe=told.append,
            augments=build_augments(Augmentation(mixup=Mixup()), classes=3),
            checkpointing=checkpointing,
            ranks=ranks,
        )
        return Outcome(ranks.state(module), best, tuple(told))


def train_three(ranks: Ranks) -> Outcome:
    """Three members side by side; of the rows that one keeps back, three processes would have none."""
    told: list[Epoch] = []
    with limited_threads(1), seeded(3, "cpu") as generator:
        places, features = torch.arange(15), torch.linspace(-1, 1, 30).reshape(15, 2)
        layers = [MemberLinear(3, 2, 6), MemberLinear(3, 6, 1)]
        for layer in layers:
            layer.draw(generator, share=1.0)
        module = nn.Sequential(MemberScale(3, 2), layers[0], nn.SiLU(), nn.Dropout(0.3), layers[1])
        ranks.prepare(module, device="cpu", rows_axis=1)
        kept = [places[one::4] for one in range(3)]
        train_members(
            module,
            data=MemberData(features=features, targets=(features[:, 0] > 0.1).float(), weights=torch.ones(15)),
            learned=MemberRows.of([places[~torch.isin(places, one)] for one in kept]),
            kept=MemberRows.of(kept),
            objective=MEMBER_OBJECTIVES[Loss.BINARY_CROSS_ENTROPY],
            plan=Plan(members=3, epochs=3, batch=4, learning_rate=0.05),
            generator=generator,
            observe=told.append,
            ranks=ranks,
        )
        return Outcome(ranks.state(module), 0, tuple(told))


def interrupted(ranks: Ranks, memory: Memory) -> BaseException | None:
    """Why a training ended of which rank 1 was asked to end after four steps."""
    try:
        train_one(ranks, memory.checkpointing(asked_after=4 * ranks.rank))
    except (PeerLostError, Stopped) as error:
        return error
    return None


def data(ranks: DataParallel) -> Outcome:
    """Each process with all weights."""
    return train_one(ranks)


def members(ranks: DataParallel) -> Outcome:
    """An ensemble."""
    return train_three(ranks)


def sharded(_: DataParallel) -> Outcome:
    """Each process with a part of the weights."""
    return train_one(FullySharded("cpu"))


def stopped(ranks: DataParallel) -> tuple[BaseException | None, Memory]:
    """One of which is asked to end."""
    memory = Memory()
    return interrupted(ranks, memory), memory


def resumed(_: DataParallel) -> Outcome:
    """One that was stopped, with parts of the weights, and goes on."""
    ranks, memory = FullySharded("cpu"), Memory()
    interrupted(ranks, memory)
    return train_one(ranks, memory.checkpointing())


def mixed(ranks: DataParallel) -> tuple[Outcome, Outcome]:
    """In mixed precision: each process with all weights, and with a part of them."""
    return train_one(ranks, settings=MIXED), train_one(FullySharded("cpu"), settings=MIXED)


TOGETHER: tuple[Callable[[DataParallel], Any], ...] = (data, members, sharded, mixed, stopped, resumed)
"""What both processes do, in this order; rank 1 ends after it."""


@contextmanager
def beside(size: int = 2) -> Iterator[DataParallel]:
    """The group of this process, as rank 0, and others beside it, which do what is ``TOGETHER``."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    others = [get_context("spawn").Process(target=_other, args=(store.port, rank, size)) for rank in range(1, size)]
    for other in others:
        other.start()
    try:
        yield _join(store, 0, size)
    finally:
        distributed.destroy_process_group()
        for other in others:
            other.join(60)


def _join(store: TCPStore, rank: int, size: int) -> DataParallel:
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=120))
    return DataParallel()


def _other(port: int, rank: int, size: int) -> None:
    ranks = _join(TCPStore("127.0.0.1", port, is_master=False), rank, size)
    for work in TOGETHER:
        work(ranks)
