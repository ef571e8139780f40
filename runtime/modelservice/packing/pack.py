"""From a model that was trained elsewhere to an artifact: the same file and settings give the same digest."""

import platform
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

import modelservice
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes, file_entries
from modelservice.artifact.load import Artifact
from modelservice.contract.base import DNS_LABEL_PATTERN, MAX_NAME_LENGTH
from modelservice.contract.digests import sha256
from modelservice.contract.encoders import PretrainedModel
from modelservice.contract.keys import KEY_LENGTH, short_hash
from modelservice.contract.manifest import MODEL_FILE, PREPROCESSING_FILE, Manifest, OnnxSummary, Producer
from modelservice.contract.progress import Progress
from modelservice.contract.signature import SIGNATURE_FILE, Signature
from modelservice.inference.predictor import Predictor
from modelservice.modalities.encoders import build_encoder
from modelservice.modalities.errors import InputError
from modelservice.packing.errors import PackError
from modelservice.packing.readied import Readied
from modelservice.packing.settings import PackSettings
from modelservice.tasks.base import Array
from modelservice.tasks.probabilities import improbable

STAGE: Final = "pack"
STEPS: Final = 3
"""Reading, checking, and storing, which is the caller's."""
_TOLERANCE: Final = 1e-5
_TRIED: Final = (-10.0, -1.0, 1.0, 10.0)
"""Rows of one number, beside the example, for which labels must have probabilities: logits of zeros may look so."""
_FRACTIONS: Final = frozenset({"FP16", "FP32", "FP64"})


def pack(source: Path, settings: PackSettings, *, observe: Callable[[Progress], None] = lambda _: None) -> "Packed":
    """Make an artifact, and let it answer its own example.

    Args:
        source: an ONNX file, or a folder in the layout of Hugging Face.
        settings: what the file does not say.
        observe: is told of progress.

    Raises:
        PackError: it cannot be served as it is, or as it was described.
        StageError: the folder holds no model that can be read.
        OSError: the file system fails.
    """
    from modelservice.packing.onnx_model import ready_onnx  # noqa: PLC0415 - onnx takes long to import
    from modelservice.packing.pretrained_folder import ready_folder  # noqa: PLC0415

    name = settings.name or _name_of(source)
    _tell(observe, 0)
    if not source.exists():
        raise PackError(f"{source} is not there: name an ONNX file, or a folder with config.json and model.safetensors")
    if not source.is_dir() and "max_length" in settings.model_fields_set:
        raise PackError(f"{source} takes no texts, so that maxLength (--max-length) means nothing: leave it out")
    readied = ready_folder(source, settings) if source.is_dir() else ready_onnx(source, settings)
    _tell(observe, 1)
    packed = _put_together(name, readied, settings)
    _check_answer(packed, readied)
    _tell(observe, 2)
    return packed


def pack_pretrained(pretrained: PretrainedModel, *, name: str, key: str, section: str) -> "Packed":
    """Make an artifact of a pretrained model that ``section`` of a spec names, and let it answer its own example.

    Raises:
        PackError: it does not answer.
        StageError: the folder holds no model that can be read, or another one than was said.
        DataUnavailableError: its store fails, as it may for a while.
        OSError: the file system fails.
    """
    from modelservice.packing.pretrained_folder import ready_pretrained  # noqa: PLC0415 - as above

    readied = ready_pretrained(pretrained, section=section)
    packed = _put_together(name, readied, PackSettings(), key=key)
    _check_answer(packed, readied)
    return packed


def check_own(found: Manifest, packed: "Packed", *, where: str) -> None:
    """Refuse to put what was packed in place of what was trained, or packed under another name.

    Args:
        found: the manifest of what lies there.
        packed: what is to be stored.
        where: its address, for messages.

    Raises:
        PackError: it is of another origin.
    """
    name = packed.manifest.name
    if (found.stage, found.name) != (STAGE, name):
        made = "was packed" if found.stage == STAGE else "was not packed"
        raise PackError(
            f"{where} holds {found.name} of key {found.key}, which {made}, and {name} would replace it: name another"
            " --output, or give --force, too"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """An artifact in memory, and sentences on what was decided."""

    artifact: Artifact
    notes: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        """What it consists of."""
        return self.artifact.manifest

    @property
    def files(self) -> Mapping[str, bytes]:
        """Its files by name."""
        return self.artifact.contents


def _put_together(name: str, readied: Readied, settings: PackSettings, *, key: str | None = None) -> Packed:
    encoder = build_encoder(readied.modality, readied.preprocessing)
    signature = Signature(
        modality=readied.modality,
        task=readied.task,
        target=settings.target,
        inputs=encoder.inputs,
        outputs=readied.outputs,
    )
    files = {
        SIGNATURE_FILE: document_bytes(signature),
        PREPROCESSING_FILE: document_bytes(readied.preprocessing),
        MODEL_FILE: readied.onnx,
    }
    entries = file_entries(files)
    manifest = Manifest(
        name=name,
        stage=STAGE,
        key=key or short_hash({name: entry.sha256 for name, entry in entries.items()}, length=KEY_LENGTH),
        family=readied.family,
        modality=readied.modality,
        task=readied.task,
        producer=Producer(
            modelservice=modelservice.__version__,
            python=platform.python_version(),
            libraries={"onnx": version("onnx")},
        ),
        parameters=readied.parameters,
        model=OnnxSummary(opset=readied.opset),
        weights=readied.weights,
        files=entries,
    )
    raw = document_bytes(manifest)
    artifact = Artifact(digest=sha256(raw), manifest=manifest, manifest_bytes=raw, contents=files)
    return Packed(artifact=artifact, notes=readied.notes)


def _check_answer(packed: Packed, readied: Readied) -> None:
    """Answer the example as a server would, and compare it with what the file itself gives."""
    try:
        predictor = Predictor.from_artifact(packed.artifact)
    except ArtifactError as error:
        raise PackError(str(error)) from None
    encoder = predictor.encoder
    try:
        raw = predictor.run(predictor.encode(encoder.from_instances([encoder.example()] * 2)))
    except InputError as error:
        raise PackError(
            f"the model does not take its example: {error}: give another one, with columns or inputs"
        ) from None
    if not np.isfinite(raw).all():
        raise PackError(
            "the model answers its example with a value that is not finite: give an example that it can answer, with"
            " columns or inputs"
        )
    if readied.expected is not None and not np.allclose(raw[0], readied.expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise PackError("the packed model answers its example otherwise than the file does: please report this")
    if predictor.labels:
        _check_probabilities(predictor, raw)


def _check_probabilities(predictor: Predictor, raw: Array) -> None:
    """Look at the answers to the example, and to other rows where any numbers are some."""
    if (wrong := improbable(raw)) is not None:
        raise PackError(f"the model answers its example with {wrong}")
    if any(given.datatype not in _FRACTIONS for given in predictor.signature.inputs):
        return
    for value in _TRIED:
        with suppress(Exception):  # what the model does not answer is no probability that is wrong
            raw = predictor.run(np.full((1, *predictor.shape), value, np.float32))
        if (wrong := improbable(raw)) is not None:
            raise PackError(f"the model answers a row of {value:g} with {wrong}")


def _name_of(source: Path) -> str:
    """A name of a ModelService that is like that of the file."""
    stem = source.resolve().stem if source.suffix == ".onnx" else source.resolve().name
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:MAX_NAME_LENGTH].strip("-")
    if re.fullmatch(DNS_LABEL_PATTERN, name) is None:
        raise PackError(f"{source}: nothing says what the model is called: name it with --name")
    return name


def _tell(observe: Callable[[Progress], None], done: int) -> None:
    observe(Progress(stage=STAGE, done=done, total=STEPS))
