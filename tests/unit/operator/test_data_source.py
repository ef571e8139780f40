"""Data in ConfigMaps: read where it cannot hold up the operator, and at most as often as it changes."""

import asyncio
import base64
import gzip
import threading
from typing import Any

import pytest
from tests.support.fake_kube import FakeClock, FakeKube
from tests.support.world import NAMESPACE

from modelservice.contract.keys import content_digest
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator import data_source
from modelservice_operator.data_source import DataSource
from modelservice_operator.domain.data import DataState

SPEC = ModelServiceSpec.model_validate({"data": {"configMap": {"name": "churn"}, "target": "t"}, "model": {"mlp": {}}})


class Source:
    """A ``DataSource`` on a Kubernetes in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.kube = FakeKube(self.clock)
        self.source = DataSource(kube=self.kube, clock=self.clock)

    def store(self, **content: dict[str, str]) -> None:
        metadata = {"name": "churn", "namespace": NAMESPACE}
        self.kube.store({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content})

    def read(self) -> DataState:
        return asyncio.run(self.source.read(NAMESPACE, SPEC))

    def full_reads(self) -> int:
        return sum(verb == "get" for verb, _, _ in self.kube.reads)


def test_contents_are_digested_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def digest(content: bytes) -> str:
        threads.append(threading.current_thread())
        return content_digest(content)

    monkeypatch.setattr(data_source, "content_digest", digest)
    source = Source()
    source.store(data={"a.csv": "a,t\n1,x\n"})
    assert source.read().file == "a.csv"
    assert threading.main_thread() not in threads
    assert threads


@pytest.mark.parametrize("packed", [gzip.compress(b"a,t\n1,x\n", mtime=0), b"a,t\n1,x\n"])
def test_packed_and_plain_are_the_same_data(packed: bytes) -> None:
    source, plain = Source(), Source()
    source.store(binaryData={"a.csv": base64.b64encode(packed).decode()})
    plain.store(data={"a.csv": "a,t\n1,x\n"})
    assert source.read().digest == plain.read().digest


@pytest.mark.parametrize("encoded", ["a", base64.b64encode(gzip.compress(b"a,t\n", mtime=0)[:-9]).decode()])
def test_what_cannot_be_unpacked_is_said(encoded: str) -> None:
    source = Source()
    source.store(binaryData={"a.csv": encoded})
    problem: Any = source.read().problem
    assert problem.reason == "DataUnreadable"
    assert "a.csv" in problem.message


def test_a_config_map_is_read_again_only_when_it_changed() -> None:
    source = Source()
    source.store(data={"a.csv": "1"})
    first = source.read()
    for _ in range(3):
        source.clock.seconds += 60
        assert source.read() == first
    assert source.full_reads() == 1
    source.store(data={"a.csv": "2"})
    source.clock.seconds += 60
    assert source.read().digest != first.digest
    assert source.full_reads() == 2
