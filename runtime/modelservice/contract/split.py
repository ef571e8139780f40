"""``spec.data.split``: which rows learn, which choose and which test."""

from typing import Final, Self

from pydantic import Field, model_validator

from modelservice.contract.base import ColumnName, Contract, Rule
from modelservice.contract.locations import SideFiles

SPLIT_COLUMNS: Final = ("groupBy", "timeColumn", "column")
_DECIDING = (*SPLIT_COLUMNS, "files")
_ONE_DECIDES = Rule(
    f"[{', '.join(f'has(self.{name})' for name in _DECIDING)}].filter(x, x).size() <= 1",
    f"at most one of {', '.join(_DECIDING)} can decide the split",
)
_FOLDS_OF_CONTENT = Rule(
    "!has(self.folds) || (!has(self.timeColumn) && !has(self.column) && !has(self.files))",
    "folds divide rows by their content or by groupBy: leave timeColumn, column and files out",
)
_SOME_FILES = Rule("has(self.test) || has(self.validation)", "at least one of test, validation must be set")


def each_file(files: str, condition: str) -> str:
    """CEL: the condition on those of ``files`` that are set; ``{}`` in it is a file."""
    sides = (f"{files}.{side}" for side in ("validation", "test"))
    return " && ".join(f"(!has({side}) || {condition.format(side)})" for side in sides)


_FILES_INSIDE = Rule(
    each_file("self", "(!{0}.split('/').exists(part, part == '..') && !{0}.matches('[*].*/'))"),
    "files must not contain '..', and '*' only in the last part",
)


class SplitFiles(Contract):
    """Files of rows that are on a side as a whole, beside the file of the data, with the same columns and format."""

    RULES = (_SOME_FILES, _FILES_INSIDE)

    test: SideFiles | None = Field(
        default=None,
        description="Files whose rows only measure the result: a path on the same claim, a key of the same ConfigMap,"
        " or another uri; '*' as in path and uri. Default: a share of the data's own rows. A change trains again.",
    )
    validation: SideFiles | None = Field(
        default=None,
        description="Files whose rows choose the best epoch, named in the same way. Default: a share of the data's own"
        " rows. A change trains again.",
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.by_side:
            raise ValueError(_SOME_FILES.message)
        for file in self.by_side.values():
            if ".." in file.split("/") or "*" in file.rpartition("/")[0]:
                raise ValueError(_FILES_INSIDE.message)
        return self

    @property
    def by_side(self) -> dict[str, str]:
        """Files by the name of their side, in the order in which their rows follow those of the data."""
        return {side: file for side in ("validation", "test") if (file := getattr(self, side)) is not None}


class Split(Contract):
    """Shares of the rows kept away from training; each row's content decides, so appended rows move no other.

    Where a column is named, or files are, they decide instead.
    """

    RULES = (_ONE_DECIDES, _FOLDS_OF_CONTENT)

    validation: float = Field(
        default=0.15,
        ge=0.01,
        le=0.45,
        description="Share of rows that chooses the best epoch. Default 0.15. A change trains again.",
    )
    test: float = Field(
        default=0.15,
        ge=0.01,
        le=0.45,
        description="Share of rows that only measures the result. Default 0.15. A change trains again.",
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Another seed, another split. Default 0. A change trains again."
    )
    group_by: ColumnName | None = Field(
        default=None,
        description="Column of groups, such as a customer's number: rows with the same cell are on the same side. It is"
        " no feature unless features lists it. Default: none. A change trains again.",
    )
    time_column: ColumnName | None = Field(
        default=None,
        description="Column of dates (ISO 8601) or numbers: the last rows test, those before them choose the best"
        " epoch, all before learn; rows of one time stay together, and seed has no effect. It is no feature unless"
        " features lists it. Default: none. A change trains again.",
    )
    column: ColumnName | None = Field(
        default=None,
        description="Column whose cells say train, validation or test; shares and seed have no effect. It is no feature"
        " unless features lists it. Default: none. A change trains again.",
    )
    files: SplitFiles | None = Field(
        default=None,
        description="Files of test or validation rows, beside those of the data. Default: none. A change trains again.",
    )
    folds: int | None = Field(
        default=None,
        ge=2,
        le=20,
        description="Cross-validation besides: so many models more are trained, each tested on rows that it never saw,"
        " and the mean and the deviation of their metrics are said. The model that is served stays that of the split."
        " Default: none. A change trains again.",
    )

    @model_validator(mode="after")
    def _one_decides(self) -> Self:
        if len(self.columns) + (self.files is not None) > 1:
            raise ValueError(_ONE_DECIDES.message)
        given = (self.time_column, self.column, self.files)
        if self.folds is not None and any(one is not None for one in given):
            raise ValueError(_FOLDS_OF_CONTENT.message)
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The column that decides, if any does."""
        return tuple(name for name in (self.group_by, self.time_column, self.column) if name is not None)

    @property
    def shares(self) -> dict[str, float]:
        """Shares of the rows that their content chooses, by the name of the side; 0 of a side that has files."""
        shares = {"validation": self.validation, "test": self.test}
        return {side: 0.0 if side in self.given_files else share for side, share in shares.items()}

    @property
    def given_files(self) -> dict[str, str]:
        """Files of single sides, by the name of the side, in the order of their rows."""
        return {} if self.files is None else self.files.by_side
