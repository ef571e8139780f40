"""Stages that fetch their data from a store: in a pod with two stores, and on a laptop."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.identity_server import KEY_ID, POD_TOKEN, IdentityServer
from tests.support.object_server import ObjectServer, object_server, running
from tests.support.samples import SAMPLES, objects, sample_table
from tests.unit.runtime.stages.pipelines import IRIS, run_pod, train_work

import modelservice
from modelservice.contract.data import Data
from modelservice.contract.failure import About, Failure, Retry
from modelservice.contract.keys import content_digest, train_key
from modelservice.contract.report import Success
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import TrainWork
from modelservice.modalities import objects as objects_module
from modelservice.stages.data_variables import data_variables

CONTENT = IRIS.read_bytes()
URI = "s3://tables/2026/iris.csv"
PREFIX = "MODELSERVICE_DATA_"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with object_server(monkeypatch) as server:
        server.objects["tables/2026/iris.csv"] = CONTENT
        yield server


def say(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, prefix: str = "") -> None:
    for name, value in variables.items():
        monkeypatch.setenv(prefix + name, value)


def uri_work(**data: Any) -> TrainWork:
    given = Data.model_validate({"uri": URI, "target": "species", **data})
    return train_work().model_copy(update={"data": given, "data_file": None})


def run(root: Path, work: TrainWork) -> Success | Failure:
    return run_pod(root, work, data=root / "nothing")


def test_a_pod_fetches_what_nothing_is_mounted_for(
    store: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    say(monkeypatch, store.variables())
    result = run(tmp_path, uri_work())
    assert isinstance(result, Success)
    assert result.data is not None
    assert (result.data.rows, result.data.sha256) == (150, content_digest(CONTENT))
    assert store.asked == ["tables/2026/iris.csv"]


def test_a_pod_without_keys_is_who_its_service_account_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    server = IdentityServer(CONTENT)
    with running(server, monkeypatch):
        say(monkeypatch, server.variables("EKS Pod Identity", tmp_path / "token"))
        assert isinstance(run(tmp_path, uri_work()), Success)
    assert server.asked == [("/v1/credentials", POD_TOKEN)]
    assert set(server.shown) == {KEY_ID}


def test_objects_of_single_sides_are_opened_by_the_same_secret(
    store: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    say(monkeypatch, store.variables("of-data"), prefix=PREFIX)
    store.objects["tables/held-back/1.csv"] = CONTENT
    files = {"test": "s3://tables/held-back/*.csv"}
    work = uri_work(secretRef={"name": "tables"}, split={"files": files})
    result = run(tmp_path, work)
    assert isinstance(result, Success)
    assert result.evaluation is not None
    assert result.evaluation.rows == 150
    assert set(store.access_keys) == {"of-data"}
    del store.objects["tables/held-back/1.csv"]
    (tmp_path / "again").mkdir()
    refused = run(tmp_path / "again", work)
    assert isinstance(refused, Failure)
    assert (refused.reason, refused.field) == ("DataNotFound", "spec.data.split.files.test")


def test_the_sample_trains_where_its_secret_opens_the_bucket(
    store: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sample = SAMPLES / "bucket" / "modelservice.yaml"
    (secret,) = (one for one in objects(sample) if one["kind"] == "Secret")
    assert store.variables().keys() <= {*secret["stringData"], "AWS_ALLOW_HTTP"}
    say(monkeypatch, store.variables())
    store.objects = {"tables/iris/iris.csv": sample_table(sample), "tables/other.csv": b""}
    predictor = modelservice.train(sample, output=tmp_path / "iris")
    assert predictor.predict([[5.1, 3.5, 1.4, 0.2]]) == ["setosa"]


def test_the_secret_of_the_data_is_used_for_the_data_alone(
    store: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    say(monkeypatch, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_SESSION_TOKEN": "of artifacts"})
    say(monkeypatch, store.variables("of-data"), prefix=PREFIX)
    before = dict(os.environ)
    assert isinstance(run(tmp_path, uri_work(secretRef={"name": "tables"})), Success)
    assert store.access_keys == ["of-data"]
    assert dict(os.environ) == before


def test_a_store_that_is_away_is_asked_again_by_the_next_pod(
    store: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    say(monkeypatch, store.variables())
    store.refusals = [(503, "SlowDown")]
    result = run(tmp_path, uri_work())
    assert isinstance(result, Failure)
    assert (result.reason, result.about, result.retry) == ("DataUnavailable", About.STORAGE, Retry.SOON)
    assert isinstance(run(tmp_path, uri_work()), Success)


def test_what_is_stored_already_is_not_fetched_again(
    store: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    say(monkeypatch, store.variables())
    first = run(tmp_path, uri_work())
    store.objects.clear()
    second = run(tmp_path, uri_work())
    assert isinstance(first, Success)
    assert isinstance(second, Success)
    assert second.digest == first.digest


def test_rights_that_are_missing_wait_for_a_change(
    store: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    say(monkeypatch, store.variables())
    store.refusals = [(403, "AccessDenied")]
    result = run(tmp_path, uri_work())
    assert isinstance(result, Failure)
    assert (result.reason, result.field, result.exit_code) == ("DataForbidden", "spec.data.secretRef", 65)


def test_an_order_for_a_file_must_name_it(tmp_path: Path) -> None:
    result = run(tmp_path, train_work().model_copy(update={"data_file": None}))
    assert isinstance(result, Failure)
    assert result.reason == "OrderInvalid"


def test_a_laptop_fetches_the_same(store: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    say(monkeypatch, store.variables("of-my-shell"))
    spec = {
        "data": {"uri": URI, "secretRef": {"name": "tables"}, "target": "species"},
        "model": {"mlp": {"hiddenLayers": [8]}},
        "training": {"epochs": 2},
    }
    described = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "iris"},
        "spec": spec,
    }
    (tmp_path / "iris.yaml").write_text(yaml.safe_dump(described))
    predictor = modelservice.train(tmp_path / "iris.yaml", output=tmp_path / "model")
    assert predictor.manifest.key == train_key(ModelServiceSpec.model_validate(spec), content_digest(CONTENT))
    assert store.access_keys == ["of-my-shell"]
    store.objects.clear()
    assert modelservice.train(tmp_path / "iris.yaml", IRIS, tmp_path / "copy").digest == predictor.digest


@pytest.mark.parametrize("given", [{}, {"AWS_REGION": "a", "HOME": "/h"}])
def test_variables_stay_where_the_data_has_none(given: dict[str, str]) -> None:
    environment = dict(given)
    with data_variables(environment):
        assert environment == given
    assert environment == given


def test_variables_of_the_data_take_the_place_of_all_of_a_store() -> None:
    before = {"AWS_REGION": "a", "GOOGLE_BUCKET": "b", "AZURE_CLIENT_ID": "c", "HOME": "/h", "HTTPS_PROXY": "p"}
    before |= {f"{PREFIX}AWS_REGION": "d", f"{PREFIX}HTTPS_PROXY": "q", f"{PREFIX}SSL_CERT_FILE": "/f"}
    environment = dict(before)
    with data_variables(environment):
        own = {name: value for name, value in environment.items() if not name.startswith(PREFIX)}
        assert own == {"AWS_REGION": "d", "HOME": "/h", "HTTPS_PROXY": "q", "SSL_CERT_FILE": "/f"}
    assert environment == before


def test_variables_come_back_after_an_error() -> None:
    environment = {"AWS_REGION": "a", f"{PREFIX}AWS_REGION": "b"}
    with pytest.raises(KeyError), data_variables(environment):
        raise KeyError
    assert environment == {"AWS_REGION": "a", f"{PREFIX}AWS_REGION": "b"}
