"""What every contract model has in common."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, ErrorDetails, core_schema

DNS_LABEL_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
SHA256_PATTERN = r"^sha256:[0-9a-f]{64}$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE]([0-9]|1[0-8]))?$"

PATTERN_WORDS = "x-pattern-words"


@dataclass(frozen=True)
class Worded:
    """A pattern that is said in words, the same on a laptop and by the apiserver; an annotation of a text."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The type as it is, and then this check."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema of the type with the pattern and its words."""
        return {**handler(schema), "pattern": self.pattern, PATTERN_WORDS: self.words}

    def _checked(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(self.words)
        return text


_LARGEST_INTEGER = 2**63 - 1
"""Beyond it a number is no integer to the apiserver."""


def _text_of_number(value: Any) -> Any:
    """A bare number as the apiserver takes it: `1.0` and `1e9` are integers on the way there, `0.5` is none."""
    if isinstance(value, str):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_INTEGER
    if not number or value != int(value):
        raise ValueError("must be of type integer,string: what is not whole is written as 500m, or in quotes")
    if value < 0:
        raise ValueError("should be greater than or equal to 0")
    return str(int(value))


ObjectName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Worded(DNS_SUBDOMAIN_PATTERN, "must be the name of an object: lower-case letters, digits, '-' and '.'"),
]
QueueName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Worded(DNS_SUBDOMAIN_PATTERN, "must be the name of a queue: lower-case letters, digits, '-' and '.'"),
]
"""Of an object that a label names, which has room for 63 characters."""
Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN, max_length=71)]
# What is neither, the apiserver refuses in words of its own, before any rule of ours; a laptop begins with the same.
# A bare integer is how everybody writes `nvidia.com/gpu: 1`; the apiserver takes both, and so does a laptop.
Quantity = Annotated[
    str,
    StringConstraints(min_length=1, max_length=32),
    Worded(QUANTITY_PATTERN, "must be a quantity such as 2, 500m or 1.5Gi"),
    BeforeValidator(_text_of_number),
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "minimum": 0}),
]
ShortText = Annotated[str, StringConstraints(max_length=256)]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


MAX_NAME_LENGTH = 40
"""Of a ModelService: leaves room in 63 characters for what child names append."""

ServiceName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH),
    Worded(DNS_LABEL_PATTERN, "must be lower-case letters, digits and '-', first a letter and last no '-': my-model"),
]


class Rule(NamedTuple):
    """A cross-field rule as the apiserver checks it: a CEL expression over ``self`` and what to say when it fails."""

    expression: str
    message: str


def _attach_rules(schema: dict[str, Any], cls: type["Contract"]) -> None:
    if rules := cls.rules():
        schema["x-kubernetes-validations"] = [{"rule": rule.expression, "message": rule.message} for rule in rules]


class Contract(BaseModel):
    """A frozen value that crosses a border: camelCase outside, snake_case inside, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        json_schema_extra=_attach_rules,
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()
    """Each rule here has a pydantic validator that says the same, so that a laptop refuses what a cluster refuses."""

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """All CEL rules of this model, inherited ones included."""
        return cls.RULES


class Tolerant(Contract):
    """A stored document that a newer version may have extended: unknown optional fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class OneOf(Contract):
    """An object of which exactly one member is set, each with its own parameters.

    Fields are only ever added to an API, so what may grow parameters starts as a one-of object.
    """

    COMMON: ClassVar[frozenset[str]] = frozenset()
    """Fields that belong to every alternative."""

    @classmethod
    def members(cls) -> tuple[str, ...]:
        """Names of the alternatives, as Python spells them."""
        return tuple(name for name in cls.model_fields if name not in cls.COMMON)

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """The rules of the model after the one that exactly one member is set."""
        aliases = [str(cls.model_fields[name].alias) for name in cls.members()]
        listed = ", ".join(f"has(self.{alias})" for alias in aliases)
        exactly_one = Rule(f"[{listed}].filter(x, x).size() == 1", _exactly_one_message(aliases))
        return (exactly_one, *cls.RULES)

    def model_post_init(self, _context: Any) -> None:
        """Refuse none or several alternatives."""
        if sum(getattr(self, name) is not None for name in self.members()) != 1:
            raise ValueError(
                _exactly_one_message([str(type(self).model_fields[name].alias) for name in self.members()])
            )

    @property
    def choice(self) -> str:
        """Name of the alternative that is set, as the API spells it: what a registry is looked up by."""
        name = next(name for name in self.members() if getattr(self, name) is not None)
        return str(type(self).model_fields[name].alias)

    @property
    def chosen(self) -> Any:
        """The alternative that is set."""
        return next(value for name in self.members() if (value := getattr(self, name)) is not None)


def problems(
    error: ValidationError, *, root: str = "", suggest: Callable[[tuple[int | str, ...]], str] = lambda _: ""
) -> list[str]:
    """One line for each thing that is wrong with a document: the path of the field, the value, and the rule.

    Args:
        error: what pydantic found.
        root: path of what was validated, such as spec, if it is a part of something else.
        suggest: what to add for a field that does not exist, given its path, such as "; did you mean epochs?".
    """
    lines = []
    for detail in error.errors(include_url=False):
        if _follows(detail):
            continue
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
        lines.append(f"{(root + path).lstrip('.') or 'document'}: {_problem(detail, suggest)}")
    return lines


def _follows(detail: ErrorDetails) -> bool:
    """Whether a list is too short only since some of its items are wrong, which is said of each."""
    given = detail["input"]
    return (
        detail["type"] == "too_short"
        and isinstance(given, list | tuple)
        and len(given) > detail["ctx"]["actual_length"]
    )


def _problem(detail: ErrorDetails, suggest: Callable[[tuple[int | str, ...]], str]) -> str:
    if detail["type"] == "missing":
        return "must be set"
    if detail["type"] == "extra_forbidden":
        return f"there is no such field{suggest(detail['loc'])}"
    given, message = detail["input"], detail["msg"].removeprefix("Value error, ")
    if detail.get("ctx", {}).get("pattern") == SHA256_PATTERN:  # the apiserver says the pattern alone
        message = "must be sha256: and 64 digits of 0-9a-f, as modelservice inspect says it"
    if isinstance(given, dict | list | tuple | BaseModel) or given is None:
        return message
    return f"{given!r:.100}: {message}"


def first_problem(error: ValidationError) -> str:
    """The first of the ``problems``."""
    return problems(error)[0]


def near_names(root: type[BaseModel]) -> Callable[[tuple[int | str, ...]], str]:
    """What ``problems`` adds for a field that a document of this kind does not have: the one that is meant, or all.

    It walks down the models to the one that refused the field, and compares with the fields that this one has.
    """

    def suggest(location: tuple[int | str, ...]) -> str:
        model = root
        for part in location[:-1]:
            if isinstance(part, int):  # an item, whose kind is that of its list
                continue
            field = next((field for field in model.model_fields.values() if field.alias == part), None)
            inner = _model_of(field.annotation) if field is not None else None
            if inner is None:
                return ""
            model = inner
        known = [str(field.alias) for field in model.model_fields.values()]
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"

    return suggest


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for argument in getattr(annotation, "__args__", ()) if (inner := _model_of(argument))), None)


def _exactly_one_message(aliases: list[str]) -> str:
    return f"{aliases[0]} must be set" if len(aliases) == 1 else f"exactly one of {', '.join(aliases)} must be set"
