"""`make test`, `make check` and `make demo`: stages in a row, each with a heading and its time.

`check` is what needs neither root nor a cluster: lint, generated files, unit and contract tests. In `make test` this,
and what is wired without a cluster, takes the CPU time that tests on the cluster leave, which wait for most of theirs.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.meanwhile import Meanwhile
from tests.cluster.paths import IMAGES_RECORD, KUBECONFIG, ROOT, TOOLS
from tests.cluster.shell import console

BIN = Path(sys.executable).parent
RESULTS = ROOT / "build" / "test"
OUTCOMES = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class Stage:
    """One command of a pipeline."""

    title: str
    command: tuple[str, ...]


def python(*arguments: str) -> tuple[str, ...]:
    """Build a command for the project's Python."""
    return (sys.executable, *arguments)


def pytest(name: str, *folders: str, options: tuple[str, ...] = ()) -> Stage:
    """Build the stage that runs some levels of tests; levels without a folder are left out."""
    present = [f"tests/{folder}" for folder in folders if (ROOT / "tests" / folder).is_dir()]
    title = f"tests: {', '.join(folders)}"
    report = f"--junitxml={RESULTS / f'{name}.xml'}"
    return Stage(title, python("-m", "pytest", *present, *options, report) if present else ())


LINT = (
    Stage("lint: ruff check", (str(BIN / "ruff"), "check")),
    Stage("lint: ruff format", (str(BIN / "ruff"), "format", "--check")),
    Stage("lint: mypy", (str(BIN / "mypy"), "operator", "runtime", "tests")),
    Stage("lint: layers (import-linter)", (str(BIN / "lint-imports"),)),
)
VERIFY = (Stage("generated files are current", python("-m", "tests.support.generate", "--check")),)
CLUSTER = (Stage("cluster", python("-m", "tests.cluster", "up")),)
IMAGES = (Stage("images: build and load", python("-m", "tests.cluster", "load")),)
DEMO = (Stage("demo", python("-m", "tests.demo")),)
# These share nothing, so each CPU takes a part; a module stays whole, since its fixtures are made once.
FAST = pytest("fast", "unit", "contract", options=("--numprocesses=auto", "--dist=loadfile"))
CHECK = (*LINT, *VERIFY, FAST)
BESIDE = (*CHECK, pytest("laptop", "wiring", options=("-m", "not cluster")))
ON_A_CLUSTER = (*CLUSTER, pytest("wiring", "wiring", options=("-m", "cluster")), *IMAGES, pytest("e2e", "e2e"))
PARTS = {"check": CHECK, "beside": BESIDE, "lint": LINT, "verify": (*VERIFY, *LINT)}
POLITELY = ("nice", "-n", "5")
"""A third of the CPU time of what runs beside it; all of it where that waits."""


def environment() -> dict[str, str]:
    """Return what stages see: the local cluster, or the user's own kubeconfig where KUBE_CONTEXT names a context."""
    values = {**os.environ, "MODELSERVICE_IMAGES": str(IMAGES_RECORD), "PYTHONPATH": str(ROOT)}
    if not os.environ.get("KUBE_CONTEXT"):
        values["KUBECONFIG"] = str(KUBECONFIG)
    values["PATH"] = f"{TOOLS}:{BIN}:{os.environ['PATH']}"
    return values


def run(stages: tuple[Stage, ...], *, go_on: Callable[[], bool] = lambda: True) -> int:
    """Run stages until one fails, or there is no reason to begin another; return the exit code."""
    started = time.monotonic()
    for number, stage in enumerate(stages, start=1):
        if not go_on():
            console.print(f"{stage.title}: not begun", style="red", markup=False)
            return 1
        console.rule(
            f"{number}/{len(stages)} {stage.title} [{time.monotonic() - started:.0f} s]".replace("[", r"\["),
            align="left",
        )
        if not stage.command:
            console.print("  nothing there yet")
            continue
        code = subprocess.run(stage.command, cwd=ROOT, env=environment(), check=False).returncode
        if code != 0:
            console.print(
                f"{stage.title}: failed with {code} after {time.monotonic() - started:.0f} s", style="red", markup=False
            )
            return code
    return 0


def counts() -> dict[str, Counter[str]]:
    """Return how many tests of each level passed, failed and were skipped, from pytest's own reports."""
    levels: dict[str, Counter[str]] = {}
    for report in sorted(RESULTS.glob("*.xml")):
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by pytest a moment ago
            level = case.get("classname", "").removeprefix("tests.").partition(".")[0]
            kinds = {child.tag for child in case}
            outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
            levels.setdefault(level, Counter())[outcome] += 1
    return levels


def run_tests() -> int:
    """Run everything, and end with one line for each level and one for all."""
    started = time.monotonic()
    for report in RESULTS.glob("*.xml"):
        report.unlink()
    beside = Meanwhile((*POLITELY, *python("-m", "tests.cluster.pipeline", "beside")))
    # Both come to their end, whatever becomes of the other: tests in the cluster leave it as they found it.
    try:
        code = run(ON_A_CLUSTER, go_on=lambda: beside.is_well)
    finally:
        told = beside.end()
    code = code or told
    total: Counter[str] = Counter()
    for level, counted in counts().items():
        total += counted
        console.print(f"  {level:<10}" + ", ".join(f"{counted[outcome]} {outcome}" for outcome in OUTCOMES))
    summary = ", ".join(f"{total[outcome]} {outcome}" for outcome in OUTCOMES)
    verdict = "all stages passed" if code == 0 else "FAILED"
    console.print(f"{verdict}: {summary} in {time.monotonic() - started:.0f} s")
    return code


def main() -> int:
    """Run the pipeline that the command line names."""
    match sys.argv[1:]:
        case ["test"]:
            return run_tests()
        case [name] if name in PARTS:
            return run(PARTS[name])
        case ["demo"]:
            own = bool(os.environ.get("KUBE_CONTEXT"))
            return run(DEMO if own else (*CLUSTER, *IMAGES, *DEMO))
        case ["run", *command]:
            return subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode
    console.print(
        f"usage: python -m tests.cluster.pipeline test | {' | '.join(PARTS)} | demo | run COMMAND", markup=False
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
