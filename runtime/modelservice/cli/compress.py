"""``modelservice compress``: a trained model made smaller on this machine."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from modelservice.cli.common import Commands, add_command, add_encryption, collect_rarely
from modelservice.cli.train import Watching, add_sides, carry_out

if TYPE_CHECKING:
    from modelservice.stages.documents import Resource
    from modelservice.stages.local import Finished

_EXAMPLES = """\
examples:
  modelservice compress -f wine.yaml --input out/wine.trained --output out/wine
  modelservice compress -f churn.yaml --data churn.csv --input models/1 --output models/1-small
"""


def add_compress(commands: Commands) -> None:
    """Add the command."""
    summary = "compress a trained model as spec.compression says, and store it as another artifact"
    parser = add_command(commands, "compress", summary, _EXAMPLES)
    parser.add_argument("-f", "--file", type=Path, metavar="CR.yaml", required=True, help="file with the ModelService")
    parser.add_argument("--input", metavar="DIR", required=True, help="folder of the trained model")
    parser.add_argument("--output", metavar="DIR", required=True, help="folder of the compressed model")
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="what it was trained on; default: as for train, from the file"
    )
    add_sides(parser)
    add_encryption(parser)
    parser.set_defaults(command=_compress)


def _compress(parsed: argparse.Namespace) -> int:
    collect_rarely()
    from modelservice.stages.local import (  # noqa: PLC0415
        compress_locally,
        input_folder,
        output_folder,
        sides_given,
    )

    def work(resource: "Resource", watching: Watching) -> "Finished":
        return compress_locally(
            resource,
            trained=input_folder(parsed.input),
            data=parsed.data,
            given=sides_given(parsed.validation_data, parsed.test_data),
            output=output_folder(parsed.output),
            **watching._asdict(),
        )

    return carry_out(parsed, work)
