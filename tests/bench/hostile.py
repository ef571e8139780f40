"""``make bench-hostile``: what somebody with ``edit`` in one namespace can do to the operator, and to others by it.

Each attack has a control plane of its own: etcd, kube-apiserver, controller-manager and scheduler are real, kwok plays
nodes and pods, and the operator is a process of this machine, as in ``make bench-operator``. Times and requests are
those of the apiserver's audit log; memory is the most that Linux ever saw resident.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.attacks import ATTACKS
from tests.bench.attacks.base import Attack
from tests.bench.kwok.controlplane import control_plane
from tests.bench.kwok.process import BenchError
from tests.bench.record import Figure, record

NAMES = tuple(attack.name for attack in ATTACKS)


def main() -> int:
    """Run all attacks, or some."""
    parser = argparse.ArgumentParser(prog="tests.bench.hostile", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, help="this attack; may be given again (default all)")
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md (needs all)")
    parser.add_argument("--keep", type=Path, help="empty folder for logs, which stay there")
    arguments = parser.parse_args()
    if arguments.only and arguments.readme:
        parser.error("--readme needs all attacks: leave out --only")
    chosen = [attack for attack in ATTACKS if not arguments.only or attack.name in arguments.only]
    figures: list[Figure] = []
    for attack in chosen:
        sys.stderr.write(f"{attack.name}; load of the machine {os.getloadavg()[0]:.1f}\n")
        try:
            figures += run(attack, arguments.keep)
        except BenchError as error:
            sys.stderr.write(f"{attack.name}: {error}\n")
            return 2
    caption = (
        "a tenant against the operator, on a real control plane, nodes and pods simulated by kwok, "
        f"{os.cpu_count()} CPUs shared by all of it"
    )
    name = "-".join(("hostile", *(arguments.only or ())))
    return record(name, figures, caption=caption, readme=arguments.readme)


def run(attack: Attack, keep: Path | None) -> list[Figure]:
    """One attack in a folder of its own, which is gone afterwards unless it is to be kept."""
    with tempfile.TemporaryDirectory(prefix="modelservice-bench-") as scratch:
        folder = (keep or Path(scratch)).resolve() / attack.name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with control_plane(folder, attack.stages) as plane:
            return attack.measure(plane, folder)


if __name__ == "__main__":
    sys.exit(main())
