"""Pretrained models of texts: a BERT, with its tokenizer, and what sentence-transformers say of pooling.

Weights are read from safetensors only, never from a pickle.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from modelservice.contract.base import first_problem
from modelservice.contract.documents import Document
from modelservice.contract.encoders import PretrainedModel as Served
from modelservice.contract.failure import StageError
from modelservice.families.pretrained.base import Kind
from modelservice.families.pretrained.folder import CONFIG, Folder
from modelservice.modalities.base import Features
from modelservice.modalities.known import Known
from modelservice.modalities.text.embedded import INPUT
from modelservice.modalities.text.encoder import NAME as TEXT
from modelservice.modalities.text.preprocessing import TextPreprocessing
from modelservice.modalities.tokens import Tokens

WEIGHTS: Final = "model.safetensors"
_TOKENIZER = "tokenizer.json"
_POOLING, _MODULES = "1_Pooling/config.json", "modules.json"
_MODE: Final = "pooling_mode"
_MODULE_KINDS: Final = ("Transformer", "Pooling", "Normalize")
_MODEL_TYPE: Final = "bert"
_MAX_WEIGHTS = 2**31
LENGTH_FIELD: Final = "spec.data.text.maxLength"
_ANY_LENGTH = 8
_PREFIX = "bert."
"""Before the names of a model that was saved with a head."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TextModel:
    """A pretrained model of texts that was read; see ``PretrainedEncoder``.

    Attributes:
        config: a ``bert.BertConfig``.
        weights: float32 arrays by the names of Hugging Face.
        pooling: a ``bert.Pooling``.
        tokenizer: the JSON of the library ``tokenizers``.
        digest: of the file of weights, ``sha256:...``.
        origin: where it was read from, for people.
    """

    config: Any
    weights: dict[str, NDArray[np.float32]]
    pooling: Any
    tokenizer: str
    digest: str
    origin: str
    modality = TEXT
    _known: Known = field(default_factory=Known)
    _sessions: dict[int, Callable[[Features], Features]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Numbers of a text."""
        return int(self.config.hidden_size)

    @property
    def parameters(self) -> int:
        """Number of weights that are used."""
        return sum(array.size for array in self.weights.values())

    def check_length(self, length: int, *, field: str) -> None:
        """Refuse to read so many tokens of a text.

        Raises:
            StageError: they are more than the model has positions for; ``field`` says how many.
        """
        most = int(self.config.max_position_embeddings)
        if length > most:
            message = f"{field} is {length}, and the encoder reads {most} tokens at most: set it to {most} or less"
            raise StageError("ModelUnsuited", message, field=field)

    def append_to(self, graph: Any, *, length: int) -> str:
        """Write the nodes from tokens, the newest value of ``graph``, to numbers, and give their name back."""
        from modelservice.families.bert import add_bert  # noqa: PLC0415 - onnx takes long to import

        return add_bert(graph, self.config, self.weights, self.pooling, length=length)

    def learned_on(self, weights: dict[str, NDArray[np.float32]]) -> "TextModel":
        """The same with other weights."""
        return replace(self, weights=weights, _known=Known(), _sessions={})

    def alone(self, settings: Served, *, section: str | None) -> TextPreprocessing:
        """See ``PretrainedEncoder``."""
        length = settings.max_length
        self.check_length(length, field=f"{section}.maxLength" if section else "maxLength")
        return TextPreprocessing(
            name=INPUT,
            max_length=length,
            vocabulary=Tokens(self.tokenizer, max_length=length).vocabulary,
            tokenizer=self.tokenizer,
        )

    def reading(self, preprocessing: Document) -> "_TextReading":
        """See ``PretrainedEncoder``."""
        assert isinstance(preprocessing, TextPreprocessing)  # noqa: S101 - that of its modality
        self.check_length(preprocessing.max_length, field=LENGTH_FIELD)
        return _TextReading(model=self, length=preprocessing.max_length)

    def embed(self, tokens: Features) -> Features:
        """The numbers of texts, float32 [rows, width]; each different text is read once in a process."""
        lengths = (tokens > 0).sum(axis=1).tolist()
        rows = (row.tobytes() for row in tokens)
        return self._known.numbers(rows, lambda some: self.compute(tokens[some]), width=self.width, sizes=lengths)

    def compute(self, tokens: Features) -> Features:
        """The numbers of texts, all at once and nothing kept: bit for bit what the graph makes of the same rows."""
        length = tokens.shape[1]
        if length not in self._sessions:
            self._sessions[length] = self._opened(length)
        return self._sessions[length](tokens)

    def _opened(self, length: int) -> Callable[[Features], Features]:
        import onnxruntime  # noqa: PLC0415 - as above

        from modelservice.families.base import INPUT_NAME, OUTPUT_NAME  # noqa: PLC0415
        from modelservice.families.onnx_graph import Graph  # noqa: PLC0415

        graph = Graph()
        self.append_to(graph, length=length)
        content = graph.model(shape=(length,), width=self.width)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return lambda tokens: np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: tokens})[0], np.float32)


@dataclass(frozen=True, kw_only=True)
class _TextReading:
    """See ``Reading``."""

    model: TextModel
    length: int
    notes: tuple[str, ...] = ()

    def embed(self, rows: Features) -> Features:
        """See ``Reading``."""
        return self.model.embed(rows)

    def compute(self, rows: Features) -> Features:
        """See ``Reading``."""
        return self.model.compute(rows)

    def append_to(self, graph: Any) -> str:
        """See ``Reading``."""
        return self.model.append_to(graph, length=self.length)


class _Texts:
    """See ``Kind``."""

    def claims(self, folder: Folder) -> bool:
        """By ``model_type`` of its config.json."""
        config = folder.document(CONFIG)
        return isinstance(config, dict) and config.get("model_type") == _MODEL_TYPE

    def read(self, folder: Folder, digest: str | None) -> TextModel:
        """See ``Kind``."""
        config = _config(folder)
        content = folder.load(WEIGHTS, limit=_MAX_WEIGHTS)
        found = folder.check_digest(WEIGHTS, content, digest)
        return TextModel(
            config=config,
            weights=_weights(folder, content, config),
            pooling=_pooling(folder),
            tokenizer=_tokenizer(folder, config.vocab_size),
            digest=found,
            origin=folder.origin,
        )


TEXTS: Final[Kind] = _Texts()


def _config(folder: Folder) -> Any:
    from modelservice.families.bert import BertConfig  # noqa: PLC0415 - onnx takes long to import

    config: type[BaseModel] = BertConfig
    try:
        return config.model_validate_json(folder.read(CONFIG))
    except ValidationError as error:
        raise folder.invalid(f"{CONFIG} is of no BERT that can be read: {first_problem(error)}") from None


def _weights(folder: Folder, content: bytes, config: Any) -> dict[str, NDArray[np.float32]]:
    """The arrays that are used, in the shapes that the configuration says."""
    from safetensors import SafetensorError  # noqa: PLC0415 - as above
    from safetensors.numpy import load  # noqa: PLC0415

    try:
        stored = {name.removeprefix(_PREFIX): array for name, array in load(content).items()}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise folder.invalid(f"{WEIGHTS} cannot be read: {str(error)[:200]}") from None
    wanted: dict[str, tuple[int, ...]] = config.shapes()
    for name, shape in wanted.items():
        if name not in stored or stored[name].shape != shape:
            found = list(stored[name].shape) if name in stored else "not there"
            raise folder.invalid(f"{WEIGHTS}: {name} is {found}, expected {list(shape)}")
    kinds = "embeddings.token_type_embeddings.weight"
    if kinds in stored and stored[kinds].shape[1:] == (config.hidden_size,):
        wanted = {**wanted, kinds: stored[kinds].shape}
    for name in wanted:
        if not np.issubdtype(stored[name].dtype, np.floating):
            raise folder.invalid(f"{WEIGHTS}: {name} is of {stored[name].dtype}, expected floats")
    return {name: np.asarray(stored[name], dtype=np.float32) for name in wanted}


def _tokenizer(folder: Folder, known: int) -> str:
    """The tokenizer, each of whose tokens is one of so many that the model knows."""
    text = folder.read(_TOKENIZER).decode(errors="replace")
    try:
        tokens = Tokens(text, max_length=_ANY_LENGTH)
    except ValueError as error:
        raise folder.invalid(f"{_TOKENIZER} holds {error}") from None
    # What it puts around each text has numbers of its own.
    vocabulary = max(tokens.vocabulary, int(tokens.encode([""]).max()))
    if vocabulary > known:
        raise folder.invalid(f"{_TOKENIZER} has a token {vocabulary - 1}, and vocab_size in {CONFIG} is {known}")
    return text


def _pooling(folder: Folder) -> Any:
    """As sentence-transformers says it; the mean, as it is, where nothing is said."""
    from modelservice.families.bert import Pooling  # noqa: PLC0415 - as above

    modes = _pooling_modes(folder)
    if modes not in ([], ["mean"], ["cls"]):
        raise folder.invalid(f"{_POOLING} asks for {', '.join(modes)[:200]}; mean or cls can be had")
    return Pooling(first=modes == ["cls"], normalized="Normalize" in _module_kinds(folder))


def _pooling_modes(folder: Folder) -> list[str]:
    """What is put side by side: by name in ``pooling_mode``, else by a yes each, as folders had it before."""
    told = {} if (document := folder.document(_POOLING)) is None else document
    if not isinstance(told, dict):
        raise folder.invalid(f"{_POOLING} is no object")
    if (named := told.get(_MODE)) is not None:
        return [str(mode) for mode in (named if isinstance(named, list) else [named])]
    asked = [name.removeprefix(f"{_MODE}_") for name, on in told.items() if name.startswith(f"{_MODE}_") and on]
    return [name.removesuffix("s").removesuffix("_token") for name in asked]


def _module_kinds(folder: Folder) -> list[str]:
    """The classes that a text goes through, such as Transformer, without where sentence-transformers has them.

    A Dense, say, would have weights of its own: without it numbers would be others, so it is refused.
    """
    modules = folder.document(_MODULES)
    kinds: list[str] = []
    for one in [] if modules is None else modules if isinstance(modules, list) else [modules]:
        kind = str(one.get("type") if isinstance(one, dict) else one)
        kinds.append(kind.rpartition(".")[2])
        if kinds[-1] not in _MODULE_KINDS:
            raise folder.invalid(f"{_MODULES} asks for {kind[:200]}; {', '.join(_MODULE_KINDS)} can be had")
    return kinds
