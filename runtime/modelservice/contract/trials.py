"""The trials of a search: which they are, and that each of them can be trained, before any is.

Pure, and the same on any machine: what the operator found good is what the training pod draws.
"""

import random
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from modelservice.contract.base import OneOf, first_problem
from modelservice.contract.model import Model
from modelservice.contract.search import Halving, Parameter, Search, Value
from modelservice.contract.training import OF_ANY_FAMILY, Hyperparameters

Point = Mapping[str, Value]
"""A value for each path of a space."""
Steps = TypeVar("Steps", bound=Hyperparameters)

_EPOCHS: Final = "training.epochs"
_REPEATS: Final = 2000
"""Draws beyond those that are wanted: a space of 100 points is used up after some 400."""


class Rung(NamedTuple):
    """A round of successive halving: how many drawn trials it has, and the epochs of each; None for those written."""

    trials: int
    epochs: int | None


def check_search(model: Model, training: Steps, search: Search, *, check: Callable[[Model, Steps], None]) -> None:
    """Make sure that each path can be searched, that it takes each value, and that each trial can be trained.

    Values and ends of ranges are tried in company, since some settings need others; then each trial as it is drawn.

    Args:
        model: ``spec.model``.
        training: ``spec.training``.
        search: ``spec.training.search``.
        check: raises ValueError where a spec of these settings would not be valid.

    Raises:
        ValueError: something cannot; a sentence that names it.
    """
    for parameter in search.parameters:
        _check_parameter(model, training, parameter)
    few = rungs(search, training.epochs)[0].epochs
    if search.halving is not None and (few is None or few >= training.epochs):
        raise ValueError(
            f"training.search.halving.minEpochs must be less than training.epochs, which is {training.epochs}"
        )
    for point in (*_ends(search), *draw_points(model, training, search)[1:]):
        _check_point(model, training, point if few is None else {**point, _EPOCHS: few}, check)


def draw_points(model: Model, training: Hyperparameters, search: Search) -> list[Point]:
    """The points of all trials: the spec as it is written, and then those that are drawn, which all differ.

    Fewer than asked for where the space has no more. Only ``random()`` is used of the generator, which Python promises
    to give the same for a seed in each version.
    """
    generator = random.Random(training.seed)  # noqa: S311 - no secret
    written = {one.path: value_at(model, training, one.path) for one in search.parameters}
    points = {tuple((path, value) for path, value in written.items() if value is not None): None}
    for _ in range(search.trials + _REPEATS):
        if len(points) == search.trials:
            break
        points[tuple((one.path, one.at(generator.random())) for one in search.parameters)] = None
    return [dict(point) for point in points]


def rungs(search: Search, epochs: int) -> tuple[Rung, ...]:
    """The rounds of a search, the last of which has all epochs; one where nothing is halved.

    Args:
        search: how many trials, and how they are halved.
        epochs: of a trial that gets all of them.
    """
    drawn, halving = search.trials - 1, search.halving
    if halving is None:
        return (Rung(drawn, None),)
    factor, budgets = halving.reduction_factor, []
    fewest = halving.min_epochs or _fewest_epochs(halving, drawn, epochs)
    while fewest < epochs:
        budgets.append(fewest)
        fewest *= factor
    return tuple(Rung(max(1, drawn // factor**number), budget) for number, budget in enumerate([*budgets, epochs]))


def _fewest_epochs(halving: Halving, drawn: int, epochs: int) -> int:
    """Epochs of the first rung with which one trial, at least, is left in the last."""
    share = halving.reduction_factor
    while share * halving.reduction_factor <= drawn:
        share *= halving.reduction_factor
    return -(-epochs // share)


def at_point(model: Model, training: Steps, point: Point) -> tuple[Model, Steps]:
    """Settings with the values of a point, and without a search.

    Raises:
        ValidationError: a field does not take its value.
    """
    documents = {
        "model": model.model_dump(mode="json", exclude_unset=True),
        "training": training.model_dump(mode="json", exclude_unset=True, exclude={"search"}),
    }
    for path, value in point.items():
        *above, last = path.split(".")
        part: dict[str, Any] = documents
        for step in above:
            part = part.setdefault(step, {})
        part[last] = value
    return Model.model_validate(documents["model"]), type(training).model_validate(documents["training"])


def value_at(model: Model, training: Hyperparameters, path: str) -> Value | None:
    """What the settings have at a path that can be searched; None where it is left to the family."""
    found: Any = {"model": model, "training": training}
    for step in path.split("."):
        found = found[step] if isinstance(found, dict) else getattr(found, _fields(type(found))[step])
    value: Value | None = found
    return value


def _ends(search: Search) -> list[Point]:
    """As few points as have each end of each parameter."""
    ends = {one.path: one.ends for one in search.parameters}
    return [
        {path: values[number % len(values)] for path, values in ends.items()}
        for number in range(max(map(len, ends.values())))
    ]


def _check_parameter(model: Model, training: Hyperparameters, parameter: Parameter) -> None:
    """Walk down the settings to the field, and see what it holds."""
    root, *steps = parameter.path.split(".")
    place, owner = root, model if root == "model" else training
    annotation: Any = type(owner)
    for step in steps:
        annotation = _field_of(owner, place, step, parameter.path)
        place, owner = f"{place}.{step}", getattr(owner, _fields(type(owner))[step])
    kinds = _kinds(annotation)
    if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
        raise _refused(parameter.path, "is an object: name a field in it")
    if parameter.values is None and not kinds & {int, float}:
        raise _refused(parameter.path, "is not a number: use values")
    if parameter.integers is None and parameter.values is None and float not in kinds:
        raise _refused(parameter.path, "is a whole number: use integers or values")


def _field_of(owner: Any, place: str, step: str, path: str) -> Any:
    """The type of a field of a part of the settings, which is there, and is what is trained."""
    if not isinstance(owner, BaseModel):
        why = f"{place} is left out: write it down to search in it" if owner is None else f"{place} has no fields"
        raise _refused(path, f"cannot be searched, for {why}")
    fields = _fields(type(owner))
    if step not in fields:
        known = ", ".join(fields)
        raise _refused(path, f"is no field to search: {place} has {known or 'none'}")
    if isinstance(owner, OneOf) and step != owner.choice:
        raise _refused(path, f"cannot be searched, for {place} is {owner.choice}: set {place}.{step}, or search that")
    return type(owner).model_fields[fields[step]].annotation


def _fields(kind: type[BaseModel]) -> dict[str, str]:
    """Names of fields in Python, by those in the API; of ``training`` those that can be searched."""
    declared = Hyperparameters if issubclass(kind, Hyperparameters) else kind
    hidden = OF_ANY_FAMILY if declared is Hyperparameters else frozenset[str]()
    return {str(field.alias): name for name, field in declared.model_fields.items() if name not in hidden}


def _kinds(annotation: Any) -> set[Any]:
    """The types that a field may have, without those of what a list holds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return set().union(*map(_kinds, get_args(annotation)))
    return {annotation if origin is None else origin}


def _check_point(model: Model, training: Steps, point: Point, check: Callable[[Model, Steps], None]) -> None:
    try:
        check(*at_point(model, training, point))
    except ValidationError as error:
        said = ", ".join(f"{path} {_said(value)}" for path, value in point.items())
        problem = first_problem(error).removeprefix("document: ")
        raise ValueError(f"training.search: with {said}: {problem}") from None


def named(point: Point) -> str:
    """A point for people: each value behind the last part of its path, or behind all of it where that is not clear."""
    names = [path.rpartition(".")[2] for path in point]
    shown = (name if names.count(name) == 1 else path for name, path in zip(names, point, strict=True))
    said = (f"{name} {_said(value)}" for name, value in zip(shown, point.values(), strict=True))
    return ", ".join(said) or "as written"


def _said(value: Value) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _refused(path: str, why: str) -> ValueError:
    return ValueError(f"training.search.parameters: {path} {why}")
