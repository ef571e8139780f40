"""The table: a change of it trains again, a wrong one is said, and nothing is tried for ever."""

import pytest
from tests.e2e.stories import TABLE
from tests.support import object_store
from tests.support.e2e import Object, Space, condition, config_map, eventually, model_service, says
from tests.support.samples import SAMPLES, sample_table
from tests.support.samples import model_service as sample_service
from tests.support.tables import IRIS

from modelservice_operator.kinds import CONTROLLER_REVISION, JOB

pytestmark = pytest.mark.cluster

WRONG = {
    "missing target": (IRIS.replace("species", "kind", 1), "TargetNotFound", ("species", "spec.data.target")),
    "empty file": ("", "EmptyTable", ("empty", "spec.data.configMap")),
    "text in a number column": (IRIS.replace("5.1,", "wide,", 1), "NotANumber", ("'wide'", "sepal_length", "line 2")),
}


def failed_job(space: Space) -> Object:
    """The one Job, once its controller has given it up; an empty object before."""
    (job,) = space.children(JOB, "flowers")
    ended = {one["type"] for one in job.get("status", {}).get("conditions", ()) if one["status"] == "True"}
    return job if "Failed" in ended else {}


@pytest.mark.story(40, cast=TABLE)
def test_missing_config_map_is_said_and_heals(space: Space) -> None:
    space.apply(model_service("flowers", serving={"replicas": 0}))
    space.wait("flowers", says("ConfigMapNotFound", "'flowers'", "spec.data.configMap.name"), what="misses its table")
    assert space.children(JOB, "flowers") == []
    space.apply(config_map("flowers", IRIS))
    space.wait_ready("flowers")


@pytest.mark.story(120, cast=TABLE)
def test_appended_rows_train_again_and_a_renamed_config_map_does_not(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers", serving={"replicas": 0}))
    first = space.wait_ready("flowers")["status"]
    space.apply(config_map("renamed", IRIS))
    space.patch("flowers", {"data": {"configMap": {"name": "renamed"}}})
    renamed = space.wait_ready("flowers")["status"]
    assert (renamed["key"], [one["number"] for one in renamed["revisions"]]) == (first["key"], [1])
    assert len(space.children(JOB, "flowers")) == 1
    space.apply(config_map("renamed", IRIS + "5.2,3.6,1.5,0.3,setosa\n"))
    space.wait("flowers", lambda one: len(one["status"]["revisions"]) == 2, what="trains on the appended row")
    status = space.wait_ready("flowers")["status"]
    assert status["key"] != first["key"]
    assert [one["rows"] for one in status["revisions"]] == [151, 150]
    assert len(space.children(CONTROLLER_REVISION, "flowers")) == 2


@pytest.mark.story(30)
@pytest.mark.parametrize("what", WRONG)
def test_wrong_table_is_said_and_tried_only_once(space: Space, what: str) -> None:
    table, reason, words = WRONG[what]
    space.apply(config_map("flowers", table), model_service("flowers", serving={"replicas": 0}))
    service = space.wait("flowers", says(reason, *words), what=f"says {reason}")
    assert condition(service, "Stalled")["status"] == "True"
    assert condition(service, "DataReady")["reason"] == reason
    eventually(lambda: space.warned("flowers", reason), what=f"an event {reason}", seconds=60)
    job = eventually(lambda: failed_job(space), what="the Job's end")
    assert job["status"]["failed"] == 1
    assert len(space.pods("flowers", "train")) == 1


@pytest.mark.story(80)
def test_mended_table_is_trained_on(space: Space) -> None:
    table, reason, _ = WRONG["missing target"]
    space.apply(config_map("flowers", table), model_service("flowers", serving={"replicas": 0}))
    space.wait("flowers", says(reason), what=f"says {reason}")
    space.apply(config_map("flowers", IRIS))
    assert [one["number"] for one in space.wait_ready("flowers")["status"]["revisions"]] == [1]


@pytest.mark.story(150)
def test_table_in_a_bucket(space: Space) -> None:
    """The sample: its own Secret opens it; one that may not read is said, and another one heals it."""
    sample = SAMPLES / "bucket" / "modelservice.yaml"
    object_store.make_bucket("tables")
    bucket, uri = object_store.open_bucket("tables"), f"s3://tables/{space.name}/*.csv"
    bucket.put(f"{space.name}/iris.csv", sample_table(sample))
    refused = object_store.secret("tables-of-nobody")
    refused["stringData"] |= {"AWS_SECRET_ACCESS_KEY": "wrong"}
    space.apply(object_store.secret("tables"), refused)

    def flowers(secret: str, **more: str) -> Object:
        described = sample_service(sample)
        described["spec"]["data"] |= {"uri": uri, "secretRef": {"name": secret}, **more}
        described["spec"]["serving"] = {"replicas": 0}
        return described

    name = flowers("tables")["metadata"]["name"]
    space.apply(flowers("tables-of-nobody"))
    service = space.wait(name, says("DataForbidden", uri, "spec.data.secretRef"), what="may not read")
    assert condition(service, "DataReady")["reason"] == "DataForbidden"
    space.apply(flowers("tables"))
    assert [one["rows"] for one in space.wait_ready(name)["status"]["revisions"]] == [150]
    bucket.put(f"{space.name}/one-more.csv", f"{IRIS.splitlines()[0]}\n5.2,3.6,1.5,0.3,setosa\n".encode())
    space.apply(flowers("tables", version="2"))
    space.wait(name, lambda one: len(one["status"]["revisions"]) == 2, what="trains on the appended row")
    assert [one["rows"] for one in space.wait_ready(name)["status"]["revisions"]] == [151, 150]
