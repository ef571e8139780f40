"""What a GPU without room says: torch's error is raised here, since most machines have no GPU to fill."""

from types import SimpleNamespace

import pytest
import torch

from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import StageError
from modelservice.contract.precision import Precision
from modelservice.training.device_memory import within_device_memory


@pytest.fixture(autouse=True)
def small_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 16 GiB."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=2**34))


def fill() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 140.00 GiB.")


def test_it_names_the_batch_and_what_takes_less_memory() -> None:
    with pytest.raises(StageError) as said, within_device_memory(Precision.FLOAT32, rows=65_536):
        fill()
    failure = said.value.failure()
    assert failure.message == (
        "batches of 65,536 rows do not fit into the 16 GiB of the GPU, computed in Float32: lower"
        " spec.training.batchSize, set spec.training.precision to BFloat16, or choose a larger GPU by"
        " spec.training.nodeSelector"
    )
    assert (failure.reason, failure.field) == ("OutOfMemory", "spec.training.batchSize")
    assert failure.exit_code == ExitCode.ORDER_INVALID


def test_mixed_precision_is_no_remedy_where_it_is_set_and_an_encoder_has_fields_of_its_own() -> None:
    section = "spec.model.encoder.fineTune"
    with pytest.raises(StageError) as said, within_device_memory(Precision.BFLOAT16, rows=16, section=section):
        fill()
    assert said.value.field == f"{section}.batchSize"
    assert "precision" not in said.value.message


def test_a_step_on_all_rows_has_no_batch_that_could_be_smaller() -> None:
    with pytest.raises(StageError) as said, within_device_memory(Precision.BFLOAT16, rows=70_000, all_at_once=True):
        fill()
    assert said.value.field == "spec.training.optimizer"
    assert "take sgd in place of gradientDescent in spec.training.optimizer" in said.value.message
    assert "lower" not in said.value.message


def test_other_errors_are_left_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), within_device_memory(Precision.FLOAT32, rows=1):
        raise RuntimeError("shape")
