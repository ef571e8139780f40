"""A training that is interrupted, at any of its steps, ends bit for bit as one that is not; and what is not trusted."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load
from tests.support.checkpoints import CheckpointsInMemory
from torch import nn

import modelservice
from modelservice.contract.augmentation import Augmentation, Mixup, Noise
from modelservice.contract.optimizers import (
    AdaGrad,
    Adam,
    AdamW,
    Cosine,
    GradientDescent,
    Optimizer,
    Plateau,
    RmsProp,
    Schedule,
    Stairs,
    StochasticGradientDescent,
)
from modelservice.contract.precision import Precision
from modelservice.contract.training import EarlyStopping, Hyperparameters
from modelservice.families.member_layers import MemberLinear, MemberScale
from modelservice.families.normalization import ChannelNorm
from modelservice.modalities.base import Side
from modelservice.tasks.base import Loss
from modelservice.training.augmentation import build_augments
from modelservice.training.batches import StreamedRows
from modelservice.training.checkpoint_file import Checkpoint, Machine
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing
from modelservice.training.curves import CurveRecorder, Epoch
from modelservice.training.interruption import Interruption
from modelservice.training.loop import Rows, seeded, train_module
from modelservice.training.losses import OBJECTIVES
from modelservice.training.member_losses import MEMBER_OBJECTIVES
from modelservice.training.members import MemberData, MemberRows, Plan, train_members
from modelservice.training.threads import limited_threads


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As small steps have it."""
    with limited_threads(1):
        yield


class Killed(BaseException):
    """The process is gone."""


class Ending(Interruption):
    """Of a process that ends after so many steps, asked to or killed; 0 are none."""

    def __init__(self, after: int, *, killed: bool) -> None:
        super().__init__(Killed)
        self._after, self._killed = after, killed
        self.steps = 0

    @property
    def asked(self) -> bool:
        """Looked at after each step."""
        self.steps += 1
        if self.steps == self._after and self._killed:
            raise Killed
        return 0 < self._after <= self.steps

    @asked.setter
    def asked(self, value: bool) -> None:
        """As at first."""

    def obey(self) -> None:
        if 0 < self._after <= self.steps:
            raise Killed


@dataclass
class Shelf(CheckpointsInMemory):
    """A store in memory, and a clock that goes on by a second when it is looked at."""

    ends: int = 0
    killed: bool = False
    every: float = 1
    said: list[str] = field(default_factory=list)
    now: float = 0
    ending: Ending = field(default_factory=lambda: Ending(0, killed=False))

    def clock(self) -> float:
        self.now += 1
        return self.now

    def checkpointing(self) -> Checkpointing:
        """Of a process that begins now."""
        self.ending = Ending(self.ends, killed=self.killed)
        return Checkpointing(
            store=self,
            key="abc",
            data="sha256:0",
            every_seconds=self.every,
            clock=self.clock,
            interruption=self.ending,
            say=self.said.append,
        )


@dataclass
class Outcome:
    """All that is seen of a training."""

    state: Mapping[str, torch.Tensor]
    best: Any
    curves: Mapping[str, tuple[float, ...]]
    told: list[Epoch]
    notes: list[str]


class Pieces:
    """The rows of a table that is not held, four at a time, from a place on that the seed decides."""

    rows, classes = (12, 0, 0), None

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def training(self, seed: int) -> Iterator[Side]:
        for piece in torch.split(torch.roll(torch.arange(12), seed % 12), 4):
            part = self._rows.take(piece)
            yield Side(features=part.features.numpy(), values=part.targets.numpy())

    def test(self) -> Iterator[Side]:
        yield from ()

    def read(self, side: Side) -> Rows:
        return Rows(features=torch.from_numpy(side.features), targets=torch.from_numpy(side.values))


def train_one(
    checkpointing: Checkpointing = BEGINS_ANEW,
    *,
    stream: bool = False,
    normalizes: bool = False,
    max_points: int = 5,
    **settings: Any,
) -> Outcome:
    """Twelve rows, in batches of five: three steps in each of seven epochs, some of which the curves leave out."""
    asked = Hyperparameters(**{"epochs": 7, "batch_size": 5, "l1": 0.001, **settings})
    features = torch.linspace(-1, 1, 24).reshape(12, 2)
    rows = Rows(features=features, targets=(features[:, 0] > 0.3).long(), weights=torch.linspace(0.5, 1.5, 12))
    pieces = Pieces(rows)
    streamed = StreamedRows(pieces, pieces.read, shape=(2,), device="cpu", buffer_bytes=48)
    recorder, told = CurveRecorder(metric="accuracy", max_points=max_points), list[Epoch]()
    with seeded(3, "cpu") as generator:
        channels = (nn.Unflatten(1, (6, 1, 1)), ChannelNorm(6), nn.Flatten()) if normalizes else ()
        module = nn.Sequential(nn.Linear(2, 6), *channels, nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 2))
        for parameter in module.parameters():
            nn.init.uniform_(parameter, -1, 1, generator=generator)
        best = train_module(
            module,
            objective=OBJECTIVES[Loss.CROSS_ENTROPY],
            train=streamed if stream else rows,
            validation=Rows(features=features[::3] + 0.1, targets=rows.targets[::3]),
            settings=asked,
            generator=generator,
            observe=told.append,
            augments=build_augments(asked.augmentation, classes=2),
            recorder=recorder,
            checkpointing=checkpointing,
        )
    return Outcome(module.state_dict(), best, recorder.curves, told, list(checkpointing.notes))


def train_three(checkpointing: Checkpointing = BEGINS_ANEW) -> Outcome:
    """Three members on ten to twelve of 15 rows, in batches of about four: three steps in each of five epochs."""
    features = torch.linspace(-1, 1, 30).reshape(15, 2)
    places = torch.arange(15)
    kept_places = [places[one::4] for one in range(3)]
    learned = [places[~torch.isin(places, kept)] for kept in kept_places]
    recorder, told = CurveRecorder(metric="accuracy"), list[Epoch]()
    with seeded(3, "cpu") as generator:
        layers = [MemberLinear(3, 2, 6), MemberLinear(3, 6, 1)]
        for layer in layers:
            layer.draw(generator, share=1.0)
        module = nn.Sequential(MemberScale(3, 2), layers[0], nn.SiLU(), nn.Dropout(0.3), layers[1])
        train_members(
            module,
            data=MemberData(features=features, targets=(features[:, 0] > 0.1).float(), weights=torch.ones(15)),
            learned=MemberRows.of(learned),
            kept=MemberRows.of(kept_places),
            objective=MEMBER_OBJECTIVES[Loss.BINARY_CROSS_ENTROPY],
            plan=Plan(members=3, epochs=5, batch=4, learning_rate=0.05),
            generator=generator,
            observe=told.append,
            recorder=recorder,
            checkpointing=checkpointing,
        )
    return Outcome(module.state_dict(), None, recorder.curves, told, list(checkpointing.notes))


@cache
def undisturbed(train: Callable[[Checkpointing], Outcome]) -> Outcome:
    """A training that is not interrupted, which ends the same each time."""
    return train(BEGINS_ANEW)


def assert_same(found: Outcome, expected: Outcome) -> None:
    assert found.state.keys() == expected.state.keys()
    for name, tensor in expected.state.items():
        assert torch.equal(found.state[name], tensor), name
    assert (found.best, found.curves, found.notes) == (expected.best, expected.curves, [])
    assert found.told[-1] == expected.told[-1]
    assert found.told == expected.told[-len(found.told) :]


def until_it_ends(shelf: Shelf, train: Callable[[Checkpointing], Outcome]) -> Iterator[Outcome | None]:
    """One process after the other."""
    for _ in range(100):
        try:
            outcome = train(shelf.checkpointing())
        except Killed:
            yield None
        else:
            yield outcome
            return


KINDS: Mapping[str, dict[str, Any]] = {
    "adam": {},
    "momentum": {
        "optimizer": Optimizer(sgd=StochasticGradientDescent(learning_rate=0.1, momentum=0.9, nesterov=True)),
        "gradient_clip_norm": 0.5,
    },
    "rmsprop, plateau": {
        "optimizer": Optimizer(rms_prop=RmsProp(learning_rate=0.1)),
        "schedule": Schedule(plateau=Plateau(patience=1)),
    },
    "adagrad, stairs": {
        "optimizer": Optimizer(ada_grad=AdaGrad(learning_rate=0.1)),
        "schedule": Schedule(step=Stairs(every_epochs=2)),
    },
    "adamw, cosine": {"optimizer": Optimizer(adam_w=AdamW()), "schedule": Schedule(cosine=Cosine(warm_up_epochs=2))},
    "early stopping": {
        "optimizer": Optimizer(adam=Adam(learning_rate=0.5)),
        "early_stopping": EarlyStopping(patience=2),
    },
    "augmented": {
        "augmentation": Augmentation(noise=Noise(), mixup=Mixup()),
        "batch_size": 2,
        "gradient_accumulation": 2,
    },
    "all rows": {"optimizer": Optimizer(gradient_descent=GradientDescent(learning_rate=0.5)), "batch_size": 16},
    "mixed precision": {"precision": Precision.BFLOAT16},
}
FEW: dict[str, Any] = {"epochs": 5, "max_points": 3}
"""Epochs, of trainings that are interrupted at each of their steps: the time grows with their square."""
TRAININGS: Mapping[str, Callable[[Checkpointing], Outcome]] = {
    **{name: partial(train_one, **FEW, **settings) for name, settings in KINDS.items()},
    "members": train_three,
    "stream": partial(train_one, **FEW, stream=True),
    "normalised": partial(train_one, **FEW, normalizes=True, early_stopping=EarlyStopping(patience=2)),
}


STEPS = {"all rows": 1}
"""Of an epoch, where that is not 3."""


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_process_that_is_asked_to_end_after_each_step_ends_as_one_that_is_not(kind: str) -> None:
    train = TRAININGS[kind]
    expected, shelf = undisturbed(train), Shelf(ends=1, every=1000)
    *ended, found = until_it_ends(shelf, train)
    assert found is not None
    assert_same(found, expected)
    epochs, steps = expected.told[-1].number, STEPS.get(kind, 3)
    assert len(ended) == epochs * steps
    places = [epoch for epoch in range(1, epochs + 1) for _ in range(steps)]
    assert shelf.said == [f"train went on from epoch {epoch} of {expected.told[0].of}" for epoch in places]


class Written(Shelf):
    """All that was ever kept in it, one after the other."""

    def __init__(self, every: float) -> None:
        super().__init__(every=every)
        self.contents: list[bytes] = []

    def write(self, name: str, *content: bytes | memoryview) -> None:
        super().write(name, *content)
        self.contents.append(self.kept[name])


@pytest.mark.parametrize("kind", TRAININGS)
def test_each_checkpoint_of_a_process_that_is_gone_leads_to_the_same_end(kind: str) -> None:
    """Some steps after it was written, too: they are made again."""
    train = TRAININGS[kind]
    expected, whole = undisturbed(train), Written(every=4)
    assert_same(train(whole.checkpointing()), expected)
    assert len(whole.contents) > 1
    for content in whole.contents:
        shelf = Shelf(every=4, kept={"train": content})
        assert_same(train(shelf.checkpointing()), expected)
        assert len(shelf.said) == 1


@pytest.mark.parametrize(("kind", "every"), [("adam", 1), ("adam", 4), ("members", 4), ("stream", 4)])
def test_a_process_that_is_killed_at_any_step_goes_on_from_its_last_checkpoint(kind: str, every: int) -> None:
    train = TRAININGS[kind]
    expected = undisturbed(train)
    whole = Shelf(every=every)
    assert_same(train(whole.checkpointing()), expected)
    for step in range(1, whole.ending.steps + 1):
        shelf = Shelf(ends=step, killed=True, every=every)
        with pytest.raises(Killed):
            train(shelf.checkpointing())
        went_on = bool(shelf.kept)
        shelf.ends = 0
        assert_same(train(shelf.checkpointing()), expected)
        assert len(shelf.said) == went_on


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), max_size=6), st.integers(1, 5), st.booleans())
def test_any_interruptions_change_nothing(lives: list[int], every: int, members: bool) -> None:
    train: Callable[[Checkpointing], Outcome] = train_three if members else train_one
    shelf = Shelf(every=every)
    for number, life in enumerate(lives):
        shelf.ends, shelf.killed = life, number % 2 == 0
        try:
            train(shelf.checkpointing())
        except Killed:
            continue
    shelf.ends = 0
    assert_same(train(shelf.checkpointing()), undisturbed(train))


def test_a_training_that_was_over_is_not_trained_again() -> None:
    """Its process was killed while its model was converted."""
    shelf = Shelf()
    expected = train_one(shelf.checkpointing())
    assert_same(train_one(shelf.checkpointing()), expected)
    assert shelf.said == ["train went on from the end of its 7 epochs"]
    assert shelf.ending.steps == 0


def test_nothing_is_kept_of_a_training_that_takes_less_than_an_interval() -> None:
    shelf = Shelf(every=1000)
    train_one(shelf.checkpointing())
    assert not shelf.kept


def test_a_checkpoint_takes_a_twentieth_of_the_time_at_most() -> None:
    """Writing takes ten seconds, as the clock has it."""
    shelf, written = Shelf(every=1), []

    def slow(name: str, *content: bytes | memoryview) -> None:
        shelf.now += 10
        written.append(shelf.now)

    shelf.write = slow  # type: ignore[method-assign]
    train_one(shelf.checkpointing(), epochs=200)
    *under_way, _at_the_end = written
    assert len(under_way) > 2
    assert min(np.diff(under_way)) > 200


def test_each_training_of_a_key_has_its_own() -> None:
    shelf = Shelf()
    train_one(shelf.checkpointing().of("fold-2"), epochs=2)
    train_one(shelf.checkpointing(), epochs=2)
    assert sorted(shelf.kept) == ["fold-2", "train"]


def document_of(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["document"])
    return found


def test_it_is_a_safetensors_file_with_a_document(tmp_path: Any) -> None:
    shelf = Shelf()
    train_one(shelf.checkpointing())
    content = shelf.kept["train"]
    tensors = load(content)
    assert {"module.0.weight", "optimizer.0.0", "best.3", "random.cpu", "random.order"} <= tensors.keys()
    assert tensors["module.0.weight"].shape == (6, 2)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    with safe_open(path, framework="pt") as opened:
        document = Checkpoint.model_validate_json(opened.metadata()["document"])
    assert (document.kind, document.key, document.name) == ("Checkpoint", "abc", "train")
    assert document.modelservice == modelservice.__version__
    assert document.numbers["position.epoch"] == 8


def test_another_number_of_threads_is_noted() -> None:
    shelf = Shelf(ends=4)
    with limited_threads(1), pytest.raises(Killed):
        train_one(shelf.checkpointing())
    shelf.ends = 0
    with limited_threads(2):
        found = train_one(shelf.checkpointing())
    (note,) = found.notes
    assert "threads: 1, torch" in note
    assert "threads: 2, torch" in note
    assert "may end with slightly other weights" in note
    again = train_one(shelf.checkpointing())
    assert len(again.notes) == 1


def test_another_instruction_set_is_noted_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that ends the training is that of its begin; in between there was another one."""
    shelf = Shelf(ends=4)
    for capability in ("AVX512", "AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        with pytest.raises(Killed):
            train_one(shelf.checkpointing())
    shelf.ends = 0
    (note,) = train_one(shelf.checkpointing()).notes
    assert note.count("AVX") == 3


@cache
def content_half_way() -> bytes:
    shelf = Shelf(ends=9)
    with pytest.raises(Killed):
        train_one(shelf.checkpointing())
    return shelf.kept["train"]


def half_way() -> Shelf:
    shelf = Shelf()
    shelf.kept["train"] = content_half_way()
    return shelf


def rewritten(content: bytes, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> bytes:
    """Somebody else's checkpoint: its digest is right."""
    from modelservice.training import checkpoint_file as module  # noqa: PLC0415

    document, tensors = document_of(content), load(content)
    change(document, tensors)
    buffers = [module._buffer(tensors[name]) for name in module._ordered(tensors)]
    said = json.dumps(document)
    metadata = {"document": said, "sha256": module._digest(said, buffers)}
    return b"".join([module._header({"__metadata__": metadata, **module._table(tensors)}), *buffers])


def set_number(name: str, number: Any) -> Callable[[dict[str, Any], dict[str, torch.Tensor]], None]:
    def change(document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        document["numbers"][name] = number

    return change


def set_field(name: str, value: Any) -> Callable[[dict[str, Any], dict[str, torch.Tensor]], None]:
    def change(document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        document[name] = value

    return change


def set_tensor(name: str, tensor: torch.Tensor | None) -> Callable[[dict[str, Any], dict[str, torch.Tensor]], None]:
    def change(document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor

    return change


STRANGERS: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "damaged"),
    "text": (lambda _: b"not a checkpoint", "damaged"),
    "deep": (lambda _: (10**5).to_bytes(8, "little") + b"[" * 10**5, "damaged"),
    "torn": (lambda content: content[:-1], "sha256 differs"),
    "longer": (lambda content: content + b"\0", "sha256 differs"),
    "flipped": (lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:], "sha256 differs"),
    "kind": (lambda content: rewritten(content, set_field("kind", "Manifest")), "expected Checkpoint"),
    "version": (lambda content: rewritten(content, set_field("schemaVersion", "2.0")), "this release reads 1.x"),
    "release": (lambda content: rewritten(content, set_field("modelservice", "9.0")), "of release '9.0'"),
    "key": (lambda content: rewritten(content, set_field("key", "xyz")), "of key 'xyz', this one is 'abc'"),
    "data": (lambda content: rewritten(content, set_field("data", "sha256:1")), "digest of the data 'sha256:1'"),
    "name": (lambda content: rewritten(content, set_field("name", "fold-2")), "of training 'fold-2'"),
    "no machine": (lambda content: rewritten(content, set_field("machines", [])), "is not valid"),
    "loud machine": (
        lambda content: rewritten(
            content,
            set_field("machines", [{"device": "x" * 101, "instructionSet": "AVX2", "threads": 1, "torch": "2"}]),
        ),
        "is not valid",
    ),
    "no numbers": (lambda content: rewritten(content, set_field("numbers", {})), "numbers are not those"),
    "below 0": (lambda content: rewritten(content, set_number("position.steps", -1)), "position.steps cannot be -1"),
    "beyond": (lambda content: rewritten(content, set_number("position.steps", 2**41)), "cannot be 2199023255552"),
    "astronomic": (lambda content: rewritten(content, set_number("position.epoch", 10**400)), "cannot be 1000000"),
    "a share": (lambda content: rewritten(content, set_number("best.epoch", 0.5)), "best.epoch cannot be 0.5"),
    "truth": (lambda content: rewritten(content, set_number("best.epoch", True)), "best.epoch cannot be True"),
    "no number": (lambda content: rewritten(content, set_number("best.loss", float("nan"))), "best.loss cannot be nan"),
    "missing": (lambda content: rewritten(content, set_tensor("module.0.bias", None)), "tensors are not those"),
    "further": (lambda content: rewritten(content, set_tensor("x", torch.zeros(1))), "tensors are not those"),
    "shape": (
        lambda content: rewritten(content, set_tensor("module.0.bias", torch.zeros(3, 2))),
        "tensors are not those",
    ),
    "dtype": (
        lambda content: rewritten(content, set_tensor("module.0.bias", torch.zeros(6, dtype=torch.int64))),
        "tensors are not those",
    ),
    "after the end": (
        lambda content: rewritten(content, set_number("position.epoch", 9)),
        "position.epoch cannot be 9 of 7",
    ),
    "before the begin": (
        lambda content: rewritten(content, set_number("position.epoch", 0)),
        "position.epoch cannot be 0 of 7",
    ),
    "step too many": (
        lambda content: rewritten(content, set_number("position.steps", 4)),
        "position.steps cannot be 4 of 3",
    ),
    "best after the end": (
        lambda content: rewritten(content, set_number("best.epoch", 8)),
        "best.epoch cannot be 8 of 7",
    ),
    "curves of nothing": (
        lambda content: rewritten(content, set_tensor("curves.points", torch.full((5, 5), torch.nan).double())),
        "curves.points has numbers that are none",
    ),
    "endless curves": (
        lambda content: rewritten(content, set_tensor("curves.points", torch.full((5, 5), torch.inf).double())),
        "curves.points has numbers that are none, or infinite",
    ),
    "last of nothing": (
        lambda content: rewritten(content, set_tensor("curves.last", torch.full((5,), torch.nan).double())),
        "curves.last cannot be epoch nan of nan",
    ),
    "last beyond": (
        lambda content: rewritten(content, set_tensor("curves.last", torch.tensor([9.0, 7, 0, 0, 0]).double())),
        "curves.last cannot be epoch 9 of 7",
    ),
    "half an epoch": (
        lambda content: rewritten(content, set_tensor("curves.last", torch.tensor([1.5, 7, 0, 0, 0]).double())),
        "curves.last cannot be epoch 1.5 of 7",
    ),
    "weights of nothing": (
        lambda content: rewritten(content, set_tensor("module.0.bias", torch.full((6,), torch.nan))),
        "module.0.bias has numbers that are none",
    ),
    "endless weights": (
        lambda content: rewritten(content, set_tensor("module.0.bias", torch.full((6,), torch.inf))),
        "module.0.bias has numbers that are none, or infinite",
    ),
    "moments of nothing": (
        lambda content: rewritten(content, set_tensor("optimizer.1.1", torch.full((6,), torch.nan))),
        "optimizer.1.1 has numbers that are none",
    ),
    "begin of an epoch": (
        lambda content: rewritten(content, set_tensor("position.begin", torch.full((5056,), 255, dtype=torch.uint8))),
        "position.begin is no state of a generator",
    ),
    "generator": (
        lambda content: rewritten(content, set_tensor("random.cpu", torch.full((5056,), 255, dtype=torch.uint8))),
        "no generator of random numbers",
    ),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_is_no_checkpoint_of_this_training_is_never_used(stranger: str) -> None:
    change, words = STRANGERS[stranger]
    shelf = half_way()
    shelf.kept["train"] = change(shelf.kept["train"])
    shelf.every = 1000
    assert_same(train_one(shelf.checkpointing()), undisturbed(train_one))
    (said,) = shelf.said
    assert said.startswith("a checkpoint of train is not used: ")
    assert words in said


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_no_flipped_byte_is_trusted_or_ends_the_training(place: int, flip: int) -> None:
    shelf = half_way()
    content = bytearray(shelf.kept["train"])
    content[place % len(content)] ^= flip
    shelf.kept["train"] = bytes(content)
    assert_same(train_one(shelf.checkpointing()), undisturbed(train_one))


def test_another_network_is_another_training() -> None:
    shelf = half_way()
    found = train_three(shelf.checkpointing())
    assert_same(found, undisturbed(train_three))
    assert "numbers are not those" in shelf.said[0] or "tensors are not those" in shelf.said[0]


def test_a_machine_says_itself_in_words() -> None:
    machine = Machine(device="cpu", instruction_set="AVX2", threads=2, torch="2.15.0")
    assert str(machine) == "cpu, AVX2, threads: 2, torch 2.15.0"


def test_an_end_that_was_asked_for_twice_is_not_put_off() -> None:
    interruption, reached = Interruption(Killed), []

    def work() -> None:
        with interruption.put_off():
            interruption.ask()
            reached.append("put off")
            interruption.ask()
            reached.append("never")

    with pytest.raises(Killed):
        work()
    assert reached == ["put off"]


def test_an_end_comes_at_once_outside_and_at_the_latest_behind() -> None:
    with pytest.raises(Killed):
        Interruption(Killed).ask()
    interruption, reached = Interruption(Killed), []

    def work() -> None:
        with interruption.put_off():
            with interruption.put_off():
                interruption.ask()
            reached.append("behind the inner one")
        reached.append("never")

    with pytest.raises(Killed):
        work()
    assert reached == ["behind the inner one"]
    interruption = Interruption(Killed)
    with interruption.put_off():
        pass
    interruption.obey()
