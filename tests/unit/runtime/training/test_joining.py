"""Which GPU a process takes, where there is one for each."""

import pytest
import torch

from modelservice.contract.failure import StageError
from modelservice.contract.places import GPUS_ENV
from modelservice.training.joining import _take_gpu
from modelservice.training.peers import rank_of


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    _take_gpu({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
    assert taken == [1]


@pytest.mark.parametrize(
    ("granted", "said", "field"),
    [
        ({}, "4 processes train here, and torch sees 1 GPU: set --workers", "spec.training.workers"),
        (
            {GPUS_ENV: "4"},
            "the pod holds 4 GPUs and torch sees 1 GPU, .* by spec.training.workers",
            "spec.training.resources",
        ),
    ],
)
def test_who_sees_too_few_says_what_applies_where_it_is(
    granted: dict[str, str], said: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(StageError, match=said) as caught:
        _take_gpu({"LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "4", **granted})
    assert (caught.value.reason, caught.value.field) == ("GpuNotVisible", field)


def test_a_process_that_no_agent_started_has_no_rank() -> None:
    assert rank_of({"RANK": "1"}) is None
    assert rank_of({"RANK": "1", "TORCHELASTIC_RUN_ID": "a"}) == 1
