"""``make bench-distributed``: two workers beside two copies that know nothing of each other, and four beside one.

Wall time, since workers wait for each other. Each process has a core of its own (four share two), and one thread; the
best epoch of some repeats counts, taken in turn. It wants a machine without other work: what slows one core slows one
copy, but both workers. CPU time tells beside it what sums and masks cost, without the waiting.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.record import ROOT, Figure, at_least, at_most, figure, record

SHARE: Final = 0.85
DIFFERENCE: Final = 1e-4
_PROCESSES: Final = "tests.bench.distributed_processes"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.distributed", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="of what is compared (default 3)")
    parser.add_argument("--rows", type=int, default=16384, help="of the table (default 16,384)")
    parser.add_argument("--width", type=int, default=1024, help="of three hidden layers (default 1,024)")
    parser.add_argument("--batch", type=int, default=4096, help="rows of a step (default 4,096)")
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        figures = [*_pace(asked, Path(scratch)), *_weights(Path(scratch))]
    caption = f"wall time of an epoch, best of {asked.repeats} repeats in turn, {os.cpu_count()} CPUs"
    return record("distributed", figures, caption=caption, readme=asked.readme)


def _pace(asked: argparse.Namespace, scratch: Path) -> list[Figure]:
    size = {"rows": asked.rows, "width": asked.width, "batch": asked.batch, "epochs": 4}
    copies, pairs, ours, theirs = [], [], [], []
    for _ in range(asked.repeats):
        begun = [_start("alone", scratch / f"copy-{one}", core=one, **size) for one in range(2)]
        alone = [_ended(process, scratch / f"copy-{one}") for one, process in enumerate(begun)]
        pair = _ended(_start("team", scratch / "pair", processes=2, **size), scratch / "pair")
        copies.append(sum(one["pace"] for one in alone))
        pairs.append(pair["pace"])
        theirs.append(sum(one["cpu_pace"] for one in alone))
        ours.append(pair["cpu_pace"])
    name = f"{asked.rows:,} rows, three layers of {asked.width:,}, steps of {asked.batch:,} rows"
    return [
        figure(f"{name}: two copies side by side, together", max(copies), "rows/s"),
        figure(f"{name}: two workers", max(pairs), "rows/s"),
        at_least(f"{name}: two workers, share of the copies", max(pairs) / max(copies), "ratio", SHARE),
        figure(f"{name}: the same by CPU time", max(ours) / max(theirs), "ratio"),
    ]


def _weights(scratch: Path) -> list[Figure]:
    from safetensors.numpy import load_file  # noqa: PLC0415

    size = {"rows": 2048, "width": 64, "batch": 256, "epochs": 10}
    _ended(_start("alone", scratch / "one", core=0, **size), scratch / "one")
    figures = []
    one = load_file(scratch / "one.safetensors")
    for parallelism in ("Data", "Sharded"):
        there = scratch / parallelism
        _ended(_start("team", there, processes=4, parallelism=parallelism, **size), there)
        found = load_file(there.with_suffix(".safetensors"))
        difference = max(float(abs(found[name] - weights).max()) for name, weights in one.items())
        name = f"largest difference of a weight, four workers ({parallelism}) and one, 80 steps with dropout"
        figures.append(at_most(name, difference, "", DIFFERENCE))
    return figures


def _start(role: str, there: Path, **settings: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", _PROCESSES, role, str(there), json.dumps(settings)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def _ended(process: subprocess.Popen[str], there: Path) -> Any:
    """What a process found.

    Raises:
        RuntimeError: it failed.
    """
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {said[-4000:]}")
    return json.loads(there.with_suffix(".json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    begun = time.monotonic()
    code = main()
    sys.stderr.write(f"took {time.monotonic() - begun:.0f} s\n")
    sys.exit(code)
