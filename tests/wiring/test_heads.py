"""A head of images and its encoder, each a process of its own as in two pods: training, answers, and its end."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
from tests.support.server import server
from tests.unit.runtime.families.image_networks import SIDE, archive, pictures, png, write_network

import modelservice
from modelservice.contract.resource import API_VERSION, KIND

FRESH = pictures(8, seed=3, side=SIDE)


def described(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def asked(address: str) -> httpx.Response:
    instances = [{"b64": b64encode(png(pixels)).decode()} for _, pixels in FRESH]
    return httpx.post(f"{address}/v1/models/sides:predict", json={"instances": instances}, timeout=60, trust_env=False)


def test_a_head_of_images_asks_the_process_of_its_encoder_and_says_when_that_is_gone(tmp_path: Path) -> None:
    uri = write_network(tmp_path / "network")
    (tmp_path / "pictures.zip").write_bytes(archive(pictures(80, side=SIDE)))
    modelservice.train(described("vision", model={"pretrained": {"uri": uri}}), output=tmp_path / "vision")
    data = {
        "persistentVolumeClaim": {"claimName": "d", "path": "pictures.zip"},
        "image": {"height": SIDE, "width": SIDE},
        "target": "label",
    }
    model = {"encoder": {"service": {"name": "vision"}, "head": {"logistic": {"c": 100}}}}
    with server(tmp_path / "vision", tmp_path / "vision.log", name="vision") as (encoder, where):
        url = f"http://{where}"
        sides = described("sides", data=data, model=model)
        modelservice.train(sides, tmp_path / "pictures.zip", tmp_path / "head", encoder=url)
        with server(tmp_path / "head", tmp_path / "head.log", "--encoder", url, name="sides") as (_, address):
            answers = asked(f"http://{address}").json()["predictions"]
            encoder.kill()
            encoder.wait()
            refused = asked(f"http://{address}")
    assert [one["label"] for one in answers] == [label for label, _ in FRESH]
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"].startswith(f"the encoder vision at {url} does not answer")
