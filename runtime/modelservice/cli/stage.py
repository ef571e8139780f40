"""``modelservice stage``: one stage of the pipeline, as a pod in the cluster runs it."""

import argparse
import os
import sys
import time
from pathlib import Path

from modelservice.cli.common import Commands, add_command, collect_rarely
from modelservice.contract import places

_EXAMPLES = """\
examples:
  modelservice stage --order /etc/modelservice/order.json
"""
_THREADS_ENV = "OMP_NUM_THREADS"
"""Read by torch, scikit-learn's solvers and the BLAS of numpy, once, when they are imported."""


def add_stage(commands: Commands) -> None:
    """Add the command."""
    summary = "do what a work order of the operator says, and report"
    parser = add_command(commands, "stage", summary, _EXAMPLES)
    text = "file of the work order; default: %(default)s"
    parser.add_argument("--order", type=Path, metavar="PATH", default=Path(places.ORDER_PATH), help=text)
    parser.set_defaults(command=_stage)


def _stage(parsed: argparse.Namespace) -> int:
    collect_rarely()
    if (threads := places.cpu_limit(os.environ)) is not None:
        os.environ.setdefault(_THREADS_ENV, str(threads))  # else they count the CPUs of the node

    from modelservice.stages.agent import run_team, team_of  # noqa: PLC0415
    from modelservice.stages.run import Places, Pod, run_stage  # noqa: PLC0415

    where = Places(order=parsed.order)
    if (team := team_of(where.order, os.environ)) is not None:
        return run_team(team, where=where, environment=os.environ, out=sys.stdout)
    return run_stage(
        where=where,
        pod=Pod.from_environment(os.environ),
        clock=time.perf_counter,
        now=time.time,
        out=sys.stdout,
    )
