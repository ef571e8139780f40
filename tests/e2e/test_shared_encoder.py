"""An encoder as a service and three heads that ask it: an update without a gap, and what deleting it says."""

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from tests.support import object_store
from tests.support.client import ask, build_client, keep_asking
from tests.support.e2e import LIGHT, Object, Space, condition, config_map, eventually, is_ready, says
from tests.support.policies import kept
from tests.unit.runtime.families.berts import TEXTS, write_bert

from modelservice.contract.resource import API_VERSION, KIND
from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.kinds import DEPLOYMENT

pytestmark = pytest.mark.cluster

ENCODER, HEADS = "minilm", {"logistic": {"c": 10}, "svm": {"kernel": "Linear", "c": 10}, "decisionTree": {}}
TEXT = "the soup was great"
SMALL: Object = {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "120Mi"}}}
"""A head has no more than this, or it is killed."""


def named(name: str, **spec: Any) -> Object:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def put(folder: str, **changes: Any) -> str:
    """A small BERT in the bucket; what changes is of its configuration."""
    object_store.make_bucket("models")
    bucket = object_store.open_bucket("models")
    with TemporaryDirectory() as made:
        write_bert(Path(made), **changes)
        for path in Path(made).rglob("*"):
            if path.is_file():
                bucket.put(f"{folder}/{path.relative_to(made).as_posix()}", path.read_bytes())
    return f"s3://models/{folder}"


def table() -> str:
    rows = (f"{text},{'good' if text.endswith(('fine', 'great')) else 'bad'}" for text in TEXTS * 10)
    return "\n".join(("text,mood", *rows))


def head(name: str, **family: Any) -> Object:
    """A head on the moods of texts."""
    data = {"configMap": {"name": "moods"}, "text": {"column": "text"}, "target": "mood"}
    model = {"encoder": {"service": {"name": ENCODER}, "head": family}}
    return named(name, data=data, model=model, training=LIGHT, serving=SMALL)


def name_of(family: str) -> str:
    return f"moods-{family.lower()}"


@pytest.mark.story(150)
def test_heads_share_an_encoder_follow_its_update_and_say_that_it_is_gone(space: Space) -> None:
    first, second = put(f"{space.name}/a"), put(f"{space.name}/b", hidden_size=32, documents={})
    names = [name_of(family) for family in HEADS]
    opened = {"envFrom": [{"secretRef": {"name": "models"}}], **LIGHT}
    pretrained = {"uri": first, "maxLength": 16}
    space.apply(
        object_store.secret("models"),
        config_map("moods", table()),
        *(head(name_of(family), **{family: settings}) for family, settings in HEADS.items()),
    )
    for name in names:
        space.wait(name, says("EncoderNotFound", ENCODER), what="waits for its encoder")
    # Its heads alone may ask it, by their names; and that is kept while they are trained, and asked.
    peers = [{"podSelector": {"matchExpressions": [{"key": LABEL_NAME, "operator": "In", "values": names}]}}]
    serving = {**LIGHT, "allowFrom": {"scope": "None", "peers": peers}}
    with kept(space.api, space.name):
        space.apply(named(ENCODER, model={"pretrained": pretrained}, training=opened, serving=serving))
        before = space.wait_ready(ENCODER)["status"]["digest"]
        for name in names:
            status = space.wait_ready(name)["status"]
            assert status["encoder"] == {"name": ENCODER, "digest": before, "width": 16}
        url = space.service(names[0])["status"]["url"]
        space.apply(build_client(f"{url}/v1/models/{names[0]}:predict", json.dumps({"instances": [TEXT]})))
        space.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/client", "--timeout=60s", timeout=70)
        assert '"label"' in space.kubectl("logs", "pod/client")
    addresses = {name: space.address(name) for name in names}
    for name, address in addresses.items():
        (answer,) = ask(address, name, [TEXT])
        assert answer["label"] in {"good", "bad"}
    space.wait(ENCODER, lambda service: service["status"].get("usedBy") == sorted(names), what="knows who asks it")
    wide = space.kubectl("get", "modelservice", "-o", "wide")
    assert sum(ENCODER in line.split() for line in wide.splitlines()) == 1 + len(names)
    with ExitStack() as stack:
        asked = [
            stack.enter_context(keep_asking(addresses[name], name, [TEXT], pause=0.2, most=2000)) for name in names
        ]
        space.patch(ENCODER, {"model": {"pretrained": {"uri": second}}})
        for name in names:
            space.wait(
                name,
                lambda service: is_ready(service) and service["status"].get("encoder", {}).get("width") == 32,
                what="asks the new encoder",
            )
        eventually(lambda: len(space.children(DEPLOYMENT, ENCODER)) == 1, what="nothing is kept for heads")
    assert [(set(one.answers), one.failures) for one in asked] == [({200}, [])] * len(names)
    after = space.wait_ready(ENCODER)["status"]["digest"]
    for name in names:
        service = space.service(name)
        assert service["status"]["encoder"]["digest"] == after != before
        assert service["status"]["revision"] == 2
        ready = condition(service, "EncoderReady")
        assert (ready["status"], ready["reason"]) == ("True", "WidthChanged")
    space.kubectl("delete", "modelservice", ENCODER, "--wait=true")
    for name in names:
        space.wait(name, says("EncoderNotFound", "answers with 503"), what="says that its encoder is gone")
    url = f"http://{addresses[name]}/v1/models/{name}:predict"
    refused = eventually(lambda: _refused(url), what="answers with 503")
    assert refused is not None
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"].startswith(f"the encoder {ENCODER} at http://{ENCODER}-")


def _refused(url: str) -> httpx.Response | None:
    answer = httpx.post(url, json={"instances": [TEXT]}, timeout=20, trust_env=False)
    return answer if answer.status_code == 503 else None
