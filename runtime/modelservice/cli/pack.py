"""``modelservice pack``: an artifact of a model that was trained elsewhere."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelservice.cli.common import Commands, add_command, complain
from modelservice.cli.train import watched
from modelservice.contract.exit_codes import ExitCode

if TYPE_CHECKING:
    from modelservice.artifact.load import Artifact
    from modelservice.artifact.stores import Store
    from modelservice.packing.pack import Packed

_EXAMPLES = """\
examples:
  modelservice pack iris.onnx --output out/packed --labels setosa,versicolor,virginica \\
      --columns sepal_length,sepal_width,petal_length,petal_width
  modelservice pack resnet.onnx --output out/resnet --settings pack.yaml
  modelservice pack ./all-MiniLM-L6-v2 --output out/minilm --max-length 256      texts in, embeddings out

pack.yaml says the same and more (options win over it):
  name: iris
  target: species
  labels: [setosa, versicolor, virginica]
  columns: [{name: sepal_length, example: 5.8}, {name: sepal_width, example: 3.1}]
  inputs: [{name: pixels, shape: [3, 224, 224]}]     sizes that the file leaves open, and an example
  outputs: [probabilities]
  logits: false                                      true: a softmax makes probabilities of them
"""


def add_pack(commands: Commands) -> None:
    """Add the command."""
    summary = "make an artifact of an ONNX file, or of a Hugging Face folder of an encoder of texts or images"
    parser = add_command(commands, "pack", summary, _EXAMPLES)
    text = "an ONNX file, or a folder with config.json, model.safetensors and tokenizer.json"
    parser.add_argument("model", type=Path, metavar="MODEL", help=text)
    parser.add_argument("--output", metavar="DIR", required=True, help="folder of the artifact, or its URI")
    parser.add_argument("--settings", type=Path, metavar="FILE.yaml", help="what the file does not say, see below")
    parser.add_argument("--name", help="name of the model; default: that of the file")
    for option, text in (
        ("labels", "names of the classes, in the order of the probabilities"),
        ("columns", "names of the columns, in the order in which the model takes them"),
        ("outputs", "outputs that are served; default: all of floats"),
    ):
        parser.add_argument(f"--{option}", metavar="A,B,...", help=text)
    parser.add_argument("--target", help="what is predicted, for people")
    parser.add_argument("--logits", action="store_true", help="the output of the classes are logits")
    parser.add_argument("--max-length", type=int, metavar="N", help="tokens of a text that are read; default: 128")
    parser.add_argument("--force", action="store_true", help="replace an artifact that was not packed, or as another")
    parser.set_defaults(command=_pack)


def _pack(parsed: argparse.Namespace) -> int:
    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.artifact.stores import open_store  # noqa: PLC0415
    from modelservice.contract.failure import StageError  # noqa: PLC0415
    from modelservice.contract.progress import Progress  # noqa: PLC0415
    from modelservice.packing.errors import PackError  # noqa: PLC0415
    from modelservice.packing.pack import STAGE, STEPS, check_own, pack  # noqa: PLC0415
    from modelservice.packing.settings import read_settings  # noqa: PLC0415

    try:
        settings = read_settings(parsed.settings, _given(parsed))
        store = open_store(parsed.output, scratch=str(os.getpid()))
        store.prepare()
        with watched() as (observe, _):
            packed = pack(parsed.model, settings, observe=observe)
            found = _found(store, parsed)
            if found is not None and not parsed.force:
                check_own(found.manifest, packed, where=parsed.output)
            store.publish(packed.manifest, packed.files)
            observe(Progress(stage=STAGE, done=STEPS, total=STEPS))
    except (PackError, ArtifactError) as error:
        complain(str(error))
        return ExitCode.ORDER_INVALID
    except StageError as error:
        complain(error.message)
        return error.failure().exit_code
    except OSError as error:
        complain(f"{error.strerror or error}: {error.filename or parsed.output}")
        return ExitCode.TRY_AGAIN
    _print(packed, parsed.output, None if found is None else found.digest)
    return ExitCode.DONE


def _found(store: "Store", parsed: argparse.Namespace) -> "Artifact | None":
    """What lies there, and may be replaced only where its origin is known."""
    from modelservice.artifact.errors import ArtifactError  # noqa: PLC0415
    from modelservice.packing.errors import PackError  # noqa: PLC0415

    folder = Path(parsed.output)
    if folder.is_dir() and not any(folder.iterdir()):
        return None
    try:
        return store.load()
    except ArtifactError as error:
        if parsed.force:
            return None
        raise PackError(f"{error}; to put another in its place, give --force, too") from None


def _given(parsed: argparse.Namespace) -> dict[str, Any]:
    """What was said as options, under the names of the settings."""
    listed = {name: _names(getattr(parsed, name)) for name in ("labels", "outputs") if getattr(parsed, name)}
    columns = [{"name": name} for name in _names(parsed.columns)] if parsed.columns else None
    said = {
        "name": parsed.name,
        "target": parsed.target,
        "columns": columns,
        "logits": parsed.logits or None,
        "maxLength": parsed.max_length,
    }
    return {**listed, **{name: value for name, value in said.items() if value is not None}}


def _names(said: str) -> list[str]:
    """Names between commas; blanks around them are of whoever wrote the list, and of no name."""
    return [name.strip() for name in said.split(",")]


def _print(packed: "Packed", output: str, before: str | None) -> None:
    from rich.console import Console  # noqa: PLC0415

    from modelservice.inference.summary import print_contents  # noqa: PLC0415

    console, artifact = Console(), packed.artifact
    print_contents(console, manifest=artifact.manifest, signature=artifact.signature)
    for note in packed.notes:
        console.print(note, highlight=False, markup=False)
    console.print(f"digest {artifact.digest}", highlight=False, soft_wrap=True)
    if before is not None and before != artifact.digest:
        console.print(f"replaced {before}", highlight=False, soft_wrap=True)
    console.print(f"\nstored in {output}; next:", highlight=False)
    serve = f"  modelservice serve --model {output} --name {artifact.manifest.name}"
    console.print(serve, highlight=False, soft_wrap=True)
