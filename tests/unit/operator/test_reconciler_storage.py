"""The reconciler's stories. Artifacts in object storage: no claims, any node, credentials by reference."""

import pytest
from tests.support.world import World, success

from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
)
from modelservice_operator.objects import Object

S3 = {"uri": "s3://models/team", "secretRef": {"name": "bucket"}}
INT8 = {"steps": [{"quantize": {"weights": "Int8"}}]}


def container(workload: Object) -> Object:
    found: Object = workload["spec"]["template"]["spec"]["containers"][0]
    return found


def test_artifacts_lie_under_namespace_name_and_key_and_no_claim_is_made() -> None:
    world = World()
    key = world.serve(artifacts=S3, serving={"replicas": 2})
    uri = f"s3://models/team/default/churn/{key}"
    assert world.ready() == ("True", "Serving")
    assert world.ours(PERSISTENT_VOLUME_CLAIM) == []
    assert world.order(world.one(JOB))["artifact"] == uri
    assert f"--model={uri}" in container(world.one(DEPLOYMENT))["args"]
    artifact = world.one(CONTROLLER_REVISION)["data"]["artifact"]
    assert artifact == {"uri": uri, "digest": success(key).digest, "format": "modelservice/1", "secretName": "bucket"}
    assert world.status()["revisions"][0]["uri"] == uri
    assert world.condition("ArtifactsPortable") | {"lastTransitionTime": ""} == {
        "type": "ArtifactsPortable",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "",
        "reason": "ObjectStorage",
        "message": "any node can fetch the artifacts",
    }


def test_pods_get_the_credentials_by_reference_and_are_spread() -> None:
    world = World()
    world.serve(artifacts=S3, serving={"replicas": 2, "envFrom": [{"secretRef": {"name": "own"}}]})
    assert container(world.one(JOB))["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    deployment = world.one(DEPLOYMENT)
    assert container(deployment)["envFrom"] == [{"secretRef": {"name": "bucket"}}, {"secretRef": {"name": "own"}}]
    pod = deployment["spec"]["template"]["spec"]
    assert "affinity" not in pod
    assert pod["topologySpreadConstraints"]
    assert world.one(POD_DISRUPTION_BUDGET)


def test_a_compression_reads_and_writes_the_storage() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=S3, compression=INT8)
    world.settle()
    parent = world.end_stage()
    world.settle()
    job = world.job()
    assert world.order(job)["work"]["parent"] == f"s3://models/team/default/churn/{parent}"
    assert container(job)["envFrom"] == [{"secretRef": {"name": "bucket"}}], "said once"
    assert "affinity" not in job["spec"]["template"]["spec"]


def test_the_chart_chooses_where_the_spec_says_nothing() -> None:
    world = World(default_artifacts='{"uri": "gs://models"}')
    key = world.serve()
    assert world.status()["revisions"][0]["uri"] == f"gs://models/default/churn/{key}"
    assert "envFrom" not in container(world.one(JOB)), "without a Secret the ServiceAccount decides"


def test_a_new_secret_rolls_the_pods_and_trains_nothing() -> None:
    world = World()
    world.serve(artifacts=S3)
    world.service(artifacts=S3 | {"secretRef": {"name": "rotated"}})
    world.settle()
    assert container(world.one(DEPLOYMENT))["envFrom"] == [{"secretRef": {"name": "rotated"}}]
    assert len(world.all(JOB)) == 1


@pytest.mark.parametrize("after", [None, {"uri": "s3://elsewhere", "secretRef": {"name": "third"}}])
def test_a_secret_that_was_exchanged_stays_so_where_the_store_changes(after: Object | None) -> None:
    world = World()
    world.serve(artifacts=S3)
    world.service(artifacts=S3 | {"secretRef": {"name": "rotated"}})
    world.settle()
    world.roll_out()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    said = {"artifacts": after} if after else {}
    world.service(**said)
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template
    world.restart_operator()
    world.service(**said, serving={"env": [{"name": "A", "value": "1"}]})
    world.settle()
    assert container(world.one(DEPLOYMENT))["envFrom"] == [{"secretRef": {"name": "rotated"}}], "other settings too"
    world.service(artifacts=S3)
    world.settle()
    assert container(world.one(DEPLOYMENT))["envFrom"] == [{"secretRef": {"name": "bucket"}}], "the spec says it again"
    world.service(**said)
    world.settle()
    assert container(world.one(DEPLOYMENT))["envFrom"] == [{"secretRef": {"name": "bucket"}}]


@pytest.mark.parametrize(("before", "after"), [(S3, None), (None, S3), (S3, {"uri": "az://elsewhere"})])
def test_another_store_is_for_later_revisions_and_what_serves_stays_where_it_is(
    before: Object | None, after: Object | None
) -> None:
    world = World()
    world.serve(**({"artifacts": before} if before else {}))
    template = world.one(DEPLOYMENT)["spec"]["template"]
    artifacts = {"artifacts": after} if after else {}
    world.service(**artifacts)
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.one(DEPLOYMENT)["spec"]["template"] == template
    assert len(world.all(JOB)) == 1
    world.service(training={"epochs": 2}, **artifacts)
    world.run_stages()
    world.roll_out()
    world.settle()
    schemes = [revision["uri"].partition("://")[0] for revision in world.status()["revisions"]]
    assert schemes == [_scheme(after), _scheme(before)]


KEYS = {"encryption": {"secretRef": {"name": "keys", "key": "2026-11"}}}


def keys_of(workload: Object) -> tuple[str | None, str | None]:
    """The Secret that a workload's pods mount for encryption, and what they are told of it."""
    pod = workload["spec"]["template"]["spec"]
    mounted = [one["secret"]["secretName"] for one in pod["volumes"] if one["name"] == "encryption"]
    told = [one["value"] for one in container(workload)["env"] if one["name"] == ENCRYPTION_KEYS_ENV]
    return (mounted or [None])[0], (told or [None])[0]


@pytest.mark.parametrize("artifacts", [S3, {"volumeClaim": {}}])
def test_pods_get_the_keys_by_reference(artifacts: Object) -> None:
    world = World()
    world.serve(artifacts=artifacts | KEYS)
    folder = "/etc/modelservice/encryption"
    assert keys_of(world.one(JOB)) == ("keys", f"{folder}/2026-11:{folder}")
    assert keys_of(world.one(DEPLOYMENT)) == ("keys", folder), "a server writes nothing"
    assert world.one(CONTROLLER_REVISION)["data"]["artifact"]["encryptionSecret"] == "keys"


def test_encryption_is_for_later_artifacts_and_restarts_nothing() -> None:
    world = World()
    world.serve(artifacts=S3)
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.service(artifacts=S3 | KEYS)
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template
    assert len(world.all(JOB)) == 1
    world.service(artifacts=S3 | KEYS, training={"epochs": 2})
    world.run_stages()
    world.roll_out()
    world.settle()
    assert keys_of(world.one(DEPLOYMENT))[0] == "keys"


def test_another_key_of_the_secret_restarts_nothing_and_another_secret_rolls() -> None:
    world = World()
    world.serve(artifacts=S3 | KEYS)
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.service(artifacts=S3 | {"encryption": {"secretRef": {"name": "keys", "key": "2026-12"}}})
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template
    world.service(artifacts=S3 | {"encryption": {"secretRef": {"name": "others", "key": "2026-12"}}})
    world.settle()
    assert keys_of(world.one(DEPLOYMENT))[0] == "others"
    assert len(world.all(JOB)) == 1
    world.roll_out()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.service(artifacts=S3)
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template, "without encryption for later ones"


def test_a_cache_rolls_what_is_downloaded_and_nothing_else() -> None:
    cached = S3 | {"cache": {"claimName": "downloads"}}
    for made_with, rolls in (({"volumeClaim": {}}, False), (S3, True)):
        world = World()
        world.serve(artifacts=made_with)
        template = world.one(DEPLOYMENT)["spec"]["template"]
        world.service(artifacts=cached)
        world.settle()
        assert (world.one(DEPLOYMENT)["spec"]["template"] != template) is rolls


def test_what_was_encrypted_is_opened_though_encryption_is_taken_away() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=S3 | KEYS, compression=INT8)
    world.settle()
    world.end_stage()
    world.settle()
    world.service(artifacts=S3, compression=INT8)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert keys_of(world.job()) == ("keys", "/etc/modelservice/encryption"), "reads its parent, writes in the clear"


def test_a_job_that_stores_in_the_clear_is_overtaken() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=S3)
    world.settle()
    before = world.job()["metadata"]["name"]
    world.service(artifacts=S3 | KEYS)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.job()["metadata"]["name"] != before
    assert keys_of(world.job())[0] == "keys"


def _scheme(artifacts: Object | None) -> str:
    return str(artifacts["uri"]).partition("://")[0] if artifacts else "pvc"


def test_a_trained_claim_can_be_compressed_into_object_storage() -> None:
    world = World()
    trained = world.serve()
    world.service(artifacts=S3, compression=INT8)
    world.settle()
    order = world.order(world.job())
    assert order["work"]["parent"] == f"/var/lib/modelservice/parent/{trained}"
    assert order["artifact"].startswith("s3://models/team/default/churn/")
    template = world.job()["spec"]["template"]
    (term,) = template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    claim = template["metadata"]["labels"]["modelservice.dev/claim"]
    assert term["labelSelector"]["matchExpressions"][0]["values"] == [claim] == [f"churn-{trained}"]
