"""`make test`, `make check` and `make demo`: stages in a row, each with a heading and its time.

`check` is what needs neither root nor a cluster: lint, generated files, unit and contract tests. In `make test` it is
done in the CPU time that the other stages leave while they wait for a cluster.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from tests.cluster import bytecode
from tests.cluster.paths import IMAGES_RECORD, KUBECONFIG, ROOT, TOOLS
from tests.cluster.processes import SPARED
from tests.cluster.shell import console

BIN = Path(sys.executable).parent
RESULTS = ROOT / "build" / "test"
OUTCOMES = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class Stage:
    """One command of a pipeline, and perhaps another one that runs beside it."""

    title: str
    command: tuple[str, ...]
    beside: tuple[str, ...] = ()


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
    Stage("lint: mypy", python("-m", "tests.support.typecheck", "operator", "runtime", "tests")),
    Stage("lint: layers (import-linter)", (str(BIN / "lint-imports"),)),
)
VERIFY = (Stage("generated files are current", python("-m", "tests.support.generate", "--check")),)
CLUSTER = (Stage("cluster", python("-m", "tests.cluster", "up")),)
IMAGES = (Stage("images: build and load", python("-m", "tests.cluster", "load")),)
DEMO = (Stage("demo", python("-m", "tests.demo")),)
# These share nothing, so each CPU takes a part; a module stays whole, since its fixtures are made once.
FAST = pytest("fast", "unit", "contract", options=("--numprocesses=auto", "--dist=loadfile"))
CHECK = (*LINT, *VERIFY, FAST)
# What needs the cluster has it for itself, one test after the other; what needs none runs beside that.
PROCESSES = pytest("processes", "wiring", options=("-m", "not cluster"))
WIRING = replace(pytest("wiring", "wiring", options=("-m", "cluster")), beside=PROCESSES.command)
ON_CLUSTER = (*CLUSTER, WIRING, *IMAGES, pytest("e2e", "e2e"))
PARTS = {"check": CHECK, "lint": LINT, "verify": (*VERIFY, *LINT)}


def environment() -> dict[str, str]:
    """Return what stages see: the local cluster, or the user's own kubeconfig where KUBE_CONTEXT names a context."""
    values = {**os.environ, "MODELSERVICE_IMAGES": str(IMAGES_RECORD), "PYTHONPATH": str(ROOT)}
    if not os.environ.get("KUBE_CONTEXT"):
        values["KUBECONFIG"] = str(KUBECONFIG)
    values["PATH"] = f"{TOOLS}:{BIN}:{os.environ['PATH']}"
    return values


def run(stages: tuple[Stage, ...]) -> int:
    """Run stages until one fails; return its exit code."""
    started = time.monotonic()
    for number, stage in enumerate(stages, start=1):
        console.rule(
            f"{number}/{len(stages)} {stage.title} [{time.monotonic() - started:.0f} s]".replace("[", r"\["),
            align="left",
        )
        if not stage.command:
            console.print("  nothing there yet")
            continue
        carry_out = partial(call, stage.command)
        code = side_by_side(carry_out, stage.beside) if stage.beside else carry_out()
        if code != 0:
            console.print(
                f"{stage.title}: failed with {code} after {time.monotonic() - started:.0f} s", style="red", markup=False
            )
            return code
    return 0


def call(command: Sequence[str]) -> int:
    """Run a command of a stage; return its exit code."""
    return subprocess.run(command, cwd=ROOT, env={**environment(), **SPARED}, check=False).returncode


def side_by_side(first: Callable[[], int], command: Sequence[str], *, yields: bool = False) -> int:
    """Do the first while a command runs; return the exit code of the one that failed.

    With ``yields`` the command has the CPU time that the first leaves. What it prints is shown when it has ended. Both
    come to their end, whatever becomes of the other: tests in the cluster leave it as they found it.
    """
    with tempfile.TemporaryFile() as kept, ThreadPoolExecutor(1) as pool:
        other = subprocess.Popen(
            ("nice", *command) if yields else command, stdout=kept, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            cwd=ROOT, env={**environment(), **SPARED}, start_new_session=True,
        )  # fmt: skip
        if yields:
            yield_cpus(other.pid)
        shown = pool.submit(show_when_ended, other, kept)
        try:
            code = first()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(other.pid, signal.SIGINT)
            raise
        return code or shown.result()


def yield_cpus(pid: int) -> None:
    """Let a session's processes yield to all others: Linux may weigh sessions first, and then what is in each."""
    with suppress(FileNotFoundError):
        Path(f"/proc/{pid}/autogroup").write_text("10")


def show_when_ended(process: subprocess.Popen[bytes], output: IO[bytes]) -> int:
    """Wait for a process, show what it printed, and return its exit code."""
    code = process.wait()
    output.seek(0)
    console.rule("meanwhile", align="left")
    sys.stderr.write(output.read().decode(errors="replace"))
    return code


def tell_outcomes(results: Path) -> str:
    """Print what failed, then how many tests of each level passed, failed and were skipped; return that of all.

    Args:
        results: where pytest's own reports are.
    """
    levels: dict[str, Counter[str]] = {}
    for report in sorted(results.glob("*.xml")):
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by pytest a moment ago
            module = case.get("classname", "").removeprefix("tests.")
            told = {child.tag: child.get("message", "") for child in case}
            failed = [told[tag] for tag in ("failure", "error") if tag in told]
            outcome = "failed" if failed else "skipped" if "skipped" in told else "passed"
            levels.setdefault(module.partition(".")[0], Counter())[outcome] += 1
            if failed:  # told again at the end: its report is far above, and a log may be cut
                why = failed[0].partition("\n")[0][:300]
                console.print(f"  failed: {module}::{case.get('name')}: {why}", style="red", markup=False)
    for level, counted in levels.items():
        console.print(f"  {level:<10}" + _line(counted))
    return _line(sum(levels.values(), Counter[str]()))


def _line(counted: Counter[str]) -> str:
    return ", ".join(f"{counted[outcome]} {outcome}" for outcome in OUTCOMES)


def run_tests() -> int:
    """Run everything, and end with one line for each level and one for all."""
    started = time.monotonic()
    for report in RESULTS.glob("*.xml"):
        report.unlink()
    code = side_by_side(lambda: run(ON_CLUSTER), python("-m", "tests.cluster.pipeline", "check"), yields=True)
    bytecode.keep(BIN.parent)
    summary = tell_outcomes(RESULTS)
    verdict = "all stages passed" if code == 0 else "FAILED"
    console.print(f"{verdict}: {summary} in {time.monotonic() - started:.0f} s")
    return code


def main() -> int:
    """Run the pipeline that the command line names."""
    match sys.argv[1:]:
        case ["test"]:
            return run_tests()
        case [name] if name in PARTS:
            code = run(PARTS[name])
            bytecode.keep(BIN.parent)
            return code
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
