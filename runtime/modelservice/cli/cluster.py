"""``modelservice cluster``, as ``kubectl modelservice``: ModelServices of a cluster, from a terminal."""

import argparse
import json
import sys
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelservice.cli.common import Commands, add_command, complain
from modelservice.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from modelservice.cluster.access import Access
    from modelservice.cluster.pinning import Patch

_EXAMPLES: Final = """\
examples:
  kubectl modelservice status                      all of the namespace; -A of all namespaces
  kubectl modelservice status iris                 what there is of it, and what each part waits for
  kubectl modelservice plan -f iris.yaml           what applying the file would train, restart or be refused
  kubectl modelservice predict iris rows.csv       or a JSON file, or - for stdin
  kubectl modelservice report iris                 its page in a browser, through a port of this machine
  kubectl modelservice logs iris --serving -f
  kubectl modelservice rollback iris               says the change for Git; --apply makes it
  kubectl modelservice top

The commands are those of `modelservice cluster`, too. Contexts, namespaces and credentials are kubectl's.
"""
_RUNNING: Final = "until Ctrl-C"


def plugin(arguments: Sequence[str] | None = None) -> int:
    """``kubectl-modelservice``, which kubectl runs for ``kubectl modelservice``."""
    from modelservice.cli import main  # noqa: PLC0415 - it imports this module

    return main(["cluster", *(sys.argv[1:] if arguments is None else arguments)])


def add_cluster(commands: Commands) -> None:
    """Add the command and those below it."""
    summary = "look at the ModelServices of a cluster, ask them, and roll them back"
    parser = add_command(commands, "cluster", summary, _EXAMPLES)
    below = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    adding: tuple[tuple[str, str, Callable[..., int], Callable[[argparse.ArgumentParser], None]], ...] = (
        ("status", "say what there is, and what it waits for", _status, _add_status),
        ("plan", "say what applying a file would come to, and change nothing", _plan, _add_file),
        ("report", "open the page of a model in a browser", _report, _add_report),
        ("predict", "ask a model about the rows of a file", _predict, _add_rows),
        ("logs", "print the log of the newest Job, or of what serves", _logs, _add_logs),
        ("rollback", "serve an older revision", partial(_pin, "rollback"), _add_pin),
        ("promote", "serve what waits, or the newest model again", partial(_pin, "promote"), _add_pin),
        ("top", "say what pods have answered since they began, and how inputs drift", _top, _add_top),
    )
    for name, what, command, add in adding:
        one = add_command(below, name, what, "")
        add(one)
        one.add_argument("-n", "--namespace", help="default: that of the context")
        one.add_argument("--context", help="of the kubeconfig; default: the current one")
        one.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, or ~/.kube/config")
        one.set_defaults(command=partial(_run, command))


def _add_name(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?" if optional else None, help="of the ModelService")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=["json"], help="as JSON instead")


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_name(parser, optional=True)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    _add_output(parser)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--file", type=Path, required=True, metavar="CR.yaml", help="file with the ModelService")
    _add_output(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--port", type=int, default=0, metavar="PORT", help="of this machine; default: any")
    parser.add_argument("--no-browser", action="store_true", help="say the address only")


def _add_rows(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    rows = "a CSV file with a header, a JSON file with a list of rows, or - for such a list on stdin"
    parser.add_argument("rows", metavar="FILE", help=rows)
    parser.add_argument("--token", help="an API key or a token, where the model asks for one")


def _add_logs(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--serving", action="store_true", help="of the pod that serves, not of a Job's")
    parser.add_argument("-f", "--follow", action="store_true", help=f"print what comes, {_RUNNING}")


def _add_pin(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("number", metavar="REVISION", type=int, nargs="?", help="its number; default: the one before")
    parser.add_argument("--apply", action="store_true", help="make the change in the cluster; default: say it only")
    _add_output(parser)


def _add_top(parser: argparse.ArgumentParser) -> None:
    _add_name(parser, optional=True)
    _add_output(parser)


def _run(command: Callable[[argparse.Namespace, "Access"], int], parsed: argparse.Namespace) -> int:
    """A command with access to the cluster; what goes wrong on the way is a sentence."""
    try:
        import kubernetes  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        complain("this command needs the extra `cluster` (pip install 'modelservice[cluster]')")
        return ExitCode.ORDER_INVALID
    from modelservice.client.errors import ClientError  # noqa: PLC0415
    from modelservice.cluster.access import Access  # noqa: PLC0415
    from modelservice.cluster.errors import ClusterError  # noqa: PLC0415

    try:
        access = Access(kubeconfig=parsed.kubeconfig, context=parsed.context, namespace=parsed.namespace)
        return command(parsed, access)
    except (ClusterError, ClientError, ValueError) as error:
        complain(str(error))
        return ExitCode.ORDER_INVALID
    except OSError as error:
        complain(f"{error.filename or 'a file'} cannot be read: {error.strerror or error}")
        return ExitCode.ORDER_INVALID


def _status(parsed: argparse.Namespace, access: "Access") -> int:
    from modelservice.cluster.tree import HEADER, lines, service_row, service_tree  # noqa: PLC0415

    if parsed.name is None:
        services = access.services(everywhere=parsed.all_namespaces)
        if parsed.output:
            return _print_json([{"name": one["metadata"]["name"], **one.get("status", {})} for one in services])
        where = "the cluster" if parsed.all_namespaces else f"namespace {access.namespace}"
        return _print_table(HEADER, [service_row(one) for one in services], empty=f"no ModelServices in {where}")
    service = access.service(parsed.name)
    if parsed.output:
        return _print_json(service.get("status", {}))
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False)
    looks = {True: "green", False: "red", None: ""}
    for text, good in lines(service_tree(service, access.children(parsed.name))):
        console.print(Text(text, style=looks[good]))
    return ExitCode.DONE


def _plan(parsed: argparse.Namespace, access: "Access") -> int:
    from modelservice.cluster.errors import NotFoundError  # noqa: PLC0415
    from modelservice.cluster.planning import data_digest, final_keys, known_keys, plan  # noqa: PLC0415
    from modelservice.stages.documents import ResourceError, read_resource  # noqa: PLC0415

    try:
        resource = read_resource(parsed.file)
    except ResourceError as error:
        raise ValueError(f"{parsed.file} would be refused:\n{error}") from None
    metadata, spec = resource.service.metadata, resource.service.spec
    name = metadata.name
    if parsed.namespace is None and "namespace" in metadata.model_fields_set:
        access.namespace = metadata.namespace  # as kubectl apply takes it
    try:
        live = access.service(name)
    except NotFoundError:
        live = None
    document = resource.service.model_dump(mode="json", by_alias=True, exclude_unset=True)
    wanted = access.stored(document, live)["spec"]
    source = None if spec.data is None or not spec.reads_data else spec.known_data.config_map
    config_map = None
    if source is not None:
        config_map = resource.config_maps.get(source.name) or access.config_map(source.name)
    digest = data_digest(spec, config_map)
    keys = None if digest is None else final_keys(spec, digest)
    records = access.children(name).get("ControllerRevision", ()) if live else ()
    steps = plan(live, wanted, keys, known_keys(live, records))
    if parsed.output:
        return _print_json([step._asdict() for step in steps])
    sys.stdout.write(f"{name} in namespace {access.namespace}{'' if live else ', which is new'}:\n")
    for step in steps:
        sys.stdout.write(f"  {'!' if step.costs else '-'} {step.said}\n")
    if any(step.costs for step in steps):
        sys.stdout.write("  (! a Job runs)\n")
    return ExitCode.DONE


def _report(parsed: argparse.Namespace, access: "Access") -> int:
    with _led(parsed, access, port=parsed.port) as address:
        sys.stdout.write(f"{parsed.name}: {address}/ ({_RUNNING})\n")
        sys.stdout.flush()
        if not parsed.no_browser:
            webbrowser.open(f"{address}/")
        _wait()
    return ExitCode.DONE


def _predict(parsed: argparse.Namespace, access: "Access") -> int:
    import modelservice  # noqa: PLC0415

    rows, options = _rows(parsed.rows)
    with (
        _led(parsed, access) as address,
        modelservice.connect(_plain(address, parsed.name), model=parsed.name, token=parsed.token) as model,
    ):
        return _print_json(model.predict(rows, **options))


def _plain(address: str, name: str) -> str:
    """Refuse TLS: its certificate is of the Service's name, which an address of this machine has not."""
    if address.startswith("https"):
        said = (
            f"{name} speaks TLS, for its own name: ask it where that leads to it, by modelservice.connect(url, ca=...)"
        )
        raise ValueError(said)
    return address


def _logs(parsed: argparse.Namespace, access: "Access") -> int:
    from modelservice.cluster.access import SERVING, STAGE_LABEL  # noqa: PLC0415
    from modelservice.cluster.errors import NotFoundError  # noqa: PLC0415

    access.service(parsed.name)
    pods = access.pods(parsed.name)
    found = [pod for pod in pods if (pod["metadata"]["labels"].get(STAGE_LABEL) == SERVING) == parsed.serving]
    if not found:
        what = "no pod serves" if parsed.serving else "no pod of a Job is left: its log went with it"
        raise NotFoundError(f"{parsed.name}: {what}; see kubectl modelservice status {parsed.name}")
    pod = found[0]
    sys.stderr.write(f"{pod['metadata']['name']}:\n")
    container = pod["spec"]["containers"][0]["name"]
    for line in access.log(pod["metadata"]["name"], container=container, follow=parsed.follow):
        sys.stdout.write(line)
    return ExitCode.DONE


def _pin(command: str, parsed: argparse.Namespace, access: "Access") -> int:
    from modelservice.cluster import pinning  # noqa: PLC0415

    service = access.service(parsed.name)
    records = access.children(parsed.name).get("ControllerRevision", ())
    pin: Patch = getattr(pinning, command)(service, parsed.number, records)
    if parsed.output:
        _print_json(pin.change)
    else:
        change = json.dumps(pin.change)
        sys.stdout.write(f"{pin.said}.\n\n")
        sys.stdout.write("The change for Git, or by hand where no Git is master of it:\n")
        sys.stdout.write(f"  kubectl patch mdsvc {parsed.name} -n {access.namespace} --type=merge -p '{change}'\n")
    access.patch(parsed.name, pin.change, dry_run=not parsed.apply)
    if parsed.apply:
        sys.stderr.write("applied\n")
    elif not parsed.output:
        sys.stdout.write("\nNothing was changed: --apply does it. The apiserver would take it.\n")
    return ExitCode.DONE


def _top(parsed: argparse.Namespace, access: "Access") -> int:
    from modelservice.cluster.usage import HEADER, usage_of  # noqa: PLC0415

    services = access.services() if parsed.name is None else [access.service(parsed.name)]
    names = [one["metadata"]["name"] for one in services]
    found = {name: usage_of(_scrapes(access, name)) for name in names}
    if parsed.output:
        return _print_json({name: usage._asdict() for name, usage in found.items()})
    rows = [usage.row(name) for name, usage in found.items()]
    return _print_table(HEADER, rows, empty=f"no ModelServices in namespace {access.namespace}")


def _scrapes(access: "Access", name: str) -> Iterator[str]:
    """Metrics of each ready pod."""
    import httpx  # noqa: PLC0415

    from modelservice.cluster.access import SERVING  # noqa: PLC0415
    from modelservice.cluster.errors import ClusterError  # noqa: PLC0415
    from modelservice.cluster.forwarding import forwarded, is_ready, target_of  # noqa: PLC0415

    for pod in filter(is_ready, access.pods(name, stage=SERVING)):
        try:
            target = target_of([pod], name, status=True)
            with forwarded(access, target) as address:
                yield httpx.get(f"{address}/metrics", timeout=10, trust_env=False, verify=False).text  # noqa: S501 - by the apiserver's own TLS
        except (ClusterError, httpx.HTTPError) as error:
            complain(f"pod {pod['metadata']['name']} is left out: {error}")


@contextmanager
def _led(parsed: argparse.Namespace, access: "Access", port: int = 0) -> Iterator[str]:
    """An address of this machine that leads to a pod of the model."""
    from modelservice.cluster.access import SERVING  # noqa: PLC0415
    from modelservice.cluster.forwarding import forwarded, target_of  # noqa: PLC0415

    access.service(parsed.name)
    target = target_of(access.pods(parsed.name, stage=SERVING), parsed.name)
    with forwarded(access, target, port=port) as address:
        yield address


def _wait() -> None:
    """Until somebody interrupts, which is how it ends."""
    import threading  # noqa: PLC0415

    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        sys.stdout.write("\n")


def _rows(place: str) -> tuple[list[Any], dict[str, str]]:
    """Rows of a file, and what else the request says.

    Cells of CSV stay texts, which the model reads as it reads those of its training data; columns that it does not
    have, such as the target, are left out.
    """
    import csv  # noqa: PLC0415

    if Path(place).suffix.lower() == ".csv":
        with Path(place).open(encoding="utf-8-sig", newline="") as file:
            rows = [{name: text or None for name, text in row.items()} for row in csv.DictReader(file, strict=True)]
            return rows, {"unknown_columns": "Ignore"}
    content = sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")
    given = json.loads(content)
    if isinstance(given, dict):
        given = given.get("instances")
    if not isinstance(given, list):
        raise ValueError(  # noqa: TRY004 - no type of Python's
            f'{place} must hold a list of rows, or {{"instances": [...]}}'
        )
    return given, {}


def _print_json(value: Any) -> int:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    return ExitCode.DONE


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> int:
    """As kubectl prints tables."""
    if not rows:
        sys.stderr.write(f"{empty}\n")
        return ExitCode.DONE
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")
    return ExitCode.DONE
