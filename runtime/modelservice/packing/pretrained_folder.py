"""A folder in the layout of Hugging Face as a model that is served: texts in, the numbers of each out."""

from pathlib import Path
from typing import Final

from modelservice.contract.encoders import PretrainedModel
from modelservice.contract.signature import Output
from modelservice.families.base import OPSET
from modelservice.families.onnx_graph import Graph
from modelservice.families.pretrained import MODEL_SECTION, Pretrained, read_pretrained
from modelservice.modalities.text.encoder import NAME as TEXT
from modelservice.modalities.text.preprocessing import TextPreprocessing
from modelservice.modalities.tokens import Tokens
from modelservice.packing.errors import PackError
from modelservice.packing.readied import Readied
from modelservice.packing.settings import PackSettings
from modelservice.tasks.tensors import DATATYPE, TENSORS

FAMILY: Final = "encoder"
_INPUT, _OUTPUT = "text", "embedding"


def ready_folder(folder: Path, settings: PackSettings) -> Readied:
    """Read a BERT and what it says of pooling; see ``pack``, and ``families.pretrained`` for what is refused."""
    if unused := [name for name in ("labels", "columns", "inputs", "outputs") if getattr(settings, name)]:
        raise PackError(f"{folder} gives embeddings of texts, so that {unused[0]} mean nothing: leave them out")
    return ready_pretrained(PretrainedModel(uri=f"file://{folder.resolve()}", max_length=settings.max_length))


def _where(uri: str, encoder: Pretrained) -> tuple[str, ...]:
    """What the address does not say itself."""
    return () if encoder.origin == uri else (f"it is {encoder.origin}",)


def ready_pretrained(pretrained: PretrainedModel, *, section: str | None = None) -> Readied:
    """Read what is named; ``section`` of the spec does so, if one does, and ``read_pretrained`` says the errors."""
    encoder = read_pretrained(pretrained.uri, pretrained.digest, section=section or MODEL_SECTION)
    length = pretrained.max_length
    encoder.check_length(length, field=f"{section}.maxLength" if section else "maxLength")
    graph = Graph()
    encoder.append_to(graph, length=length)
    return Readied(
        family=FAMILY,
        modality=TEXT,
        task=TENSORS.name,
        preprocessing=TextPreprocessing(
            name=_INPUT,
            max_length=length,
            vocabulary=Tokens(encoder.tokenizer, max_length=length).vocabulary,
            tokenizer=encoder.tokenizer,
        ),
        outputs=(Output(name=_OUTPUT, datatype=DATATYPE, shape=(encoder.width,)),),
        onnx=graph.model(shape=(length,), width=encoder.width),
        opset=OPSET,
        parameters=encoder.parameters,
        weights=encoder.digest,
        notes=(f"its weights are {encoder.digest}", *_where(pretrained.uri, encoder)),
    )
