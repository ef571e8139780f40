"""``:explain``, as KServe's protocol v1 has it: ``{"instances": [...]}`` is answered by ``{"explanations": [...]}``."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from modelservice.inference.engine import Differentiable
from modelservice.inference.explaining.images import STEPS, SlopesQuestion
from modelservice.inference.explaining.methods import Methods
from modelservice.inference.explaining.question import EVALUATIONS, Question, unexplainable
from modelservice.inference.explaining.slopes import METHODS
from modelservice.inference.explaining.tree_paths import TREE_PATHS, TreePaths
from modelservice.modalities.base import STRICT, Rows, Tolerance
from modelservice.modalities.compressed import decoding
from modelservice.modalities.errors import InputError
from modelservice.modalities.parts import MAX_PATCH, PartOptions, Parts
from modelservice.modalities.tensors import describe, listed
from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.asked import read_asked
from modelservice.serving.budget import MAX_HELD
from modelservice.serving.calls import MAX_ROWS, Call, bytes_of, decoded_rows
from modelservice.serving.errors import RequestError, TooLargeError
from modelservice.serving.members import ROWS
from modelservice.serving.model import Paths, ServedModel, Slopes
from modelservice.serving.protocols.tensorflow.metadata import check_signature
from modelservice.serving.protocols.tensorflow.places import body_reader, read_rows
from modelservice.serving.results import Results
from modelservice.serving.uploads import takes_pictures

MAX_BYTES: Final = MAX_HELD // 2
"""What all rows take that one request makes the model answer."""
PATCH: Final = "patch"
HEAT_MAP: Final = "heat_map"
METHOD: Final = "method"
_MEMBERS: Final = ROWS | {"label", "evaluations", "seed", PATCH, HEAT_MAP, METHOD}
_MAX_SEED: Final = 2**32


class Explanations:
    """Parses ``:explain`` bodies for one model, and renders what follows from its answers."""

    def __init__(self, model: ServedModel, tolerance: Tolerance = STRICT, *, method: str | None = None) -> None:
        """Args: the model, what is forgiven, and the method of a body that names none."""
        self._unsaid = {} if method is None else {METHOD: method}
        self._tolerance = tolerance
        self._encoder = model.encoder
        self._decoding = decoding(model.encoder)
        self._signature = model.signature
        self._read = body_reader(model.signature, _MEMBERS)
        self._labels = model.signature.labels
        self._model = model
        self._is_image = takes_pictures(model.signature)
        self._engine = model.engine if isinstance(model.engine, Differentiable) else None
        self._methods = Methods(model.encoder, model.engine, model.signature)
        self._paths: TreePaths | None = None
        if TREE_PATHS in self._methods.names:
            self._paths = TreePaths(model.encoder, model.engine, model.signature)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that a body may name, the usual one first."""
        return self._methods.names

    def parse(self, body: bytes, _header_length: bytes | None = None) -> Call[Answer]:
        """Parse a body.

        Raises:
            RequestError: with the place, as of ``:predict``.
        """
        if (why := unexplainable(self._signature)) is not None:
            raise RequestError(f"this model cannot be explained: {why}")
        document = {**self._unsaid, **self._read(body)}
        check_signature(document.get("signature_name", ""))
        label = self._label(document.get("label"))
        options = self._options(document)
        asked = read_asked(document, self._tolerance)
        rows, place_in = read_rows(document, self._encoder, asked.tolerance)
        rows = decoded_rows(self._decoding, rows, place_in)
        method = document.get(METHOD, self._methods.names[0])
        try:
            self._methods.check(method, label)
        except ValueError as error:
            raise RequestError(str(error)) from None
        if method in METHODS:
            options = options._replace(patch=options.patch or 1)
            return self._by_slopes(document, method, label or 0, self._parts(rows, options, place_in), rows)
        if self._paths is not None and method == TREE_PATHS:
            return self._by_paths(self._paths, rows, label, place_in, asked.timeout)
        question = self._question(document, self._parts(rows, options, place_in))

        def place(error: InputError) -> RequestError:
            row = None if error.row is None else question.row_of(error.row)
            return place_in(error.at(row))

        render = partial(self._render, question=question, label=label)
        weight = bytes_of(rows) + question.bytes
        return Call(question.asked(), place, render, hypothetical=True, timeout=asked.timeout, weight=weight)

    def _parts(self, rows: Rows, options: PartOptions, place: Callable[[InputError], RequestError]) -> Sequence[Parts]:
        try:
            return self._encoder.parts(rows, options)
        except InputError as error:
            raise place(error) from None

    def _by_slopes(
        self, document: dict[str, Any], method: str, label: int, parts: Sequence[Parts], rows: Rows
    ) -> Call[Answer]:
        steps = _whole(document, "evaluations", STEPS, MAX_ROWS, at_least=1)
        question = SlopesQuestion(self._encoder, rows, parts, method=method, steps=steps)
        if question.size > MAX_ROWS or question.bytes > MAX_BYTES:
            said = f"{len(parts)} images take {question.size} evaluations of {question.bytes} bytes; at most {MAX_ROWS}"
            raise TooLargeError(
                f"instances: {said} of {MAX_BYTES} in one request: send fewer rows, or fewer evaluations"
            )
        seed, timeout = _whole(document, "seed", 0, _MAX_SEED), read_asked(document, self._tolerance).timeout
        assert self._engine is not None  # noqa: S101 - else the method is not known
        asked = question.asked(seed)
        compute = Slopes(self._encoder, self._engine, label)

        def render(results: Results) -> Answer:
            explanations = question.explanations(asked, results.raw, self._signature, label)
            return json_answer({"explanations": explanations, "method": method, "exact": False})

        def place(error: InputError) -> RequestError:
            return RequestError(str(error))

        weight = bytes_of(rows) + question.bytes
        return Call(asked, place, render, timeout=timeout, compute=compute, weight=weight)

    def _by_paths(
        self,
        paths: TreePaths,
        rows: Rows,
        label: int | None,
        place: Callable[[InputError], RequestError],
        timeout: float | None,
    ) -> Call[Answer]:
        if len(rows) * paths.size > MAX_BYTES:
            raise TooLargeError(
                f"instances: the paths of {len(rows)} rows take {len(rows) * paths.size} bytes; at most {MAX_BYTES} in"
                f" one request: send {MAX_BYTES // paths.size} rows, or fewer"
            )

        def render(results: Results) -> Answer:
            explanations = paths.explanations(results.raw, rows)
            return json_answer({"explanations": explanations, "method": TREE_PATHS, "exact": True})

        compute, weight = Paths(self._encoder, paths, label), len(rows) * paths.size
        return Call(rows, place, render, hypothetical=True, timeout=timeout, compute=compute, weight=weight)

    def _label(self, said: Any) -> int | None:
        if said is None:
            return None
        if said not in self._labels:
            known = f"one of {listed(self._labels)}" if self._labels else "none: the model predicts a number"
            raise RequestError(f"label: {describe(said)} is no label of this model; expected {known}")
        return self._labels.index(said)

    def _options(self, document: dict[str, Any]) -> PartOptions:
        given = [name for name in (PATCH, HEAT_MAP) if name in document]
        if given and not self._is_image:
            raise RequestError(f"{given[0]}: is of images, and this model has none; leave it out")
        heat_map = document.get(HEAT_MAP, False)
        if not isinstance(heat_map, bool):
            raise RequestError(f"{HEAT_MAP}: must be true or false, not {describe(heat_map)}")
        return PartOptions(_whole(document, PATCH, 1, MAX_PATCH, at_least=1) if PATCH in given else None, heat_map)

    def _question(self, document: dict[str, Any], rows: Sequence[Parts]) -> Question:
        evaluations = _whole(document, "evaluations", EVALUATIONS, MAX_ROWS)
        try:
            question = Question(rows, evaluations=evaluations, seed=_whole(document, "seed", 0, _MAX_SEED))
        except ValueError as error:
            raise RequestError(f"evaluations: {error}") from None
        if question.size > MAX_ROWS or question.bytes > MAX_BYTES:
            most = min(MAX_ROWS, MAX_BYTES * question.size // max(question.bytes, 1))
            largest = max(rows, key=lambda parts: parts.count)
            raise TooLargeError(
                f"instances: {len(rows)} rows of {largest.count} {largest.noun} take {question.size} evaluations; at"
                f" most {most} in one request: send fewer rows, or {largest.remedy}"
            )
        return question

    def _render(self, results: Results, *, question: Question, label: int | None) -> Answer:
        explanations = question.explanations(results.raw, self._signature, label)
        return json_answer({"explanations": explanations, "method": question.method, "exact": question.exact})


def _whole(document: dict[str, Any], name: str, default: int, most: int, *, at_least: int = 0) -> int:
    said = document.get(name, default)
    if type(said) is not int or not at_least <= said <= most:
        raise RequestError(f"{name}: must be a whole number from {at_least} to {most}, not {describe(said)}")
    return said
