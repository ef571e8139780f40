"""``spec.data``: where the data is, what is predicted from what, and how it is split."""

import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from modelservice.contract.base import ColumnName, Contract, ObjectName, OneOf, Rule, Sha256, ShortText
from modelservice.contract.formats import CSV, Excel, ImageSize
from modelservice.contract.locations import KEY_PATTERN, ConfigMapKey, DataUri, EncoderUri, RelativePath
from modelservice.contract.pods import NameReference
from modelservice.contract.split import SPLIT_COLUMNS, Split, each_file

MissingWords = Annotated[tuple[Annotated[str, StringConstraints(max_length=64)], ...], Field(max_length=32)]
_INSIDE = Rule("!self.path.split('/').exists(part, part == '..')", "path must not contain '..'")
_STAR_LAST = Rule("!self.path.matches('[*].*/')", "'*' may stand in the last part of path only")
_UNSEEN_VERSION = Rule(
    "!has(self.version) || !has(self.configMap)",
    "version is for claims and uri, whose change nobody sees; the content of a ConfigMap is its own version",
)
_SECRET_OF_URI = Rule(
    "!has(self.secretRef) || (has(self.uri) && !self.uri.startsWith('https:'))",
    "secretRef holds the credentials of a uri under s3, gs or az: set such a uri, or leave secretRef out",
)
_TARGET_NOT_FEATURE = Rule(
    "!has(self.features) || !self.features.exists(name, name == self.target)", "features must not contain the target"
)
_CSV_OF_CSV = Rule(
    "!has(self.csv) || !has(self.format) || self.format == 'CSV'", "csv is for files of format CSV: leave it out"
)
_EXCEL_OF_EXCEL = Rule(
    "!has(self.excel) || !has(self.format) || self.format == 'Excel'",
    "excel is for files of format Excel: leave it out",
)
_IMAGE_OF_FOLDER = Rule(
    "!has(self.image) || !has(self.format) || self.format == 'ImageFolder'",
    "image is for files of format ImageFolder: leave it out",
)
_TEXT_ALONE = Rule(
    "!has(self.text) || ((!has(self.features) || self.features.size() == 0)"
    " && (!has(self.columns) || self.columns.size() == 0))",
    "text names the only column that is learned from: leave features and columns out",
)
_TEXT_NOT_TARGET = Rule("!has(self.text) || self.text.column != self.target", "text must not name the target")
_TARGET_NOT_COLUMN = Rule(
    "!has(self.columns) || !(self.target in self.columns)",
    "columns must not contain the target: spec.task says how it is read",
)
_FEATURE_NOT_IGNORED = Rule(
    "!has(self.columns) || !has(self.features) || !self.features.exists(name, name in self.columns"
    " && self.columns[name].type == 'Ignore')",
    "columns must not ignore one of the features",
)
_ENCODER_OF_COLUMNS = Rule(
    "has(self.encoder) == (has(self.columns) && self.columns.exists(name, self.columns[name].type == 'Encoded'))",
    "encoder reads the columns whose type is Encoded: say both, or neither",
)

_WEIGHT_ALONE = Rule(
    "!has(self.sampleWeight) || (self.sampleWeight != self.target"
    " && (!has(self.features) || !self.features.exists(name, name == self.sampleWeight)))",
    "sampleWeight must be neither the target nor one of the features",
)
_TARGET_NOT_SPLIT = Rule(
    "!has(self.split) || !("
    + " || ".join(f"(has(self.split.{name}) && self.split.{name} == self.target)" for name in SPLIT_COLUMNS)
    + ")",
    "the target cannot decide the split",
)


def _of_split_files(condition: str) -> str:
    """The same of ``split.files``, which may not be there."""
    each = each_file("self.split.files", condition)
    return f"!has(self.split) || !has(self.split.files) || ({each})"


_IS_KEY = f"{{}}.matches('{KEY_PATTERN}')"
_FILES_OF_SOURCE = Rule(
    _of_split_files("{}.contains('://') == has(self.uri)"),
    "split.files are named as the data is: of a uri as objects with their store, else as paths or keys",
)
_FILES_OF_CONFIG_MAP = Rule(
    f"!has(self.configMap) || {_of_split_files(_IS_KEY)}",
    "split.files of a ConfigMap are keys of it, without '/' and '*'",
)


class Format(StrEnum):
    """How a file of data is written."""

    CSV = "CSV"
    NPZ = "NPZ"
    JSON_LINES = "JSONLines"
    PARQUET = "Parquet"
    EXCEL = "Excel"
    IMAGE_FOLDER = "ImageFolder"


_SUFFIXES = (
    (".npz", Format.NPZ),
    (".jsonl", Format.JSON_LINES),
    (".ndjson", Format.JSON_LINES),
    (".parquet", Format.PARQUET),
    (".xlsx", Format.EXCEL),
    (".xlsm", Format.EXCEL),
    (".zip", Format.IMAGE_FOLDER),
    (".tar", Format.IMAGE_FOLDER),
    (".tgz", Format.IMAGE_FOLDER),
)
"""What the names of files end with; all others are CSV."""


class ConfigMapSource(Contract):
    """A file in a ConfigMap of the same namespace; a change of its content trains again."""

    name: ObjectName = Field(description="Name of the ConfigMap. Another name with the same content trains nothing.")
    key: ConfigMapKey | None = Field(
        default=None,
        description="Key of the file in data, or (plain or gzip) in binaryData. Default: the only key, but for those of"
        " split.files.",
    )

    def chosen_key(self, keys: Iterable[str], *, beside: Collection[str] = ()) -> str | None:
        """The key that is meant, None where that is not clear.

        Args:
            keys: those that are there.
            beside: those that hold the rows of single sides.
        """
        rest = [key for key in keys if key not in beside]
        return self.key or (rest[0] if len(rest) == 1 else None)


class ClaimSource(Contract):
    """A file, or several, on a PersistentVolumeClaim of the same namespace, mounted read-only."""

    RULES = (_INSIDE, _STAR_LAST)

    claim_name: ObjectName = Field(description="Name of the PersistentVolumeClaim.")
    path: RelativePath = Field(
        description="Path of the file inside the volume, relative, without '..'. In its last part '*' stands for any"
        " characters: folder/*.parquet is one table of all these files, in the order of their names."
    )

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        if ".." in self.path.split("/"):
            raise ValueError(_INSIDE.message)
        if "*" in self.path.rpartition("/")[0]:
            raise ValueError(_STAR_LAST.message)
        return self


class Scaling(StrEnum):
    """What columns of numbers are scaled by, measured on training rows."""

    STANDARD = "Standard"
    MIN_MAX = "MinMax"
    ROBUST = "Robust"
    NONE = "None"


class MissingNumbers(StrEnum):
    """What a missing number counts as, measured on training rows."""

    MEAN = "Mean"
    MEDIAN = "Median"
    MOST_FREQUENT = "MostFrequent"


class ColumnType(StrEnum):
    """What a column of a table holds."""

    NUMBER = "Number"
    CATEGORY = "Category"
    BOOLEAN = "Boolean"
    DATE = "Date"
    TEXT = "Text"
    ENCODED = "Encoded"
    IGNORE = "Ignore"


class ColumnSettings(Contract):
    """What is known of one column, whatever its cells look like."""

    type: ColumnType = Field(
        description="Number: every cell is a number or missing. Category: texts, numbers such as codes included."
        " Boolean: yes and no, true and false, y and n, t and f, 1 and 0."
        " Date: dates with or without a time of day and a zone, such as 2024-01-31T12:30:00Z."
        " Text: free text, of which the letters are learned from, and not each text as a whole."
        " Encoded: texts that data.encoder makes numbers of."
        " Ignore: no input of the model. A change trains again."
    )


class TextColumn(Contract):
    """The column of texts that a model reads word by word, and how its words become numbers."""

    column: ColumnName = Field(description="Name of the column. A change trains again.")
    max_length: int = Field(
        default=128,
        ge=4,
        le=4096,
        description="Tokens (words and parts of them) of a text that are read, from its begin on; what follows has no"
        " effect. Default 128. A change trains again.",
    )
    vocabulary: int = Field(
        default=8000,
        ge=300,
        le=65_536,
        description="Different tokens at most, found in the training rows; an encoder brings its own. Default 8000."
        " A change trains again.",
    )


class ColumnEncoder(Contract):
    """A pretrained model that makes numbers of the columns of type Encoded, and stays as it is."""

    uri: EncoderUri = Field(
        description="Folder of a BERT in the layout of Hugging Face, as that of model.encoder. A change trains again."
    )
    digest: Sha256 | None = Field(
        default=None,
        description="sha256 of model.safetensors, which the status says: another file is refused. Default: whatever is"
        " there. A change trains again.",
    )
    max_length: int = Field(
        default=128,
        ge=4,
        le=512,
        description="Tokens of a text that are read, from its begin on; what follows has no effect. Default 128."
        " A change trains again.",
    )


class Data(OneOf):
    """Exactly one source of data, a table or images as NPZ, and what to learn from it."""

    COMMON = frozenset(
        {
            "secret_ref",
            "version",
            "format",
            "csv",
            "excel",
            "image",
            "text",
            "encoder",
            "target",
            "features",
            "columns",
            "missing",
            "missing_numbers",
            "scaling",
            "sample_weight",
            "split",
        }
    )
    RULES = (
        _UNSEEN_VERSION,
        _SECRET_OF_URI,
        _CSV_OF_CSV,
        _EXCEL_OF_EXCEL,
        _IMAGE_OF_FOLDER,
        _TEXT_ALONE,
        _TEXT_NOT_TARGET,
        _TARGET_NOT_FEATURE,
        _TARGET_NOT_COLUMN,
        _FEATURE_NOT_IGNORED,
        _ENCODER_OF_COLUMNS,
        _TARGET_NOT_SPLIT,
        _WEIGHT_ALONE,
        _FILES_OF_SOURCE,
        _FILES_OF_CONFIG_MAP,
    )

    config_map: ConfigMapSource | None = Field(default=None, description="A file in a ConfigMap of this namespace.")
    persistent_volume_claim: ClaimSource | None = Field(
        default=None, description="A file on a PersistentVolumeClaim of this namespace."
    )
    uri: DataUri | None = Field(
        default=None,
        description="An object of a store: s3://, gs:// or az:// with bucket and name, or https://. Of a store, '*' in"
        " the last part of the name means all objects that fit, tables with the same columns, in the order of their"
        " names. A change trains again.",
    )
    secret_ref: NameReference | None = Field(
        default=None,
        description="Secret whose keys are the standard variables of the store of uri, such as AWS_ACCESS_KEY_ID,"
        " AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL; apart from those of artifacts. Default: what the"
        " variables of the training pod, or its ServiceAccount, may.",
    )
    version: ShortText | None = Field(
        default=None, description="For claims and uri: change it to say that the file changed, which trains again."
    )
    format: Format | None = Field(
        default=None,
        description="CSV, Excel: a table with a header row. JSONLines: an object in each line. Parquet: a table. NPZ:"
        " images, an array [n, h, w] or [n, h, w, c] (uint8 or float) beside the target's array [n]. ImageFolder:"
        " pictures, PNG or JPEG, in a .zip, a .tar or a folder of a claim, with a folder for each class. Default: as"
        " the file's name ends, .xlsx, .jsonl or .ndjson, .parquet, .npz, .zip, .tar or .tgz, each with or without .gz;"
        " else CSV."
        " A change trains again.",
    )
    csv: CSV | None = Field(
        default=None, description="How a CSV file is written, where that cannot be seen in it. A change trains again."
    )
    excel: Excel | None = Field(
        default=None, description="Where the table stands in an Excel workbook. A change trains again."
    )
    image: ImageSize | None = Field(
        default=None,
        description="The size of the pictures of an ImageFolder: each is scaled until it covers that, and what hangs"
        " over is cut off. Default: the size that all of them have. A change trains again.",
    )
    text: TextColumn | None = Field(
        default=None,
        description="The column of a table whose texts are read word by word, by rnn, transformer or encoder. Default:"
        " all columns are features, those of texts by their letters. A change trains again.",
    )
    encoder: ColumnEncoder | None = Field(
        default=None,
        description="A pretrained model that reads the columns whose type is Encoded, beside all others. Default: none"
        " is read so. A change trains again.",
    )
    target: ColumnName = Field(
        description='The column to predict; of an NPZ file the array, usually "y", in quotes, since kubectl takes'
        " a bare y for true; of an ImageFolder label, the name of a picture's folder, or a column of its metadata.csv."
        " A change trains again."
    )
    features: Annotated[tuple[ColumnName, ...], Field(max_length=256)] = Field(
        default=(),
        description="Columns to predict from; of an NPZ file the array of images. Default: every other column, the only"
        " other array. A change trains again.",
    )
    columns: Annotated[dict[ColumnName, ColumnSettings], Field(max_length=256)] = Field(
        default={},
        description="Columns of a table by name, for those whose cells do not tell what they hold, such as"
        " {zip: {type: Category}}. Default: each cell is looked at. A change trains again.",
    )
    missing: MissingWords | None = Field(
        default=None,
        description='Texts that mean a missing value in every column and the target, in any case, such as ["NA", "?"];'
        " an empty cell always does. One that is a number, in quotes, means that number however it is written."
        " Default: NA, N/A, NaN, null and None among numbers, and none among texts. A change trains again.",
    )
    missing_numbers: MissingNumbers = Field(
        default=MissingNumbers.MEAN,
        description="What a missing number counts as, by training rows. Default Mean. A change trains again.",
    )
    scaling: Scaling = Field(
        default=Scaling.STANDARD,
        description="How numbers are scaled, by training rows: by mean and deviation (Standard), to 0 to 1 (MinMax),"
        " by median and quartiles (Robust), or not (None). Default Standard. A change trains again.",
    )
    sample_weight: ColumnName | None = Field(
        default=None,
        description="Column of numbers from 0 on: how much each row counts in training and in all metrics; only their"
        " ratios matter, and a row of 0 is left out. It is no feature. Default: all rows count alike. A change trains"
        " again.",
    )
    split: Split = Field(default=Split(), description="How rows are divided into training, validation and test.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        files = self.split.given_files.values()
        for rule, broken in (
            (_UNSEEN_VERSION, self.version is not None and self.config_map is not None),
            (_SECRET_OF_URI, self.secret_ref is not None and (self.uri is None or self.uri.startswith("https:"))),
            (_CSV_OF_CSV, self.csv is not None and self.format not in {None, Format.CSV}),
            (_EXCEL_OF_EXCEL, self.excel is not None and self.format not in {None, Format.EXCEL}),
            (_IMAGE_OF_FOLDER, self.image is not None and self.format not in {None, Format.IMAGE_FOLDER}),
            (_TEXT_ALONE, self.text is not None and bool(self.features or self.columns)),
            (_TEXT_NOT_TARGET, self.text is not None and self.text.column == self.target),
            (_TARGET_NOT_FEATURE, self.target in self.features),
            (_TARGET_NOT_COLUMN, self.target in self.columns),
            (_FEATURE_NOT_IGNORED, bool(self.columns_of(ColumnType.IGNORE).intersection(self.features))),
            (_ENCODER_OF_COLUMNS, (self.encoder is not None) != bool(self.columns_of(ColumnType.ENCODED))),
            (_TARGET_NOT_SPLIT, self.target in self.split.columns),
            (_WEIGHT_ALONE, self.sample_weight in {self.target, *self.features}),
            (_FILES_OF_SOURCE, any(("://" in one) != (self.uri is not None) for one in files)),
            (
                _FILES_OF_CONFIG_MAP,
                self.config_map is not None and any(not re.match(KEY_PATTERN, one) for one in files),
            ),
        ):
            if broken:
                raise ValueError(rule.message)
        return self

    def columns_of(self, type_: ColumnType) -> set[str]:
        """Names of the columns that are said to be of a type."""
        return {name for name, settings in self.columns.items() if settings.type is type_}

    def format_of(self, file: str) -> Format:
        """The format that is said, or that the name of the file tells."""
        name = file.lower().removesuffix(".gz")
        return self.format or next((form for suffix, form in _SUFFIXES if name.endswith(suffix)), Format.CSV)
