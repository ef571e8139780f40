"""``modelservice inspect``: what an artifact is."""

import argparse
import json
import sys
from pathlib import Path

from modelservice.cli.common import Commands, add_command, add_encryption, complain
from modelservice.contract.exit_codes import ExitCode

_EXAMPLES = """\
examples:
  modelservice inspect out/iris
  modelservice inspect out/iris --json
  modelservice inspect s3://models/team-a/iris/qp2iu6b5
  modelservice inspect oci://registry.example/models/team-a/iris:qp2iu6b5
"""
_MOST_SHOWN = 3


def add_inspect(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "inspect", "verify an artifact and show what it is", _EXAMPLES)
    parser.add_argument("address", metavar="ADDRESS", help="folder of the artifact, or its URI in a store")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_encryption(parser)
    parser.set_defaults(command=_inspect)


def _inspect(parsed: argparse.Namespace) -> int:
    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.artifact.stores import load_artifact  # noqa: PLC0415
    from modelservice.contract.failure import StorageError  # noqa: PLC0415
    from modelservice.contract.manifest import METRICS_FILE  # noqa: PLC0415
    from modelservice.inference.predictor import Predictor  # noqa: PLC0415
    from modelservice.tasks.metrics_document import MetricsDocument  # noqa: PLC0415

    try:
        artifact = load_artifact(parsed.address)
        predictor = Predictor.from_artifact(artifact)
        known = METRICS_FILE in artifact.contents
        metrics = artifact.document(METRICS_FILE, MetricsDocument) if known else None
    except ArtifactError as error:
        complain(f"{error}{_nearby(parsed.address)}")
        return ExitCode.ORDER_INVALID
    except StorageError as error:
        complain(error.message)
        return error.failure().exit_code
    if parsed.json:
        reports = [f"{parsed.address.rstrip('/')}/{name}" for name in predictor.manifest.reports]
        shown = {**predictor.description, "reports": reports}
        sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
        return ExitCode.DONE

    from rich.console import Console  # noqa: PLC0415

    from modelservice.inference.summary import print_contents, print_reports, print_summary  # noqa: PLC0415

    console = Console()
    print_contents(console, manifest=predictor.manifest, signature=predictor.signature)
    print_summary(console, manifest=predictor.manifest, digest=predictor.digest, metrics=metrics)
    print_reports(console, address=parsed.address, manifest=predictor.manifest)
    return ExitCode.DONE


def _nearby(address: str) -> str:
    """What to name instead, where a path is near an artifact, or near none."""
    from modelservice.contract.manifest import MANIFEST_FILE  # noqa: PLC0415

    path = Path(address)
    if "://" in address or not path.exists() or (path / MANIFEST_FILE).exists():
        return ""
    if path.is_file():
        near = [path.parent] if (path.parent / MANIFEST_FILE).exists() else []
    else:
        near = sorted(folder.parent for folder in path.glob(f"*/{MANIFEST_FILE}"))
    shown = " or ".join(map(str, near[:_MOST_SHOWN]))
    return f"; did you mean {shown}?" if near else "; by itself train writes to out/NAME"
