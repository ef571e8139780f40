"""Data in ConfigMaps: read where it cannot hold up the operator, and at most as often as it changes."""

import asyncio
import base64
import gzip
import threading
from typing import Any

import pytest
from tests.support.fake_kube import FakeClock, FakeKube
from tests.support.world import NAMESPACE

from modelservice.contract.digests import joined
from modelservice.contract.keys import content_digest
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator import data_source
from modelservice_operator.data_source import DataSource
from modelservice_operator.data_watch import DATA_WATCH, DataWatch
from modelservice_operator.domain.data import DataState
from modelservice_operator.kinds import CONFIG_MAP
from modelservice_operator.machinery.errors import Forbidden, Transient
from modelservice_operator.objects import Key, Ref

PATIENCE = 2.0
ASKER = Key(NAMESPACE, "churn")
SPEC = ModelServiceSpec.model_validate({"data": {"configMap": {"name": "churn"}, "target": "t"}, "model": {"mlp": {}}})


class Source:
    """A ``DataSource`` on a Kubernetes in memory, asked by one ModelService."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.kube = FakeKube(self.clock)
        self.told: list[Key] = []
        self.source = DataSource(kube=self.kube, clock=self.clock, on_change=self.told.append)

    def store(self, **content: dict[str, str]) -> None:
        metadata = {"name": "churn", "namespace": NAMESPACE}
        self.kube.store({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content})

    def glance(self) -> DataState | None:
        """What a pass reads."""
        return self.source.read(ASKER, SPEC, patience=PATIENCE)

    def read(self) -> DataState:
        """What a pass reads once all that is due was asked."""
        self.glance()
        asyncio.run(self.source.lookups.ask_due())
        found = self.glance()
        assert found is not None
        return found

    def tell(self) -> None:
        """What the watch of all ConfigMaps tells."""
        (found,) = self.kube.objects.values()
        DataWatch(self.source).put(CONFIG_MAP, found)

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
    source.tell()
    assert source.read().digest != first.digest
    assert source.full_reads() == 2
    source.tell()
    source.read()
    assert source.full_reads() == 2, "what is told again is known"


def test_what_happened_while_nobody_watched_is_seen_in_the_next_list() -> None:
    source = Source()
    source.store(data={"a.csv": "1"})
    source.read()
    ref, watch = Ref(CONFIG_MAP, NAMESPACE, "churn"), DataWatch(source.source)
    uid = source.kube.objects[ref]["metadata"]["uid"]
    del source.kube.objects[ref]
    reads = len(source.kube.reads)
    for namespace, listed in ((None, {uid}), ("another", set[str]())):
        watch.leave_out(DATA_WATCH, namespace, listed, 10)
        assert source.read().file == "a.csv"
    assert len(source.kube.reads) == reads, "it was listed, or another namespace was"
    watch.leave_out(DATA_WATCH, NAMESPACE, set(), 10)
    problem: Any = source.read().problem
    assert problem.reason == "ConfigMapNotFound"


def test_a_config_map_that_nobody_reads_is_not_asked_for() -> None:
    source = Source()
    source.store(data={"a.csv": "1"})
    source.tell()
    source.read()
    source.source.forget(ASKER)
    source.store(data={"a.csv": "2"})
    source.tell()
    asyncio.run(source.source.lookups.ask_due())
    assert source.full_reads() == 1
    assert source.source.refs() == ()


def test_a_pass_does_not_wait_for_the_first_answer_and_is_asked_for_when_it_comes() -> None:
    source = Source()
    source.store(data={"a.csv": "1"})
    assert source.glance() is None
    assert source.told == []
    asyncio.run(source.source.lookups.ask_due())
    assert source.told == [ASKER]
    found = source.glance()
    assert found is not None
    assert found.file == "a.csv"


def test_data_that_nobody_came_to_read_for_long_is_said() -> None:
    source = Source()
    source.store(data={"a.csv": "1"})
    source.glance()
    source.clock.seconds += PATIENCE
    found = source.glance()
    assert found is not None
    assert found.problem is not None
    assert (found.problem.reason, found.problem.waits_for_change) == ("DataNotRead", False)


def asked(source: Source, *, key: str | None = "a.csv", **files: str) -> DataState:
    """What is known of a ConfigMap of which some keys are test or validation rows."""
    config_map = {"name": "churn"} | ({} if key is None else {"key": key})
    data = {"configMap": config_map, "target": "t", "split": {"files": files}}
    spec = ModelServiceSpec.model_validate({"data": data, "model": {"mlp": {}}})
    source.source.read(ASKER, spec, patience=PATIENCE)
    asyncio.run(source.source.lookups.ask_due())
    found = source.source.read(ASKER, spec, patience=PATIENCE)
    assert found is not None
    return found


def test_keys_of_single_sides_are_mounted_and_count_like_the_data() -> None:
    digests = []
    for test in ("2", "3"):
        source = Source()
        source.store(data={"a.csv": "1", "test.csv": test, "other.csv": "4"})
        found = asked(source, test="test.csv")
        assert found.volume is not None
        assert [item["key"] for item in found.volume["configMap"]["items"]] == ["a.csv", "test.csv"]
        assert found.digest == found.content_digest == joined([content_digest(b"1"), content_digest(test.encode())])
        digests.append(found.digest)
    assert digests[0] != digests[1]


def test_the_only_key_that_is_no_side_is_the_data_s() -> None:
    source = Source()
    source.store(data={"a.csv": "1", "test.csv": "2"})
    assert asked(source, key=None, test="test.csv").file == "a.csv"
    problem: Any = asked(source, key=None, test="none.csv").problem
    assert problem.reason == "KeyNotClear"
    assert "has the keys a.csv, test.csv: name one in spec.data.configMap.key" in problem.message


def test_a_key_of_a_side_that_is_not_there_is_said() -> None:
    source = Source()
    source.store(data={"a.csv": "1", "test.csv": "2"})
    problem: Any = asked(source, test="test.csv", validation="valid.csv").problem
    assert (problem.reason, problem.waits_for_change) == ("KeyNotFound", True)
    assert (
        "no key 'valid.csv': change spec.data.split.files.validation; its keys are: a.csv, test.csv" in problem.message
    )


def test_only_the_key_that_is_meant_is_digested(monkeypatch: pytest.MonkeyPatch) -> None:
    digested = []

    def digest(content: bytes) -> str:
        digested.append(content)
        return content_digest(content)

    monkeypatch.setattr(data_source, "content_digest", digest)
    source = Source()
    source.store(data={"a.csv": "1"}, binaryData={"huge.gz": base64.b64encode(b"2").decode()})
    named = {"data": {"configMap": {"name": "churn", "key": "a.csv"}, "target": "t"}, "model": {"mlp": {}}}
    spec = ModelServiceSpec.model_validate(named)
    source.source.read(ASKER, spec, patience=PATIENCE)
    asyncio.run(source.source.lookups.ask_due())
    found = source.source.read(ASKER, spec, patience=PATIENCE)
    assert found is not None
    assert found.digest == content_digest(b"1")
    assert digested == [b"1"]


def test_what_was_read_stays_true_while_the_apiserver_does_not_answer() -> None:
    source = Source()
    source.store(data={"a.csv": "1"})
    first = source.read()
    source.kube.failures = {("get", "ConfigMap"): Transient("etcdserver: leader changed")}
    source.store(data={"a.csv": "2"})
    source.tell()
    assert source.read() == first
    source.kube.failures = {}
    source.clock.seconds += 5
    assert source.read().digest != first.digest


@pytest.mark.parametrize("error", [Transient("etcdserver: leader changed"), Forbidden("configmaps is forbidden")])
def test_a_read_that_fails_is_said_and_heals(error: Transient | Forbidden) -> None:
    source = Source()
    source.store(data={"a.csv": "1"})
    source.kube.failures = {("get", "ConfigMap"): error}
    problem = source.read().problem
    assert problem is not None
    assert problem.reason == "DataUnavailable"
    assert str(error) in problem.message
    source.kube.failures = {}
    source.clock.seconds += 5
    assert source.read().file == "a.csv"


def test_what_nobody_asks_for_any_more_is_not_read() -> None:
    source = Source()
    source.store(data={"a.csv": "1"})
    source.read()
    source.source.forget(ASKER)
    source.store(data={"a.csv": "2"})
    source.clock.seconds += 60
    asyncio.run(source.source.lookups.ask_due())
    assert source.full_reads() == 1
