"""``make bench-training``: what a training costs beside bare torch and scikit-learn, in the same run; CPU time.

Each figure is the best of some repeats, taken in turn with what it is compared with: other work on the machine only
ever adds to a CPU time.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.bench.record import Figure, at_least, at_most, figure, record
from tests.bench.training_processes import first_step_seconds, import_seconds, measure
from tests.bench.training_tables import write_resource, write_table

EPOCH_RATIO: Final = 1.10
START_RATIO: Final = 1.3
MEMORY_RATIO: Final = 1.3
STREAMED_MEBIBYTES: Final = 400.0
SMALL_SECONDS: Final = {"mlp": 10.0, "auto": 15.0}
LARGE_SECONDS: Final = 60.0
SCIKIT: Final = ("logistic", "svm", "forest", "boosting", "mlp")
_WEIGHTS_HELD: Final = 5
"""Copies of the weights: themselves, gradients, two moments, and the best ones."""
_FLOAT32: Final = 4
_MEBIBYTE: Final = 2**20
_ONE_EPOCH: Final = {"epochs": 1, "batchSize": 4096}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.training", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="of what is compared (default 5)")
    parser.add_argument("--only", choices=[*PARTS], action="append", help="parts to run (default: all)")
    parser.add_argument("--epoch-rows", type=int, default=20_000, help="rows of the epoch (default 20,000)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows whose memory is compared (default 1,000,000)")
    parser.add_argument("--streamed-rows", type=int, default=10_000_000, help="of the largest (default 10,000,000)")
    parser.add_argument("--columns", type=int, default=50, help="of both (default 50)")
    parser.add_argument("--small-rows", type=int, default=500, help="rows of the small table (default 500)")
    parser.add_argument("--quality-rows", type=int, default=50_000, help="rows of the compared one (default 50,000)")
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        figures = [one for name in asked.only or PARTS for one in PARTS[name](asked, Path(scratch))]
    caption = f"CPU time, best of {asked.repeats} repeats in turn, {os.cpu_count()} CPUs shared with other work"
    return record("training", figures, caption=caption, readme=asked.readme)


def _epochs(asked: argparse.Namespace, scratch: Path) -> list[Figure]:
    found = measure("epochs", asked.epoch_rows, 20, 4, asked.repeats, scratch=scratch)
    figures = []
    for name, words in (("network", "one network"), ("ensemble", "16 networks side by side")):
        ours, bare = found[name]
        figures += [
            figure(f"an epoch of {words}, bare torch loop", bare, "s CPU"),
            figure(f"an epoch of {words}, ours", ours, "s CPU"),
            at_most(f"an epoch of {words}, ratio to the bare loop", ours / bare, "ratio", EPOCH_RATIO),
        ]
    return figures


def _start(asked: argparse.Namespace, scratch: Path) -> list[Figure]:
    resource, table = scratch / "start.yaml", scratch / "start.parquet"
    write_table(table, rows=200, columns=4)
    write_resource(resource, model={"mlp": {"ensemble": 1}}, training={"batchSize": 200})
    taken = [(import_seconds(scratch), first_step_seconds(resource, table, scratch)) for _ in range(asked.repeats)]
    bare, ours = (min(side) for side in zip(*taken, strict=True))
    return [
        figure("start: import torch alone", bare, "s CPU"),
        figure("start: process to first step", ours, "s CPU"),
        at_most("start: process to first step, ratio to import torch", ours / bare, "ratio", START_RATIO),
    ]


def _memory(asked: argparse.Namespace, scratch: Path) -> list[Figure]:
    name, found = _trained(asked.rows, asked.columns, scratch)
    data = asked.rows * asked.columns * _FLOAT32 / _MEBIBYTE
    ratio = found["mebibytes"] / (data + _WEIGHTS_HELD * found["weights"])
    return [
        figure(f"{name}: one epoch, reading and reports included", found["seconds"], "s CPU"),
        figure(f"{name}: most memory above the imports", found["mebibytes"], "MiB"),
        at_most(f"{name}: the same, by data + 5 x weights", ratio, "ratio", MEMORY_RATIO),
    ]


def _streamed(asked: argparse.Namespace, scratch: Path) -> list[Figure]:
    name, found = _trained(asked.streamed_rows, asked.columns, scratch)
    return [
        figure(f"{name}: one epoch, reading and reports included", found["seconds"], "s CPU"),
        at_most(f"{name}: most memory above the imports", found["mebibytes"], "MiB", STREAMED_MEBIBYTES),
    ]


def _trained(rows: int, columns: int, scratch: Path) -> tuple[str, dict[str, float]]:
    """What a table is called, and what an epoch on it costs; the table is gone afterwards."""
    resource, table = scratch / "memory.yaml", scratch / f"{rows}.parquet"
    write_resource(resource, model={"mlp": {"ensemble": 1}}, training=_ONE_EPOCH)
    write_table(table, rows=rows, columns=columns)
    try:
        return f"Parquet, {rows:,} x {columns} float32", measure("memory", resource, table, scratch=scratch)
    finally:
        table.unlink()


def _small(asked: argparse.Namespace, scratch: Path) -> list[Figure]:
    table, rows = scratch / "small.parquet", asked.small_rows
    write_table(table, rows=rows, columns=20)
    figures = []
    for model, limit in SMALL_SECONDS.items():
        resource = scratch / f"{model}.yaml"
        write_resource(resource, model={model: {}})
        taken = [
            measure("fit", resource, table, 1000, 20, scratch=scratch, one_core=True)["seconds"]
            for _ in range(asked.repeats)
        ]
        figures.append(at_most(f"{model} on {rows:,} x 20, one core, imports included", min(taken), "s CPU", limit))
    return figures


def _quality(asked: argparse.Namespace, scratch: Path) -> list[Figure]:
    resource, table, rows = scratch / "quality.yaml", scratch / "quality.parquet", asked.quality_rows
    write_table(table, rows=rows, columns=20)
    # Members learn from training and validation rows, which are as good as all here, as they are for scikit-learn.
    write_resource(resource, model={"mlp": {}}, split={"test": 0.01})
    size = f"{rows:,} x 20"
    ours = measure("fit", resource, table, rows, 20, scratch=scratch)
    theirs = {name: measure("scikit", name, table, rows, 20, scratch=scratch) for name in SCIKIT}
    best = max(found["accuracy"] for found in theirs.values())
    return [
        at_most(f"mlp on {size}, imports included", ours["seconds"], "s CPU", LARGE_SECONDS),
        *(figure(f"scikit-learn's {name} on {size}", found["seconds"], "s CPU") for name, found in theirs.items()),
        *(figure(f"accuracy of scikit-learn's {name}", found["accuracy"], "") for name, found in theirs.items()),
        figure("accuracy of mlp", ours["accuracy"], ""),
        at_least("accuracy of mlp less the best of scikit-learn's five", ours["accuracy"] - best, "", 0),
    ]


PARTS: Final[dict[str, Callable[[argparse.Namespace, Path], list[Figure]]]] = {
    "epoch": _epochs,
    "start": _start,
    "memory": _memory,
    "streamed": _streamed,
    "small": _small,
    "quality": _quality,
}


if __name__ == "__main__":
    sys.exit(main())
