"""Members of a request that would do nothing: misspelt, or in a place where nobody reads them.

Members of other names are ignored, as TensorFlow Serving ignores them and the Open Inference Protocol allows.
"""

import difflib
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any, Final

from modelservice.serving.asked import NAMES
from modelservice.serving.errors import RequestError

PARAMETERS: Final = "parameters"
ROWS: Final = frozenset({"instances", "inputs", "signature_name", *NAMES})
"""Of protocol v1."""
TENSORS: Final = frozenset({"id", "inputs", "outputs", PARAMETERS})
"""Of protocol v2."""
DIGEST: Final = "digest"
"""A parameter of protocol v2: the artifact that is to answer. Another one refuses, and answers name theirs."""
OF_TENSORS: Final = frozenset({"binary_data_output", DIGEST, *NAMES})
"""Parameters of protocol v2."""
_ALIKE: Final = 0.8
_LOOKED_AT: Final = 16
_LONGEST: Final = 32
"""Characters: comparing long names, or many, would keep a server busy."""


def check_rows_members(document: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse members of a request of protocol v1 that look like known ones, and parameters, which are v2's.

    Raises:
        RequestError: with where it belongs.
    """
    if document.keys() <= known:
        return
    parameters = document.get(PARAMETERS)
    if isinstance(parameters, dict) and (misplaced := sorted(known & parameters.keys())):
        name = misplaced[0]
        raise RequestError(
            f'{PARAMETERS}.{name}: in v1 it stands beside the rows: {{"instances": [...], "{name}": ...}}'
        )
    _check_spelling(document, known)


def check_tensors_members(document: Mapping[str, Any]) -> None:
    """Refuse members of a request of protocol v2 that are parameters, or look like known ones.

    Raises:
        RequestError: with where it belongs.
    """
    if document.keys() <= TENSORS:
        return
    if misplaced := sorted(NAMES & document.keys()):
        name, place = misplaced[0], f'"{PARAMETERS}": {{"{misplaced[0]}": ...}}'
        raise RequestError(f'{name}: in v2 it stands among the parameters: {{"inputs": [...], {place}}}')
    _check_spelling(document, TENSORS)


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters of a request of protocol v2 that look like known ones.

    Args:
        parameters: by name; also a map of protobuf.

    Raises:
        RequestError: with what may be meant.
    """
    _check_spelling(parameters, OF_TENSORS, f"{PARAMETERS}.")


def meant(name: str, known: Collection[str]) -> str | None:
    """The known name that one is nearly, None if there is none."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_ALIKE) if len(name) <= _LONGEST else []
    return close[0] if close else None


def _check_spelling(given: Mapping[str, Any], known: frozenset[str], place: str = "") -> None:
    for name in islice((name for name in given if name not in known), _LOOKED_AT):
        if (close := meant(name, known)) is not None:
            raise RequestError(f"{place}{name}: is not known; did you mean {close}?")
