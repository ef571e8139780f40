"""Which GPU a process takes, where there is one for each."""

import pytest
import torch

from modelservice.contract.failure import StageError
from modelservice.training.joining import _take_gpu
from modelservice.training.peers import rank_of


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    _take_gpu(1, processes=2)
    assert taken == [1]
    with pytest.raises(StageError, match="4 processes train here, and torch sees 2 GPUs") as caught:
        _take_gpu(3, processes=4)
    assert (caught.value.reason, caught.value.field) == ("GpuNotVisible", "spec.training.workers")


def test_a_process_that_no_agent_started_has_no_rank() -> None:
    assert rank_of({"RANK": "1"}) is None
    assert rank_of({"RANK": "1", "TORCHELASTIC_RUN_ID": "a"}) == 1
