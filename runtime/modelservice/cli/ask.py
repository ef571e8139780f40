"""``modelservice predict`` and ``modelservice explain``: what a server would answer, without a server."""

import argparse
import csv
import difflib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modelservice.cli.common import Commands, add_command, add_encryption, complain, engine_loader
from modelservice.cli.csv_rows import read_csv_rows
from modelservice.contract import server_flags
from modelservice.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from modelservice.contract.signature import Signature

_PREDICT: Final = """\
examples:
  modelservice predict out/iris rows.csv
  modelservice predict out/iris request.json          {"instances": [[5.1, 3.5, 1.4, 0.2]]}
  modelservice predict out/digits picture.png
  echo '[[5.1, 3.5, 1.4, 0.2]]' | modelservice predict out/iris -
"""
_EXPLAIN: Final = """\
examples:
  modelservice explain out/iris rows.csv
  echo '{"instances": [[5.1, 3.5, 1.4, 0.2]], "label": "setosa"}' | modelservice explain out/iris -
  modelservice explain out/iris-tree rows.csv --method TreePaths
  modelservice explain out/digits picture.png
  modelservice explain out/digits request.json --engine torch --method IntegratedGradients
"""
_STDIN: Final = "-"
_SEPARATORS: Final = (";", "\t", "|")


def add_ask(commands: Commands) -> None:
    """Add both commands."""
    for name, summary, examples in (
        ("predict", "answer rows of a file with a stored model", _PREDICT),
        ("explain", "say what each column, patch or word adds to the answers for rows of a file", _EXPLAIN),
    ):
        parser = add_command(commands, name, summary, examples)
        parser.add_argument("address", metavar="ADDRESS", help="folder of the artifact, or its URI in object storage")
        rows = (
            f"rows: a CSV file with a header, or JSON as :{name} takes it, or a list of rows; of a model of images also"
            " a PNG or JPEG; - reads one of these but CSV from stdin"
        )
        parser.add_argument("rows", metavar="FILE", help=rows)
        if name == "explain":
            method = (
                "where the request names none: of columns Shapley, and TreePaths of trees; of images Occlusion, and"
                " with torch IntegratedGradients and SmoothGrad"
            )
            parser.add_argument("--method", help=method)
        engine = f"what computes: {' or '.join(server_flags.ENGINES)}; default: %(default)s"
        parser.add_argument(
            server_flags.ENGINE, choices=server_flags.ENGINES, default="onnx", metavar="ENGINE", help=engine
        )
        encoder = "address of the encoder that a head asks for the numbers of rows"
        parser.add_argument(server_flags.ENCODER, metavar="URL", help=encoder)
        add_encryption(parser)
        parser.set_defaults(command=partial(_ask, explains=name == "explain"))


def _ask(parsed: argparse.Namespace, *, explains: bool) -> int:
    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.contract.failure import StorageError  # noqa: PLC0415
    from modelservice.inference.predictor import Predictor  # noqa: PLC0415
    from modelservice.serving.alone import answer_alone  # noqa: PLC0415
    from modelservice.serving.errors import RequestError  # noqa: PLC0415
    from modelservice.serving.model import ModelFaultError  # noqa: PLC0415

    try:
        engine = engine_loader(server_flags.ENGINES[parsed.engine])
        predictor = Predictor.load(parsed.address, engine=engine, encoder=parsed.encoder)
        method = parsed.method if explains else None
        answer = answer_alone(predictor, _body(parsed.rows, predictor.signature), explains=explains, method=method)
    except (ArtifactError, RequestError) as error:
        complain(str(error))
        return ExitCode.ORDER_INVALID
    except ModelFaultError as error:
        complain(f"{parsed.address} cannot be asked: {error}")
        return ExitCode.ORDER_INVALID
    except StorageError as error:
        complain(error.message)
        return error.failure().exit_code
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        complain(f"{parsed.rows} cannot be read: {getattr(error, 'strerror', None) or error}")
        return ExitCode.DATA_INVALID
    sys.stdout.write(answer.decode() + "\n")
    return ExitCode.DONE


def _body(place: str, signature: "Signature") -> bytes:
    """The body of a request: a list of rows is one of instances, and so is a CSV file."""
    import orjson  # noqa: PLC0415

    if place != _STDIN and Path(place).suffix.lower() == ".csv":
        rows = read_csv_rows(Path(place), check=lambda names: _check_header(Path(place), names, signature))
        return orjson.dumps({"instances": rows, "unknown_columns": "Ignore"})
    content = sys.stdin.buffer.read() if place == _STDIN else Path(place).read_bytes()
    return b'{"instances":%b}' % content if content.lstrip()[:1] == b"[" else content


def _check_header(path: Path, names: Sequence[str], signature: "Signature") -> None:
    """Refuse a header without a column of a model of tables, by what stands there in its place."""
    from modelservice.contract.signature import InputColumn  # noqa: PLC0415
    from modelservice.modalities.table.names import Names  # noqa: PLC0415
    from modelservice.modalities.tensors import listed  # noqa: PLC0415
    from modelservice.serving.errors import RequestError  # noqa: PLC0415

    columns = Names(one.name for one in signature.inputs if isinstance(one, InputColumn))
    given = {columns.known_as(name) for name in names}
    missing = next((name for name in columns.ordered if name not in given), None)
    if missing is None:
        return
    if columns.known.isdisjoint(given):
        expected, header = listed(columns.ordered), listed(names) or "empty"
        said = f"{path} has none of the model's columns ({expected}); its header is {header}"
        separator = next((one for one in _SEPARATORS if len(names) == 1 and one in names[0]), None)
        raise RequestError(
            said + (f", where {separator!r} separates: cells have to be separated by commas" if separator else "")
        )
    unused = [name for name in names if columns.known_as(name) not in columns.known]
    close = difflib.get_close_matches(missing, unused, n=1)
    remedy = f"did you mean its column {close[0]!r}?" if close else "leave its cells empty where values are not known"
    raise RequestError(f"{path} has no column {missing!r}; {remedy}")
