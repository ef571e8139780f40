"""The reconciler's stories. Data that pods fetch from a store: no volume, and credentials under names of their own."""

import pytest
from tests.support.world import World

from modelservice.contract.data import ClaimSource
from modelservice.contract.failure import About, Failure, Retry
from modelservice.contract.keys import claim_digest, uri_digest
from modelservice.contract.report import Report
from modelservice_operator.constants import STAGE_CONTAINER
from modelservice_operator.kinds import DEPLOYMENT, JOB, NETWORK_POLICY
from modelservice_operator.objects import Object

DATA: Object = {"uri": "s3://tables/train.csv", "secretRef": {"name": "tables"}, "target": "kind"}
S3 = {"uri": "s3://models/team", "secretRef": {"name": "models"}}
OF_DATA = {"prefix": "MODELSERVICE_DATA_", "secretRef": {"name": "tables"}}
INT8 = {"steps": [{"quantize": {"weights": "Int8"}}]}


def pod(job: Object) -> Object:
    found: Object = job["spec"]["template"]["spec"]
    return found


def train(**spec: Object) -> World:
    """A training under way."""
    world = World()
    world.service(**{"data": DATA, **spec})
    world.settle()
    return world


def test_the_pod_is_told_the_address_and_mounts_nothing() -> None:
    world = train()
    job = world.job()
    work = world.order(job)["work"]
    assert (work["data"]["uri"], "dataFile" in work) == (DATA["uri"], False)
    assert [volume["name"] for volume in pod(job)["volumes"]] == ["order", "artifacts", "tmp"]
    assert "data" not in {mount["name"] for mount in pod(job)["containers"][0]["volumeMounts"]}
    assert [ref for ref in world.kube.reads if ref[1] == "ConfigMap"] == [], "nothing is looked for in the cluster"


def test_secrets_of_data_and_artifacts_do_not_mix() -> None:
    job = train(artifacts=S3, training={"envFrom": [{"secretRef": {"name": "own"}}]}).job()
    of_artifacts, of_user = {"secretRef": {"name": "models"}}, {"secretRef": {"name": "own"}}
    assert pod(job)["containers"][0]["envFrom"] == [of_artifacts, of_user, OF_DATA]


def test_without_a_secret_the_service_account_decides() -> None:
    data = {name: value for name, value in DATA.items() if name != "secretRef"}
    assert "envFrom" not in pod(train(data=data).job())["containers"][0]


def test_both_stages_reach_the_data_and_no_server_does() -> None:
    world = World()
    world.serve(data=DATA, compression=INT8)
    assert world.ready() == ("True", "Serving")
    assert [pod(job)["containers"][0]["envFrom"] for job in world.all(JOB)] == [[OF_DATA], [OF_DATA]]
    assert "envFrom" not in pod(world.one(DEPLOYMENT))["containers"][0]


def test_data_in_a_store_asks_for_no_other_network_policy() -> None:
    world, other = train(), World()
    other.config_map()
    other.service()
    other.settle()
    assert world.one(NETWORK_POLICY)["spec"] == other.one(NETWORK_POLICY)["spec"]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"version": "2"}, True),
        ({"uri": "s3://tables/other.csv"}, True),
        ({"secretRef": {"name": "rotated"}}, False),
    ],
)
def test_what_nobody_sees_change_is_said(change: Object, again: bool) -> None:
    world = World()
    world.serve(data=DATA)
    world.service(data=DATA | change)
    world.settle()
    assert len(world.running_jobs()) == again


def test_another_secret_replaces_a_job_that_may_not_read() -> None:
    world = train()
    before = world.job()
    refused = Failure(reason="DataForbidden", message="no", field="spec.data.secretRef", about=About.DATA)
    world.end_stage(refused)
    world.settle()
    assert world.ready() == ("False", "DataForbidden")
    assert world.running_jobs() == []
    world.service(data=DATA | {"secretRef": {"name": "rotated"}})
    world.settle()
    (after,) = world.running_jobs()
    assert after["metadata"]["name"] != before["metadata"]["name"]
    assert pod(after)["containers"][0]["envFrom"] == [OF_DATA | {"secretRef": {"name": "rotated"}}]


def test_a_store_that_is_away_is_said_while_the_job_goes_on() -> None:
    world = train()
    away = Failure(reason="DataUnavailable", message="no answer", about=About.STORAGE, retry=Retry.SOON)
    assert away.exit_code == 75
    ended = {"exitCode": away.exit_code, "message": Report(result=away).to_message()}
    container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(world.job(), {"phase": "Failed", "containerStatuses": [container]})
    world.settle()
    assert len(world.running_jobs()) == 1
    assert world.ready() == ("False", "DataUnavailable")
    assert world.condition("Stalled")["status"] == "False"


def test_a_secret_that_is_missing_is_looked_for_in_the_right_place() -> None:
    world = train()
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "tables" not found'}
    container = {"name": STAGE_CONTAINER, "state": {"waiting": waiting}}
    world.pod_of(world.job(), {"phase": "Pending", "containerStatuses": [container]})
    world.settle()
    message = world.condition("Ready")["message"]
    assert 'secret "tables" not found; check spec.training.env and envFrom, and each secretRef' in message


def test_keys_of_claims_and_uris_differ() -> None:
    assert uri_digest("a/b.csv", None) == uri_digest("a/b.csv", "")
    digests = {uri_digest("a/b.csv", None), uri_digest("a/b.csv", "1"), uri_digest("c", "a/b.csv")}
    digests.add(claim_digest(ClaimSource(claim_name="c", path="a/b.csv"), None))
    assert len(digests) == 4
