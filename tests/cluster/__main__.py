"""The command: python -m tests.cluster up | down | status | env | images | load | push | bundle | user."""

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table
from tests.cluster import images, lifecycle, load, pki, toolchain
from tests.cluster.packages import PackagesMissingError
from tests.cluster.paths import CACHE, KUBECONFIG, ROOT, TOOLS
from tests.cluster.shell import ClusterError, console, exclusive


def main() -> int:
    """Run one command; say what went wrong in words."""
    arguments = _parser().parse_args()
    try:
        _run_alone(arguments)
    except (ClusterError, PackagesMissingError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here", style="yellow")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start what is missing of the cluster")
    up.add_argument("--nodes", type=int, choices=(1, 2), help="how many real nodes; default: those there are, or one")
    down = commands.add_parser("down", help="stop and delete the cluster; cached images stay")
    down.add_argument("--purge", action="store_true", help="delete the cached images too")
    commands.add_parser("status", help="what runs")
    commands.add_parser("env", help="export lines for eval")
    build = commands.add_parser("build", help="build binaries only")
    build.add_argument("modules", nargs="*")
    commands.add_parser("images", help="build the project's images")
    to = commands.add_parser("load", help="build the images and load them into the nodes, or into a kind cluster")
    to.add_argument("--kind", metavar="NAME")
    push = commands.add_parser("push", help="build the images and push them to a registry")
    push.add_argument("registry")
    bundle = commands.add_parser("bundle", help="one tar for clusters without internet")
    bundle.add_argument("--output", type=Path, default=ROOT / "build" / "modelservice-bundle.tar")
    user = commands.add_parser("user", help="make a kubeconfig for a user without rights, and print its path")
    user.add_argument("name")
    return parser


def _run_alone(arguments: argparse.Namespace) -> None:
    """Let what only reads pass; everything else one after the other."""
    if arguments.command in {"env", "status"}:
        _run(arguments)
        return
    with exclusive(CACHE / "lock"):
        _run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "up":
            lifecycle.up(arguments.nodes)
        case "down":
            lifecycle.down(purge=arguments.purge)
        case "status":
            _print_status()
        case "env":
            if not KUBECONFIG.exists():
                raise ClusterError("there is no local cluster: make cluster-up")
            _write(
                f"export KUBECONFIG={shlex.quote(str(KUBECONFIG))}", f'export PATH={shlex.quote(str(TOOLS))}:"$PATH"'
            )
        case "build":
            toolchain.ensure(*arguments.modules)
        case "user":
            _write(str(pki.user_kubeconfig(arguments.name)))
        case _:
            _run_with_images(arguments)


def _run_with_images(arguments: argparse.Namespace) -> None:
    references = images.build_all()
    match arguments.command:
        case "images":
            _print_sizes(references)
            _write(*references.values())
        case "load" if arguments.kind:
            load.into_kind(references.values(), arguments.kind)
        case "load":
            nodes = lifecycle.running_nodes()
            load.into_nodes(references.values(), nodes)
            load.prune_nodes(references.values(), nodes)
        case "push":
            pushed = load.into_registry(references, arguments.registry)
            images.record(pushed)  # what a cluster elsewhere starts from now on
            _write(*pushed.values())
        case "bundle":
            load.into_bundle(references, arguments.output)
            _write(str(arguments.output))


def _print_sizes(references: Mapping[str, str]) -> None:
    table = Table("image", "MB, uncompressed")
    for name, megabytes in images.recorded_sizes().items():
        table.add_row(references[name], str(megabytes))
    console.print(table)


def _print_status() -> None:
    table = Table("component", "pid")
    for row in lifecycle.status():
        table.add_row(*row)
    console.print(table)


def _write(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
