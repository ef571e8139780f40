"""Commands of ``kubectl modelservice`` that ask a cluster and its pods, and change nothing."""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelservice.cli.common import complain
from modelservice.cli.csv_rows import read_csv_rows
from modelservice.cli.terminal import print_json, print_table
from modelservice.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from modelservice.cluster.access import Access

RUNNING: Final = "until Ctrl-C"


def status(parsed: argparse.Namespace, access: "Access") -> int:
    """A table of all, or the tree of one."""
    from modelservice.cluster.tree import HEADER, lines, service_row, service_tree  # noqa: PLC0415

    if parsed.name is None:
        services = access.services(everywhere=parsed.all_namespaces)
        if parsed.output:
            return print_json([{"name": one["metadata"]["name"], **one.get("status", {})} for one in services])
        where = "the cluster" if parsed.all_namespaces else f"namespace {access.namespace}"
        return print_table(HEADER, [service_row(one) for one in services], empty=f"no ModelServices in {where}")
    service = access.service(parsed.name)
    if parsed.output:
        return print_json(service.get("status", {}))
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False)
    looks = {True: "green", False: "red", None: ""}
    for text, good in lines(service_tree(service, access.children(parsed.name))):
        console.print(Text(text, style=looks[good]))
    return ExitCode.DONE


def report(parsed: argparse.Namespace, access: "Access") -> int:
    """The page of a model in a browser, until Ctrl-C."""
    with _led(parsed, access, port=parsed.port) as address:
        sys.stdout.write(f"{parsed.name}: {address}/ ({RUNNING})\n")
        sys.stdout.flush()
        if not parsed.no_browser:
            import webbrowser  # noqa: PLC0415 - each command would pay for it, a server's start too

            webbrowser.open(f"{address}/")
        _wait()
    return ExitCode.DONE


def predict(parsed: argparse.Namespace, access: "Access") -> int:
    """Answers for the rows of a file."""
    from modelservice.client.connecting import connect_forwarded  # noqa: PLC0415

    rows, options = _rows(parsed.rows)
    caller = {"token": parsed.token, "certificate": parsed.certificate, "key": parsed.key}
    with _led(parsed, access) as address, connect_forwarded(address, model=parsed.name, **caller) as model:
        return print_json(model.predict(rows, **options))


def logs(parsed: argparse.Namespace, access: "Access") -> int:
    """Lines of the newest pod."""
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


def top(parsed: argparse.Namespace, access: "Access") -> int:
    """What pods have answered, as a table."""
    from modelservice.cluster.usage import HEADER, usage_of  # noqa: PLC0415

    services = access.services() if parsed.name is None else [access.service(parsed.name)]
    names = [one["metadata"]["name"] for one in services]
    found = {name: usage_of(_scrapes(access, name)) for name in names}
    if parsed.output:
        return print_json({name: usage._asdict() for name, usage in found.items()})
    rows = [usage.row(name) for name, usage in found.items()]
    return print_table(HEADER, rows, empty=f"no ModelServices in namespace {access.namespace}")


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


def _rows(place: str) -> tuple[list[Any], dict[str, Any]]:
    """Rows of a file, and what else the request says.

    Columns of CSV that the model does not have, such as the target, are left out.

    Raises:
        ValueError: it holds no rows.
    """
    if Path(place).suffix.lower() == ".csv":
        try:
            return read_csv_rows(Path(place)), {"unknown_columns": "Ignore"}
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{place} cannot be read: {error}") from None
    try:
        given = json.loads(sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{place} is not JSON: {error}") from None
    options = dict(given) if isinstance(given, dict) else {"instances": given}
    rows = options.pop("instances", None)
    if not isinstance(rows, list):
        raise ValueError(  # noqa: TRY004 - no type of Python's
            f'{place} must hold a list of rows, or {{"instances": [...]}}'
        )
    return rows, options
