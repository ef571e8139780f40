"""``modelservice cluster``, as ``kubectl modelservice``: ModelServices of a cluster, from a terminal."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from modelservice.cli import cluster_artifacts, cluster_asking, cluster_changes
from modelservice.cli.common import Commands, add_command, complain, port_number
from modelservice.cli.completion import completed, of_contexts, of_names, of_revisions
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.metric_names import KnownMetric

if TYPE_CHECKING:
    from modelservice.cluster.access import Access

_EXAMPLES: Final = """\
examples:
  kubectl modelservice status                      all of the namespace; -A of all namespaces
  kubectl modelservice status iris                 what there is of it, and what each part waits for
  kubectl modelservice plan -f iris.yaml           what applying the file would train, restart or be refused
  kubectl modelservice predict iris rows.csv       or a JSON file, or - for stdin
  kubectl modelservice report iris                 its page in a browser, through a port of this machine
  kubectl modelservice logs iris --serving -f
  kubectl modelservice rollback iris               says the change for Git; --apply makes it
  kubectl modelservice retry iris                  says how what failed is tried again; --apply does it
  kubectl modelservice pull iris --output out/iris
  kubectl modelservice compare iris 3 4 --data iris.csv
  kubectl modelservice top

The commands are those of `modelservice cluster`, too. Contexts, namespaces and credentials are kubectl's.
"""


class _Command(NamedTuple):
    """A command: its name, what it does, what runs it, its options, and examples without the name before them."""

    name: str
    what: str
    run: "Callable[[argparse.Namespace, Access], int]"
    add: Callable[[argparse.ArgumentParser], None]
    examples: tuple[str, ...]


def plugin(arguments: Sequence[str] | None = None) -> int:
    """``kubectl-modelservice``, which kubectl runs for ``kubectl modelservice``."""
    from modelservice.cli import main  # noqa: PLC0415 - it imports this module

    return main(["cluster", *(sys.argv[1:] if arguments is None else arguments)])


def add_cluster(commands: Commands) -> None:
    """Add the command and those below it."""
    summary = "look at the ModelServices of a cluster, ask them, and change what they serve"
    parser = add_command(commands, "cluster", summary, _EXAMPLES)
    below = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _commands():
        shown = "\n".join(f"  kubectl modelservice {command.name} {one}".rstrip() for one in command.examples)
        one = add_command(below, command.name, command.what, f"examples:\n{shown}\n")
        command.add(one)
        one.add_argument("-n", "--namespace", help="default: that of the context")
        context = one.add_argument("--context", help="of the kubeconfig; default: the current one")
        completed(context, of_contexts)
        one.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, or ~/.kube/config")
        one.set_defaults(command=partial(_run, command.run))


def _commands() -> tuple[_Command, ...]:
    asking, changes, artifacts = cluster_asking, cluster_changes, cluster_artifacts
    plan = "say what applying a file would come to, and change nothing"
    top = "say what pods have answered since they began, and how inputs drift"
    return (
        _Command("status", "say what there is, and what it waits for", asking.status, _add_status, ("", "iris", "-A")),
        _Command("plan", plan, changes.plan_file, _add_file, ("-f iris.yaml", "-f iris.yaml -o json")),
        _Command(
            "report",
            "open the page of a model in a browser",
            asking.report,
            _add_report,
            ("iris", "iris --port 8080 --no-browser"),
        ),
        _Command(
            "predict",
            "ask a model about the rows of a file",
            asking.predict,
            _add_rows,
            ("iris rows.csv", "iris - < rows.json"),
        ),
        _Command(
            "logs",
            "print the log of the newest Job, or of what serves",
            asking.logs,
            _add_logs,
            ("iris", "iris --serving -f"),
        ),
        _Command(
            "rollback",
            "serve an older revision",
            partial(changes.pin, "rollback"),
            partial(_add_pin, default="the one before"),
            ("iris", "iris 3 --apply"),
        ),
        _Command(
            "promote",
            "serve what waits, or the newest model again",
            partial(changes.pin, "promote"),
            partial(_add_pin, default="what waits, or the newest model"),
            ("iris", "iris --apply"),
        ),
        _Command("retry", "try again what failed for good", changes.retry, _add_retry, ("iris", "iris --apply")),
        _Command(
            "pull",
            "have the artifact of a revision in a folder",
            artifacts.pull_artifact,
            _add_pull,
            ("iris --output out/iris", "iris --revision 3 --output out/iris-3 -o json"),
        ),
        _Command(
            "compare",
            "say how two revisions differ on the same rows",
            artifacts.compare_revisions,
            _add_compare,
            (
                "iris 3 4 --data iris.csv                      its test rows, where both learned from it",
                "iris 3 4 --data new.csv --metric logLoss      rows that neither learned from",
                "iris 3 4 --data iris.csv --artifact 3=out/iris-3",
            ),
        ),
        _Command("top", top, asking.top, _add_top, ("", "iris -o json")),
    )


def _add_name(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    name = parser.add_argument("name", metavar="NAME", nargs="?" if optional else None, help="of the ModelService")
    completed(name, of_names)


def _add_number(parser: argparse.ArgumentParser, name: str, metavar: str, text: str, nargs: str | None = None) -> None:
    completed(parser.add_argument(name, metavar=metavar, type=int, nargs=nargs, help=text), of_revisions)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=["json"], help="as JSON instead")


def _add_caller(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--token", help="an API key or a token, where the model asks for one")
    certificate = "a client certificate (PEM), where the model asks for one"
    parser.add_argument("--certificate", metavar="FILE", help=certificate)
    parser.add_argument("--key", metavar="FILE", help="its key; default: in the same file")


def _add_apply(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--apply", action="store_true", help="make the change in the cluster; default: say it only")


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_name(parser, optional=True)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    _add_output(parser)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--file", type=Path, required=True, metavar="CR.yaml", help="file with the ModelService")
    _add_output(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--port", type=port_number, default=0, metavar="PORT", help="of this machine; default: any")
    parser.add_argument("--no-browser", action="store_true", help="say the address only")


def _add_rows(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    rows = "a CSV file with a header, a JSON file with a list of rows, or - for such a list on stdin"
    parser.add_argument("rows", metavar="FILE", help=rows)
    _add_caller(parser)


def _add_logs(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--serving", action="store_true", help="of the pod that serves, not of a Job's")
    parser.add_argument("-f", "--follow", action="store_true", help=f"print what comes, {cluster_asking.RUNNING}")


def _add_pin(parser: argparse.ArgumentParser, *, default: str) -> None:
    _add_name(parser)
    _add_number(parser, "number", "REVISION", f"its number; default: {default}", nargs="?")
    _add_apply(parser)
    _add_output(parser)


def _add_retry(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    _add_apply(parser)
    _add_output(parser)


def _add_pull(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    _add_number(parser, "--revision", "N", "number of the revision; default: the one that answers")
    folder = "folder of the artifact; it appears when it is whole"
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help=folder)
    parser.add_argument("--force", action="store_true", help="put it in the place of another artifact")
    _add_caller(parser)
    parser.add_argument("-o", dest="format", choices=["json"], help="say what came as JSON")


def _add_compare(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    _add_number(parser, "first", "FIRST", "number of the revision that the difference is taken from")
    _add_number(parser, "second", "SECOND", "number of the other one")
    rows = "the file that both were trained on, whose test rows are asked; or rows that neither learned from"
    parser.add_argument("--data", type=Path, metavar="FILE", help=rows)
    known = [str(one) for one in KnownMetric]
    metric = "by what; default: the primary metric of the task"
    parser.add_argument("--metric", choices=known, metavar="METRIC", help=f"{metric}; one of {', '.join(known)}")
    folder = "folder of a revision's artifact that was pulled before; default: it is pulled"
    parser.add_argument("--artifact", action="append", default=[], metavar="N=DIR", help=folder)
    _add_caller(parser)
    _add_output(parser)


def _add_top(parser: argparse.ArgumentParser) -> None:
    _add_name(parser, optional=True)
    _add_output(parser)


def _run(command: Callable[[argparse.Namespace, "Access"], int], parsed: argparse.Namespace) -> int:
    """A command with access to the cluster; what goes wrong on the way is a sentence."""
    try:
        import kubernetes  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        complain("this command needs the extra `cluster` (pip install '.[cluster]' in the checkout)")
        return ExitCode.ORDER_INVALID
    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.client.errors import ClientError  # noqa: PLC0415
    from modelservice.cluster.access import Access  # noqa: PLC0415
    from modelservice.cluster.errors import ClusterError  # noqa: PLC0415
    from modelservice.contract.failure import StageError  # noqa: PLC0415

    try:
        access = Access(kubeconfig=parsed.kubeconfig, context=parsed.context, namespace=parsed.namespace)
        return command(parsed, access)
    except (ClusterError, ClientError, ArtifactError, ValueError) as error:
        complain(str(error))
        return ExitCode.ORDER_INVALID
    except StageError as error:
        complain(error.message, field=error.field)
        return error.failure().exit_code
    except OSError as error:
        complain(f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}")
        return ExitCode.ORDER_INVALID
