"""Which processes train an order, and what the one that starts them says where it cannot."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from modelservice.contract.data import ConfigMapSource, Data
from modelservice.contract.estimators import SupportVectorMachine
from modelservice.contract.failure import Failure
from modelservice.contract.model import Model
from modelservice.contract.networks import MultilayerPerceptron
from modelservice.contract.places import CPU_LIMIT_ENV, GPUS_ENV, RENDEZVOUS_ENV, WORKER_ENV
from modelservice.contract.report import Report
from modelservice.contract.work_order import TrainWork, WorkOrder
from modelservice.stages import agent
from modelservice.stages.agent import run_team, share_threads, team_of
from modelservice.stages.failures import TerminatedError
from modelservice.stages.run import Places, report_error
from modelservice.stages.threads import THREADS_ENV
from modelservice.training.launching import PeerMissingError, Team
from modelservice.training.peers import PeerLostError

MLP = Model(mlp=MultilayerPerceptron())
SVM = Model(svm=SupportVectorMachine())
TEAM = Team(name="abc", workers=2, worker=1, processes=2, host="zero", port=29400)


def order(tmp_path: Path, *, model: Model = MLP, **work: Any) -> Path:
    """The mounted order of a training."""
    data = Data(config_map=ConfigMapSource(name="t"), target="y")
    asked = WorkOrder(
        name="a", namespace="b", key="abc", artifact="/x/abc", work=TrainWork(data=data, model=model, **work)
    )
    path = tmp_path / "order.json"
    path.write_text(asked.model_dump_json(exclude_none=True), encoding="utf-8")
    return path


def test_one_worker_without_gpus_trains_by_itself(tmp_path: Path) -> None:
    assert team_of(order(tmp_path), {}) is None
    assert team_of(order(tmp_path), {GPUS_ENV: "1"}) is None


def test_there_is_a_process_for_each_gpu_of_each_pod(tmp_path: Path) -> None:
    there = {WORKER_ENV: "1", GPUS_ENV: "2", RENDEZVOUS_ENV: "zero"}
    assert team_of(order(tmp_path, workers=2), there) == TEAM
    zero = team_of(order(tmp_path, workers=2), {**there, WORKER_ENV: "0"})
    assert zero is not None
    assert zero.host == "127.0.0.1", "its own name may come to DNS after it"
    alone = team_of(order(tmp_path), {GPUS_ENV: "2"})
    assert alone is not None
    assert (alone.workers, alone.processes) == (1, 2)


def test_a_family_without_steps_has_one_process_whatever_gpus_there_are(tmp_path: Path) -> None:
    assert team_of(order(tmp_path, model=SVM), {GPUS_ENV: "2"}) is None


def test_a_process_that_was_started_starts_no_others(tmp_path: Path) -> None:
    assert team_of(order(tmp_path, workers=2), {"TORCHELASTIC_RUN_ID": "abc", "RANK": "0"}) is None


def test_an_order_that_cannot_be_read_is_said_by_who_works_on_it(tmp_path: Path) -> None:
    assert team_of(tmp_path / "order.json", {}) is None


@pytest.mark.parametrize(("said", "expected"), [("4", "2"), ("1", "1")])
def test_processes_share_the_threads_of_their_pod(said: str, expected: str) -> None:
    environment = {THREADS_ENV: said}
    share_threads(environment, processes=2)
    assert environment == {THREADS_ENV: expected}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PeerMissingError([0], 2, 600), "PeerMissing"), (RuntimeError("store timeout"), "PeerLost")],
)
def test_who_does_not_come_or_answer_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(agent, "meet", fails)
    where, out = Places(order=tmp_path / "order.json", report=tmp_path / "report"), io.StringIO()
    assert run_team(TEAM, where=where, environment={CPU_LIMIT_ENV: "2"}, out=out) == 75
    result = Report.model_validate_json(where.report.read_text()).result
    assert isinstance(result, Failure)
    assert result.reason == reason
    assert json.loads(out.getvalue())["reason"] == reason


@pytest.mark.parametrize("later", [PeerLostError(), TerminatedError()], ids=["lost", "asked to end"])
def test_the_process_that_failed_first_is_believed(tmp_path: Path, later: BaseException) -> None:
    where, out = Places(report=tmp_path / "report"), io.StringIO()
    report_error(where, MemoryError(), out)
    said = where.report.read_text()
    report_error(where, later, out)
    assert where.report.read_text() == said
    where.report.unlink()
    report_error(where, later, out)
    assert where.report.exists()
