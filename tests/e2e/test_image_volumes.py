"""Artifacts as images of the cluster's registry: pushed by training pods, mounted by nodes, by digest."""

import base64
import copy
import json
import urllib.request

import pytest
import yaml
from tests.cluster.network import BRIDGE_IP, REGISTRY
from tests.support.client import predict
from tests.support.e2e import (
    LIGHT,
    PENALTY,
    Object,
    Space,
    condition,
    config_map,
    eventually,
    model_service,
    ridge,
    says,
)
from tests.support.samples import SAMPLES, objects
from tests.support.tables import FLOWERS, IRIS

from modelservice.artifact.stores.images import INDEX, parse_address
from modelservice.contract.places import ARTIFACTS_PATH, SERVING_PORT
from modelservice.contract.server_flags import MODEL
from modelservice_operator.domain.stores.base import Location
from modelservice_operator.domain.stores.image_registry import ImageRegistry
from modelservice_operator.kinds import DEPLOYMENT, JOB, POD

pytestmark = pytest.mark.cluster

ROWS = [row for row, _ in FLOWERS]
SPECIES = [species for _, species in FLOWERS]
NAME = "iris-registry"
LOGIN = {"auth": base64.b64encode(b"nobody:nothing").decode()}
"""This registry lets everybody in."""
_PORT = REGISTRY.rpartition(":")[2]


def mounted(space: Space) -> str:
    """The image that the Deployment mounts."""
    (deployment,) = space.children(DEPLOYMENT, NAME)
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    (reference,) = [volume["image"]["reference"] for volume in volumes if "image" in volume]
    return str(reference)


def in_registry(uri: str) -> bool:
    """Whether an image is there."""
    address = parse_address(uri)
    url = f"http://{address.host}/v2/{address.repository}/manifests/{address.reference}"
    request = urllib.request.Request(url, headers={"Accept": INDEX}, method="HEAD")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return bool(answer.status == 200)


@pytest.mark.story(180)
def test_a_model_is_served_from_an_image_that_nodes_mount(space: Space) -> None:
    described = objects(SAMPLES / "registry.yaml")
    for one in described:  # the file's own registry and credentials are placeholders
        if one["kind"] == "Secret":
            one["stringData"] = {".dockerconfigjson": json.dumps({"auths": {REGISTRY: LOGIN}})}
        elif one["kind"] == "ModelService":
            one["spec"]["artifacts"]["image"] |= {"repository": f"{REGISTRY}/artifacts", "plainHttp": True}
            one["spec"] |= {"model": ridge(PENALTY), "training": LIGHT, "serving": {**one["spec"]["serving"], **LIGHT}}
    space.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(described))
    first = space.wait_ready(NAME)
    assert condition(first, "ArtifactsPortable")["reason"] == "ImageRegistry"
    (told,) = first["status"]["revisions"]
    place, _, digest = told["uri"].partition("@")
    assert place == f"oci+http://{REGISTRY}/artifacts/{space.name}/{NAME}:{told['key']}"
    assert mounted(space) == f"{REGISTRY}/artifacts/{space.name}/{NAME}@{digest}"
    assert predict(space.address(NAME), NAME, ROWS) == SPECIES
    for pod in space.pods(NAME, "serve"):
        assert not [volume for volume in pod["spec"]["volumes"] if "secret" in volume], "it downloads nothing"

    space.patch(NAME, {"model": ridge(PENALTY * 2)})
    second = space.wait_ready(NAME)
    assert second["status"]["digest"] != first["status"]["digest"]
    newer = mounted(space)
    assert newer != mounted_of(told["uri"])
    assert predict(space.address(NAME), NAME, ROWS) == SPECIES
    jobs = len(space.children(JOB, NAME))
    space.patch(NAME, {"serving": {"pinRevision": {"number": 1}}})
    assert space.wait_ready(NAME)["status"]["digest"] == first["status"]["digest"]
    assert mounted(space) == mounted_of(told["uri"])
    assert len(space.children(JOB, NAME)) <= jobs, "nothing was trained for it"

    space.apply(downloading_pod(space, told["uri"]))
    address = eventually(lambda: ready_at(space, "downloading"), what="a pod that downloads")
    assert predict(address, NAME, ROWS) == SPECIES

    space.apply(swapped_pod(space, newer))
    ended = eventually(lambda: last_words(space, "swapped"), what="the end of the pod with another image")
    assert f"expected {first['status']['digest']}" in ended
    assert second["status"]["digest"] in ended

    space.kubectl("delete", "modelservice", NAME, "--wait=true")
    eventually(lambda: not space.children(DEPLOYMENT, NAME), what="the end of the Deployment")
    assert in_registry(told["uri"]), "what was pushed is the user's"


def mounted_of(uri: str) -> str:
    """How nodes name the image of an address."""
    address = parse_address(uri)
    return f"{address.host}/{address.repository}@{address.digest}"


def swapped_pod(space: Space, reference: str) -> Object:
    """A serving pod of the Deployment's template with another image in the same place."""
    (deployment,) = space.children(DEPLOYMENT, NAME)
    spec = copy.deepcopy(deployment["spec"]["template"]["spec"])
    for volume in spec["volumes"]:
        if "image" in volume:
            volume["image"]["reference"] = reference
    spec["restartPolicy"] = "Never"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "swapped"}, "spec": spec}


def downloading_pod(space: Space, uri: str) -> Object:
    """A serving pod of the Deployment's template, as it is where nodes mount no images."""
    (deployment,) = space.children(DEPLOYMENT, NAME)
    spec = copy.deepcopy(deployment["spec"]["template"]["spec"])
    access = ImageRegistry().access(
        Location(uri=uri, secret=NAME), {}, volume="artifacts", path=ARTIFACTS_PATH, writable=False
    )
    spec["volumes"] = [*access.volumes, *(one for one in spec["volumes"] if one["name"] != "artifacts")]
    (container,) = spec["containers"]
    kept = [one for one in container["volumeMounts"] if one["name"] != "artifacts"]
    container["volumeMounts"] = [*access.mounts, *kept]
    container["args"] = [
        f"{MODEL}={access.address}" if one.startswith(f"{MODEL}=") else one for one in container["args"]
    ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "downloading"}, "spec": spec}


def ready_at(space: Space, name: str) -> str:
    """Where a pod answers, once it is ready; nothing before."""
    pod = space.api.get(POD, space.name, name) or {}
    said = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", ())}
    return f"{pod['status']['podIP']}:{SERVING_PORT}" if said.get("Ready") == "True" else ""


def last_words(space: Space, name: str) -> str:
    """What the container of a pod said when it ended; nothing before."""
    pod = space.api.get(POD, space.name, name)
    statuses = pod.get("status", {}).get("containerStatuses", ()) if pod else ()
    return "".join(one.get("state", {}).get("terminated", {}).get("message", "") for one in statuses)


@pytest.mark.story(90)
def test_a_registry_that_only_pods_reach_is_said(space: Space) -> None:
    """A name of the cluster's DNS, which nodes do not ask: the push goes well, and no node can pull."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "registry"},
        "spec": {"ports": [{"name": "http", "port": int(_PORT)}]},
    }
    space.administer({**service, "metadata": {"name": "registry", "namespace": space.name}})
    space.administer(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "registry",
                "namespace": space.name,
                "labels": {"kubernetes.io/service-name": "registry"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [BRIDGE_IP]}],
            "ports": [{"name": "http", "port": int(_PORT)}],
        }
    )
    image = {"repository": f"registry.{space.name}.svc:{_PORT}/artifacts", "plainHttp": True}
    space.apply(config_map("flowers", IRIS), model_service("flowers", artifacts={"image": image}))
    seen = space.wait(
        "flowers",
        lambda one: any(says(reason)(one) for reason in ("ImagePullBackOff", "ErrImagePull")),
        what="says that nodes cannot pull the artifact",
    )
    message = condition(seen, "Ready")["message"]
    assert f"registry.{space.name}.svc:{_PORT}/artifacts/{space.name}/flowers@sha256:" in message
    assert "spec.artifacts.image.pullSecretRef" in message
