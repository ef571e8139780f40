"""A folder in the layout of Hugging Face as a model that is served: texts or images in, the numbers of each out."""

from pathlib import Path
from typing import Final

from modelservice.contract.encoders import PretrainedModel
from modelservice.contract.signature import Output
from modelservice.families.base import OPSET
from modelservice.families.onnx_graph import Graph
from modelservice.families.pretrained import read_pretrained
from modelservice.families.pretrained.base import MODEL_SECTION
from modelservice.modalities.encoders import build_encoder
from modelservice.packing.errors import PackError
from modelservice.packing.readied import Readied
from modelservice.packing.settings import PackSettings
from modelservice.tasks.tensors import DATATYPE, TENSORS

FAMILY: Final = "encoder"
_OUTPUT: Final = "embedding"


def ready_folder(folder: Path, settings: PackSettings) -> Readied:
    """Read a pretrained model; see ``pack``, and ``families.pretrained`` for what is refused."""
    if unused := [name for name in ("labels", "columns", "inputs", "outputs") if getattr(settings, name)]:
        raise PackError(f"{folder} gives embeddings, so that {unused[0]} mean nothing: leave them out")
    return ready_pretrained(PretrainedModel(uri=f"file://{folder.resolve()}", max_length=settings.max_length))


def ready_pretrained(settings: PretrainedModel, *, section: str | None = None) -> Readied:
    """Read what is named; ``section`` of the spec does so, if one does, and ``read_pretrained`` says the errors."""
    model = read_pretrained(settings.uri, settings.digest, section=section or MODEL_SECTION)
    preprocessing = model.alone(settings, section=section)
    graph = Graph()
    model.reading(preprocessing).append_to(graph)
    # What the address does not say itself.
    where = () if model.origin == settings.uri else (f"it is {model.origin}",)
    return Readied(
        family=FAMILY,
        modality=model.modality,
        task=TENSORS.name,
        preprocessing=preprocessing,
        outputs=(Output(name=_OUTPUT, datatype=DATATYPE, shape=(model.width,)),),
        onnx=graph.model(shape=build_encoder(model.modality, preprocessing).shape, width=model.width),
        opset=OPSET,
        parameters=model.parameters,
        weights=model.digest,
        notes=(f"its weights are {model.digest}", *where),
    )
