"""An encoder that learns on, in both precisions: a BERT of random weights."""

from functools import partial
from pathlib import Path

from tests.bench.gpu_kept import Kept
from tests.bench.gpu_processes import measure
from tests.bench.gpu_subjects import data_of, write_service
from tests.bench.record import Figure, figure
from tests.bench.training_tables import TARGET
from tests.unit.runtime.families.berts import TEXTS, write_bert

LENGTH = 64
_PRECISIONS = ("Float32", "BFloat16")


def encoder(scratch: Path, *, rows: int, width: int, kept: Kept) -> list[Figure]:
    """Seconds of an epoch, and most memory of the GPU.

    Args:
        scratch: for what is written.
        rows: texts of so many tokens that most are full.
        width: of the encoder.
        kept: what was measured before.
    """
    uri = write_bert(
        scratch / "bert",
        hidden_size=width,
        num_hidden_layers=6,
        num_attention_heads=8,
        intermediate_size=4 * width,
        max_position_embeddings=LENGTH + 2,
    )
    table = scratch / "moods.csv"
    lines = (
        f"{' '.join(TEXTS[(place + step) % len(TEXTS)] for step in range(12))},{place % 2}" for place in range(rows)
    )
    table.write_text("\n".join((f"text,{TARGET}", *lines)) + "\n", encoding="utf-8")
    found = {}
    for precision in _PRECISIONS:
        resource = scratch / f"encoder-{precision}.yaml"
        learns = {"lora": {}, "epochs": 6, "batchSize": 256, "precision": precision}
        model = {"encoder": {"uri": uri, "fineTune": learns, "head": {"logistic": {}}}}
        data = data_of("moods.csv", text={"column": "text", "maxLength": LENGTH})
        write_service(resource, {"data": data, "model": model})
        work = partial(measure, "train", resource, table, scratch / f"encoder-{precision}")
        found[precision] = kept(f"encoder, {rows}, {width}, {precision}", work)
    name = f"fineTune of a BERT, 6 layers of {width}"
    plain, mixed = (found[one] for one in _PRECISIONS)
    return [
        *(figure(f"{name}: an epoch in {one}", found[one]["epoch"], "s") for one in _PRECISIONS),
        figure(f"{name}: times as fast in BFloat16", plain["epoch"] / mixed["epoch"], "ratio"),
        *(figure(f"{name}: most memory of the GPU, {one}", found[one]["mebibytes"], "MiB") for one in _PRECISIONS),
    ]
