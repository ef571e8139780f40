"""``modelservice train``: the pipeline on this machine."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelservice.cli.common import Commands, add_command, add_encryption, collect_rarely, complain
from modelservice.contract import server_flags
from modelservice.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from modelservice.stages.documents import Resource
    from modelservice.stages.local import Finished, Observer
    from modelservice.training.interruption import Interruption

_EXAMPLES = """\
examples:
  modelservice train -f iris.yaml                     the data is the ConfigMap in the same file
  modelservice train -f churn.yaml --data churn.csv   or a file: CSV, Excel, JSON lines, Parquet, NPZ
  modelservice train -f iris.yaml --output models/1   default: ./out/<name>
"""


class Watching(NamedTuple):
    """Who is told how it goes, and who may end it."""

    observe: "Observer"
    say: Callable[[str], None]
    interruption: "Interruption"


def add_train(commands: Commands) -> None:
    """Add the command."""
    summary = "train a model, compress it if asked to, and store it as an artifact"
    parser = add_command(commands, "train", summary, _EXAMPLES)
    parser.add_argument("-f", "--file", type=Path, metavar="CR.yaml", required=True, help="file with the ModelService")
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="data file; default: spec.data.uri, or the ConfigMap in the same file"
    )
    add_sides(parser)
    text = "a copy of what model.artifact names; default: what lies there"
    parser.add_argument("--artifact", type=Path, metavar="DIR", help=text)
    parser.add_argument("--output", metavar="DIR", help="folder of the artifact; default: ./out/<name>")
    text = "address of the encoder that model.encoder.service names, such as http://localhost:8081"
    parser.add_argument(server_flags.ENCODER, metavar="URL", help=text)
    text = "processes that train together; default: spec.training.workers"
    parser.add_argument("--workers", type=_workers, metavar="N", help=text)
    add_encryption(parser)
    parser.set_defaults(command=_train)


def add_sides(parser: argparse.ArgumentParser) -> None:
    """Add the options of files whose rows are on one side."""
    for side in ("validation", "test"):
        parser.add_argument(
            f"--{side}-data", type=Path, metavar="FILE", help=f"beside --data: what spec.data.split.files.{side} names"
        )


def _workers(said: str) -> int:
    from modelservice.contract.training import MAX_WORKERS  # noqa: PLC0415

    if said.isdigit() and 1 <= int(said) <= MAX_WORKERS:
        return int(said)
    raise argparse.ArgumentTypeError(f"{said!r} is no number from 1 to {MAX_WORKERS}")


def _train(parsed: argparse.Namespace) -> int:
    collect_rarely()
    from modelservice.stages.local import output_folder, run_locally, sides_given  # noqa: PLC0415
    from modelservice.stages.local_team import run_local_team, together_of, workers_of  # noqa: PLC0415
    from modelservice.training.peers import rank_of  # noqa: PLC0415

    rank = rank_of(os.environ)
    if rank is None and (workers := workers_of(parsed.file, parsed.workers)) > 1:
        return run_local_team(_arguments(parsed, workers), workers=workers, environment=os.environ, out=sys.stderr)

    def work(resource: "Resource", watching: Watching) -> "Finished":
        output = None if parsed.output is None else output_folder(parsed.output)
        given = sides_given(parsed.validation_data, parsed.test_data)
        together = together_of(resource, os.environ)
        return run_locally(
            resource,
            data=parsed.data,
            given=given,
            artifact=parsed.artifact,
            encoder=parsed.encoder,
            output=output,
            together=together,
            **watching._asdict(),
        )

    return carry_out(parsed, work, quiet=bool(rank))


def _arguments(parsed: argparse.Namespace, workers: int) -> list[str]:
    """The command line of each process."""
    said = {
        "--file": parsed.file,
        "--data": parsed.data,
        "--validation-data": parsed.validation_data,
        "--test-data": parsed.test_data,
        "--artifact": parsed.artifact,
        "--output": parsed.output,
        server_flags.ENCODER: parsed.encoder,
        "--workers": workers,
    }
    given = [f"{name}={value}" for name, value in said.items() if value is not None]
    return ["-m", "modelservice", "train", *given]


def carry_out(
    parsed: argparse.Namespace, work: "Callable[[Resource, Watching], Finished]", *, quiet: bool = False
) -> int:
    """Read ``--file``, do the work with progress shown, say what came of it if not quiet, and give the exit code."""
    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.stages.documents import ResourceError, read_resource  # noqa: PLC0415
    from modelservice.stages.failures import UNEXPECTED, report_failure  # noqa: PLC0415

    try:
        resource = read_resource(parsed.file)
        with watched() as (observe, say), _ended_by_ctrl_c() as interruption:
            done = work(resource, Watching(observe=observe, say=say, interruption=interruption))
    except (ResourceError, ArtifactError) as error:
        complain(str(error))
        return ExitCode.ORDER_INVALID
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(f"{error.strerror or error}: {error.filename or 'the model cannot be stored'}")
        return ExitCode.TRY_AGAIN
    except Exception as error:
        failure, code = report_failure(error)
        if failure.reason == UNEXPECTED:
            raise
        complain(failure.message, field=failure.field)
        return code
    if not quiet:
        _print(done, parsed, resource.service.metadata.name)
    return ExitCode.DONE


def _print(done: "Finished", parsed: argparse.Namespace, name: str) -> None:
    from rich.console import Console  # noqa: PLC0415

    from modelservice.inference.summary import print_summary  # noqa: PLC0415

    console, produced = Console(), done.produced
    print_summary(console, manifest=produced.manifest, digest=done.success.digest, metrics=produced.measured)
    console.print(f"\nstored in {done.folder}; next:", highlight=False)
    serve = f"-f {parsed.file}" if parsed.output is None else f"--model {done.folder} --name {name}"
    keys = "".join(f" --encryption-key {key}" for key in parsed.encryption_key or ())
    encoder = f" {server_flags.ENCODER} {parsed.encoder}" if getattr(parsed, "encoder", None) else ""
    console.print(f"  modelservice serve {serve}{keys}{encoder}", highlight=False, soft_wrap=True)
    console.print(f"  modelservice inspect {done.folder}{keys}", highlight=False, soft_wrap=True)


@contextmanager
def watched() -> "Iterator[tuple[Observer, Callable[[str], None]]]":
    """A bar where there is a terminal, JSON lines where there is a log; both beside the results, on stderr."""
    from modelservice.training.progress import JsonLines, announce, bar_for_people  # noqa: PLC0415

    with bar_for_people(sys.stderr) as shown:
        if shown is not None:
            yield announce([shown.bar], time.perf_counter), shown.say
        else:
            log = JsonLines(sys.stderr)
            yield announce([log], time.perf_counter), lambda message: log.write("note", message=message)


@contextmanager
def _ended_by_ctrl_c() -> "Iterator[Interruption]":
    """Ctrl-C waits for a checkpoint, from which the same command goes on; a second one does not wait."""
    from modelservice.training.interruption import Interruption  # noqa: PLC0415

    interruption = Interruption(KeyboardInterrupt)
    before = signal.signal(signal.SIGINT, lambda *_: interruption.ask())
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
