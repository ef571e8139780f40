"""Pretrained models: a folder in the layout of Hugging Face, read as data, and what it makes of texts.

Weights are read from safetensors only, never from a pickle, and no code of the folder is run.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from modelservice.contract.base import first_problem
from modelservice.contract.data import ColumnEncoder, Data
from modelservice.contract.digests import sha256
from modelservice.contract.failure import DataError, StageError
from modelservice.contract.locations import FILE_SCHEME, HUB_SCHEME
from modelservice.contract.model import Model
from modelservice.modalities.base import Dataset, Features, Side
from modelservice.modalities.files import read_bytes
from modelservice.modalities.hub import HubModel
from modelservice.modalities.objects import SECRET_FIELD, open_objects
from modelservice.modalities.tokens import Tokens

MODEL_SECTION: Final = "spec.model.encoder"
COLUMNS_SECTION: Final = "spec.data.encoder"
ENVIRONMENT: Final = "spec.artifacts.secretRef or spec.training.env"
"""What says keys to the store of an encoder."""
_CONFIG, _WEIGHTS, _TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
_POOLING, _MODULES = "1_Pooling/config.json", "modules.json"
_MODULE_KINDS: Final = ("Transformer", "Pooling", "Normalize")
_MAX_DOCUMENT, _MAX_WEIGHTS = 2**25, 2**31
_ANY_LENGTH = 8
_FILE = f"{FILE_SCHEME}://"
_SLICE = 32
"""Texts that are read at once."""
_PREFIX = "bert."
"""Before the names of a model that was saved with a head."""


class _Folder(NamedTuple):
    """Where a model is read from, and what section of the spec says so; ``hub`` where it is one of a hub."""

    uri: str
    section: str
    hub: HubModel | None = None

    @property
    def field(self) -> str:
        return f"{self.section}.uri"

    @property
    def origin(self) -> str:
        """The address, and of a hub the commit that it stood for."""
        commit = None if self.hub is None else self.hub.commit
        return self.uri if commit is None else f"{self.uri} (commit {commit})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretrained:
    """A pretrained model that was read: everything of it is data.

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
    _known: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)
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

    def embed(self, tokens: Features) -> Features:
        """The numbers of texts, float32 [rows, width]; each different text is read once in a process."""
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in tokens]
        new = {key: place for place, key in enumerate(keys) if key not in self._known}
        if new:
            # Texts of one length together: the longest of some decides how much is computed for each of them.
            places = sorted(new.values(), key=lambda place: (int((tokens[place] > 0).sum()), place))
            for start in range(0, len(places), _SLICE):
                some = places[start : start + _SLICE]
                self._known.update(zip((keys[place] for place in some), self.compute(tokens[some]), strict=True))
        return np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, self.width), np.float32)

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


def seen_by(dataset: Dataset, seen: Callable[[Features], Features]) -> Dataset:
    """A dataset whose features are what an encoder makes of them; test rows, which no family looks at, are none."""

    def side(given: Side, rows: slice) -> Side:
        some = given.take(rows)
        return replace(some, features=seen(some.features))

    every, none = slice(None), slice(0)
    return replace(
        dataset,
        train=side(dataset.train, every),
        validation=side(dataset.validation, every),
        test=side(dataset.test, none),
    )


def pretrained_of(model: Model, data: Data) -> Pretrained | None:
    """What is read here to read texts with, None where nothing is; for errors see ``read_pretrained``."""
    if data.encoder is not None:
        return encoder_of_columns(data.encoder)
    encoder = model.encoder
    return None if encoder is None or encoder.uri is None else read_pretrained(encoder.uri, encoder.digest)


def tokenizer_of(model: Model, data: Data) -> str | None:
    """The tokenizer that an encoder brings, None where there is none or it stays there; see ``read_pretrained``."""
    found = pretrained_of(model, data)
    return None if found is None else found.tokenizer


def encoder_of_columns(settings: ColumnEncoder) -> Pretrained:
    """What ``spec.data.encoder`` names; for errors see ``read_pretrained``."""
    return read_pretrained(settings.uri, settings.digest, section=COLUMNS_SECTION)


@lru_cache(maxsize=1)
def read_pretrained(uri: str, digest: str | None, *, section: str = MODEL_SECTION) -> Pretrained:
    """Read a model once in a process: tokenizer and weights are of one moment.

    Args:
        uri: of its folder.
        digest: that its weights must have, None for any.
        section: of the spec, which names the folder, for errors.

    Raises:
        StageError: it cannot be read, is of another kind, or other than was said.
        DataUnavailableError: its store fails, as it may for a while.
        OSError: the file system fails.
    """
    from modelservice.families.bert import BertConfig  # noqa: PLC0415 - onnx takes long to import

    of_hub = uri.startswith(f"{HUB_SCHEME}://")
    folder = _Folder(uri, section, HubModel.of(uri, field=f"{section}.uri") if of_hub else None)
    document = _read(folder, _CONFIG, limit=_MAX_DOCUMENT)
    config: Any = _validated(folder, document, BertConfig)
    content = _read(folder, _WEIGHTS, limit=_MAX_WEIGHTS)
    found = sha256(content)
    if digest is not None and digest != found:
        message = f"{uri}/{_WEIGHTS} has the digest {found}, and {digest} is asked for: name the one that you mean"
        raise StageError("EncoderChanged", message, field=f"{section}.digest")
    return Pretrained(
        config=config,
        weights=_weights(folder, content, config),
        pooling=_pooling(folder),
        tokenizer=_tokenizer(folder, config.vocab_size),
        digest=found,
        origin=folder.origin,
    )


def _validated(folder: _Folder, document: bytes, config: type[BaseModel]) -> BaseModel:
    try:
        return config.model_validate_json(document)
    except ValidationError as error:
        raise _invalid(folder, f"{_CONFIG} is of no BERT that can be read: {first_problem(error)}") from None


def _weights(folder: _Folder, content: bytes, config: Any) -> dict[str, NDArray[np.float32]]:
    """The arrays that are used, in the shapes that the configuration says."""
    from safetensors import SafetensorError  # noqa: PLC0415 - as above
    from safetensors.numpy import load  # noqa: PLC0415

    try:
        stored = {name.removeprefix(_PREFIX): array for name, array in load(content).items()}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _invalid(folder, f"{_WEIGHTS} cannot be read: {str(error)[:200]}") from None
    wanted: dict[str, tuple[int, ...]] = config.shapes()
    for name, shape in wanted.items():
        if name not in stored or stored[name].shape != shape:
            found = list(stored[name].shape) if name in stored else "not there"
            raise _invalid(folder, f"{_WEIGHTS}: {name} is {found}, expected {list(shape)}")
    kinds = "embeddings.token_type_embeddings.weight"
    if kinds in stored and stored[kinds].shape[1:] == (config.hidden_size,):
        wanted = {**wanted, kinds: stored[kinds].shape}
    for name in wanted:
        if not np.issubdtype(stored[name].dtype, np.floating):
            raise _invalid(folder, f"{_WEIGHTS}: {name} is of {stored[name].dtype}, expected floats")
    return {name: np.asarray(stored[name], dtype=np.float32) for name in wanted}


def _tokenizer(folder: _Folder, known: int) -> str:
    """The tokenizer, each of whose tokens is one of so many that the model knows."""
    text = _read(folder, _TOKENIZER, limit=_MAX_DOCUMENT).decode(errors="replace")
    try:
        tokens = Tokens(text, max_length=_ANY_LENGTH)
    except ValueError as error:
        raise _invalid(folder, f"{_TOKENIZER} holds {error}") from None
    # What it puts around each text has numbers of its own.
    vocabulary = max(tokens.vocabulary, int(tokens.encode([""]).max()))
    if vocabulary > known:
        raise _invalid(folder, f"{_TOKENIZER} has a token {vocabulary - 1}, and vocab_size in {_CONFIG} is {known}")
    return text


def _pooling(folder: _Folder) -> Any:
    """As sentence-transformers says it; the mean, as it is, where nothing is said."""
    from modelservice.families.bert import Pooling  # noqa: PLC0415 - as above

    told = _optional(folder, _POOLING)
    modes = {name for name, on in (told or {}).items() if name.startswith("pooling_mode_") and on}
    if modes - {"pooling_mode_mean_tokens", "pooling_mode_cls_token"} or len(modes) > 1:
        raise _invalid(folder, f"{_POOLING} asks for {', '.join(sorted(modes))}; mean_tokens or cls_token can be had")
    kinds = _module_kinds(folder)
    return Pooling(first="pooling_mode_cls_token" in modes, normalized="Normalize" in kinds)


def _module_kinds(folder: _Folder) -> list[str]:
    """The classes that a text goes through, such as Transformer, without where sentence-transformers has them.

    A Dense, say, would have weights of its own: without it numbers would be others, so it is refused.
    """
    modules = _optional(folder, _MODULES)
    kinds: list[str] = []
    for one in [] if modules is None else modules if isinstance(modules, list) else [modules]:
        kind = str(one.get("type") if isinstance(one, dict) else one)
        kinds.append(kind.rpartition(".")[2])
        if kinds[-1] not in _MODULE_KINDS:
            raise _invalid(folder, f"{_MODULES} asks for {kind[:200]}; {', '.join(_MODULE_KINDS)} can be had")
    return kinds


def _optional(folder: _Folder, name: str) -> Any:
    try:
        return json.loads(_read(folder, name, limit=_MAX_DOCUMENT))
    except ValueError:
        raise _invalid(folder, f"{name} is no JSON") from None
    except StageError as error:
        if error.reason == "EncoderNotFound":
            return None
        raise


def _read(folder: _Folder, name: str, *, limit: int) -> bytes:
    """A file of the folder."""
    try:
        if folder.uri.startswith(_FILE):
            return read_bytes(Path(folder.uri.removeprefix(_FILE)) / name, limit=limit, field=folder.field)
        if folder.hub is not None:
            return folder.hub.read(name, limit=limit)
        objects = open_objects(f"{folder.uri}/{name}", field=folder.field)
        return objects.read(objects.path, limit=limit)
    except DataError as error:
        if error.reason == "DataNotFound":
            message = (
                f"{folder.uri} has no {name}: name a folder in the layout of Hugging Face that has it, or put it there"
            )
            raise StageError("EncoderNotFound", message, field=folder.field) from None
        # The store is opened by what the pod has, and not by the Secret of the data.
        said = error.message.replace(SECRET_FIELD, ENVIRONMENT)
        raise StageError("EncoderNotRead", said, field=folder.field) from None


def _invalid(folder: _Folder, problem: str) -> StageError:
    return StageError("EncoderInvalid", f"{folder.uri}/{problem}: name another model", field=folder.field)
