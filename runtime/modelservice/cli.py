"""The command ``modelservice``: train, serve, inspect. torch is imported by the command that needs it."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import modelservice
from modelservice.contract import places
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.serving import Batching

if TYPE_CHECKING:
    from modelservice.training.loop import Observer

_TRAIN_EXAMPLES = """\
examples:
  modelservice train -f iris.yaml                     the table is the ConfigMap in the same file
  modelservice train -f churn.yaml --data churn.csv   or a file, plain or gzip
  modelservice train -f iris.yaml --output models/1   default: ./out/<name>
"""
_SERVE_EXAMPLES = """\
examples:
  modelservice serve -f iris.yaml                     the model that `train -f iris.yaml` stored
  modelservice serve --model models/1 --name iris --port 9000
"""
_INSPECT_EXAMPLES = """\
examples:
  modelservice inspect out/iris
  modelservice inspect out/iris --json
"""
_LAST_PORT = 65_535
_BATCHING = Batching()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors that a user can mend are printed without a traceback."""
    parsed = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except KeyboardInterrupt:
        _complain("interrupted")
        return 128 + 2


def build_parser() -> argparse.ArgumentParser:
    """The command line as argparse knows it."""
    parser = argparse.ArgumentParser(
        prog="modelservice", description="From a table to a served model, from the same file as in the cluster."
    )
    parser.add_argument("--version", action="version", version=f"modelservice {modelservice.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(_command(commands, "train", "train a model and store it as an artifact", _TRAIN_EXAMPLES))
    _add_serve(_command(commands, "serve", "answer requests with a stored model", _SERVE_EXAMPLES))
    _add_inspect(_command(commands, "inspect", "verify an artifact and show what it is", _INSPECT_EXAMPLES))
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, examples: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_train(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-f", "--file", type=Path, metavar="CR.yaml", help="file with the ModelService")
    source.add_argument("--task", type=Path, metavar="PATH", help="task file; what a pod in the cluster is told")
    parser.add_argument("--data", type=Path, metavar="FILE", help="CSV file; default: the ConfigMap in the same file")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the artifact; default: ./out/<name>")
    parser.set_defaults(command=_train)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-f", "--file", type=Path, metavar="CR.yaml", help="file with the ModelService")
    source.add_argument("--model", type=Path, metavar="DIR", help="folder of the artifact")
    parser.add_argument("--name", help="name of the model in the paths; needed with --model")
    parser.add_argument("--digest", metavar="sha256:...", help="refuse an artifact with another digest")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: %(default)s")
    parser.add_argument("--port", type=_port, default=places.SERVING_PORT, help="default: %(default)s; 0: a free one")
    for name, default in _BATCHING:
        text = f"default: {default}, or what the ModelService says"
        parser.add_argument(_batch_option(name), dest=name, type=int, metavar="N", help=text)
    parser.set_defaults(command=_serve, parser=parser)


def _batch_option(name: str) -> str:
    return f"--batch-{name.replace('_', '-')}"


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the artifact")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=_inspect)


def _train(parsed: argparse.Namespace) -> int:
    if parsed.task is not None:
        return _train_task(parsed.task)
    from rich.console import Console  # noqa: PLC0415

    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.training.documents import ResourceError, read_resource  # noqa: PLC0415
    from modelservice.training.failures import explain  # noqa: PLC0415
    from modelservice.training.local import train_local  # noqa: PLC0415
    from modelservice.training.summary import print_summary  # noqa: PLC0415

    try:
        resource = read_resource(parsed.file)
        with _observer() as observe:
            done = train_local(resource, data=parsed.data, output=parsed.output, observe=observe)
    except (ResourceError, ArtifactError) as error:
        _complain(str(error))
        return ExitCode.TASK_INVALID
    except OSError as error:
        _complain(f"{error.strerror or error}: {error.filename or 'the model cannot be stored'}")
        return ExitCode.TRY_AGAIN
    except Exception as error:
        failure, code = explain(error)
        if failure.reason == "UnexpectedError":
            raise
        _complain(failure.message, field=failure.field)
        return code
    console = Console()
    print_summary(console, manifest=done.manifest, digest=done.success.digest, metrics=done.metrics)
    console.print(f"\nstored in {done.folder}; next:", highlight=False)
    if parsed.output is None:
        console.print(f"  modelservice serve -f {parsed.file}", highlight=False, soft_wrap=True)
    else:
        name = done.manifest.name
        console.print(f"  modelservice serve --model {done.folder} --name {name}", highlight=False, soft_wrap=True)
    console.print(f"  modelservice inspect {done.folder}", highlight=False, soft_wrap=True)
    return ExitCode.DONE


def _train_task(task: Path) -> int:
    from modelservice.training.task import Places, Pod, run_task  # noqa: PLC0415

    return run_task(
        where=Places(task=task),
        pod=Pod.from_environment(os.environ),
        clock=time.perf_counter,
        now=time.time,
        out=sys.stdout,
    )


@contextmanager
def _observer() -> "Iterator[Observer]":
    """A bar where there is a terminal, JSON lines where there is a log; both beside the results, on stderr."""
    from rich.console import Console  # noqa: PLC0415

    from modelservice.training.progress import JsonLines, announce, bar  # noqa: PLC0415

    console = Console(stderr=True)
    if console.is_terminal:
        with bar(console) as listener:
            yield announce([listener], time.perf_counter)
    else:
        yield announce([JsonLines(sys.stderr)], time.perf_counter)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to {_LAST_PORT}")
    return int(text)


def _serve(parsed: argparse.Namespace) -> int:
    from pydantic import ValidationError  # noqa: PLC0415

    from modelservice.training.documents import ResourceError, default_output, read_resource  # noqa: PLC0415

    folder, name, batching = parsed.model, parsed.name, _BATCHING
    if parsed.file is not None:
        try:
            service = read_resource(parsed.file).service
        except ResourceError as error:
            _complain(str(error))
            return ExitCode.TASK_INVALID
        folder, name = default_output(service.metadata.name), name or service.metadata.name
        batching = service.spec.serving.batching
    elif name is None:
        parsed.parser.error("--name is needed with --model")
    given = {option: getattr(parsed, option) for option in Batching.model_fields}
    chosen = {option: getattr(batching, option) if value is None else value for option, value in given.items()}
    try:
        batching = Batching(**chosen)
    except ValidationError as error:
        wrong = error.errors()[0]
        option = next(name for name, field in Batching.model_fields.items() if wrong["loc"][0] in {name, field.alias})
        parsed.parser.error(f"{_batch_option(option)}: {wrong['msg']}")

    from modelservice.serving.main import serve  # noqa: PLC0415

    return serve(folder=folder, name=name, digest=parsed.digest, host=parsed.host, port=parsed.port, batching=batching)


def _inspect(parsed: argparse.Namespace) -> int:
    from rich.console import Console  # noqa: PLC0415

    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.artifact.load import load  # noqa: PLC0415
    from modelservice.contract.manifest import METRICS_FILE  # noqa: PLC0415
    from modelservice.predictor import Predictor  # noqa: PLC0415
    from modelservice.training.metrics import MetricsDocument  # noqa: PLC0415
    from modelservice.training.summary import print_contents, print_summary  # noqa: PLC0415

    try:
        artifact = load(parsed.folder)
        predictor = Predictor.from_artifact(artifact)
        metrics = artifact.document(METRICS_FILE, MetricsDocument)
    except ArtifactError as error:
        _complain(str(error))
        return ExitCode.TASK_INVALID
    if parsed.json:
        shown = {
            "digest": predictor.digest,
            "manifest": predictor.manifest.model_dump(mode="json"),
            "signature": predictor.signature.model_dump(mode="json"),
            "metrics": metrics.model_dump(mode="json", exclude={"curves"}),
        }
        sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
        return ExitCode.DONE
    console = Console()
    print_contents(console, manifest=predictor.manifest, signature=predictor.signature)
    print_summary(console, manifest=predictor.manifest, digest=predictor.digest, metrics=metrics)
    return ExitCode.DONE


def _complain(message: str, *, field: str | None = None) -> None:
    where = f" (see {field})" if field and field not in message else ""
    sys.stderr.write(f"error: {message}{where}\n")
