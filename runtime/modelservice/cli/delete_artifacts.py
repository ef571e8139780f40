"""``modelservice delete-artifacts``: removes artifacts from object storage, as a pod in the cluster does it."""

import argparse
import sys
from pathlib import Path

from modelservice.cli.common import Commands, add_command
from modelservice.contract import places

_EXAMPLES = """\
examples:
  modelservice delete-artifacts --uri s3://models/team --namespace shop --name churn qp2iu6b5
"""


def add_delete_artifacts(commands: Commands) -> None:
    """Add the command."""
    summary = "delete artifacts of a ModelService from object storage, by their keys"
    parser = add_command(commands, "delete-artifacts", summary, _EXAMPLES)
    text = "bucket and folder, as spec.artifacts.uri says: s3://, gs:// or az://"
    parser.add_argument("--uri", required=True, help=text)
    parser.add_argument("--namespace", required=True, help="namespace of the ModelService")
    parser.add_argument("--name", required=True, help="its name")
    text = "where a failure is left for the kubelet; default: %(default)s"
    parser.add_argument("--report", type=Path, metavar="PATH", default=Path(places.TERMINATION_LOG_PATH), help=text)
    parser.add_argument("keys", nargs="+", metavar="KEY", help="key of an artifact: the folder URI/NAMESPACE/NAME/KEY")
    parser.set_defaults(command=_delete)


def _delete(parsed: argparse.Namespace) -> int:
    from modelservice.stages.deleting import run_deletion  # noqa: PLC0415

    return run_deletion(
        uri=parsed.uri,
        namespace=parsed.namespace,
        name=parsed.name,
        keys=parsed.keys,
        report=parsed.report,
        out=sys.stdout,
    )
