"""Two processes, over gloo, come to what one comes to: with all weights each, with parts of them, and interrupted."""

import pytest
import torch
from tests.support.ranks import (
    MIXED,
    Memory,
    Outcome,
    Stopped,
    beside,
    data,
    interrupted,
    members,
    mixed,
    resumed,
    sharded,
    stopped,
    train_one,
    train_three,
)
from torch import distributed

from modelservice.training.data_parallel import lost_peers
from modelservice.training.peers import PeerLostError
from modelservice.training.ranks import ALONE, current, trains_in

CLOSE = 1e-5
ROUNDED = 2**-7
"""bfloat16 has eight bits: sums of shares are rounded otherwise than sums of the whole."""


def assert_close(found: Outcome, expected: Outcome, *, close: float = CLOSE) -> None:
    assert found.best == expected.best
    assert found.state.keys() == expected.state.keys()
    for name, tensor in expected.state.items():
        torch.testing.assert_close(found.state[name], tensor, atol=close, rtol=0)
    for ours, theirs in zip(found.told, expected.told[-len(found.told) :], strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=close)
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, abs=close)


@pytest.mark.filterwarnings("default")  # torch's own, of what it imports for DTensors
def test_two_processes_come_to_what_one_comes_to() -> None:
    """One story, since each process takes seconds to start."""
    one, three, rounded = train_one(ALONE), train_three(ALONE), train_one(ALONE, settings=MIXED)
    with beside() as ranks:
        assert_close(data(ranks), one)
        assert_close(members(ranks), three)
        assert_close(sharded(ranks), one)
        for outcome in mixed(ranks):
            assert_close(outcome, rounded, close=ROUNDED)
            assert {tensor.dtype for tensor in outcome.state.values()} == {torch.float32}
        error, memory = stopped(ranks)
        assert isinstance(error, PeerLostError)
        assert "asked to end" in error.message
        assert_close(resumed(ranks), one)
        with pytest.raises(PeerLostError, match="from the last checkpoint"):
            data(ranks)  # which the other process does not any more
    checkpointing = memory.checkpointing()
    assert_close(train_one(ALONE, checkpointing), one)
    (note,) = checkpointing.notes
    assert "processes: 2" in note


def test_one_that_is_asked_ends_by_its_own_error() -> None:
    ranks = type("Second", (type(ALONE),), {"rank": 1})()
    assert isinstance(interrupted(ranks, Memory()), Stopped)


def test_the_current_group_is_the_innermost() -> None:
    assert current() is ALONE
    other = type(ALONE)()
    with trains_in(other) as ranks:
        assert current() is ranks is other
    assert current() is ALONE


def test_what_is_no_broken_connection_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"), lost_peers():
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(RuntimeError, match="out of memory"), lost_peers():
        raise distributed.DistBackendError("NCCL error: unhandled cuda error: Cuda failure 2 'out of memory'")
    with pytest.raises(PeerLostError), lost_peers():
        raise RuntimeError("[pair.cc:534] Connection closed by peer [10.0.0.3]:42142")
