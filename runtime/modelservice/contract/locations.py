"""How data is named: a path inside a volume, a key of a ConfigMap, or an object of a store."""

from typing import Annotated, Final

from pydantic import StringConstraints

from modelservice.contract.base import Worded

KEY_PATTERN: Final = "^[-._a-zA-Z0-9]+$"
ConfigMapKey = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Worded(KEY_PATTERN, "must be a key of a ConfigMap: letters, digits, '-', '_' and '.'"),
]
_INSIDE_VOLUME = r"[^/\\]+(/[^/\\]+)*"
RelativePath = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Worded(
        rf"^{_INSIDE_VOLUME}$",
        "must be a path inside the volume such as folder/table.csv, with no '/' at either end",
    ),
]
_NOT_IN_KEYS = r"/?#\\\x00-\x1f\x7f"
_FOLDERS = rf"(/[^.*{_NOT_IN_KEYS}][^*{_NOT_IN_KEYS}]*)*"
_OBJECT = rf"/[^.{_NOT_IN_KEYS}][^{_NOT_IN_KEYS}]*"
_BUCKET = r"(s3|gs|az)://[a-z0-9][-a-z0-9_.]{1,62}"
_HOST = r"https://[A-Za-z0-9][-A-Za-z0-9.]{0,252}(:[0-9]{1,5})?"
_WEB_CHARACTERS = "-A-Za-z0-9_~!$&()+,;=:@%"
_ADDRESS = (
    rf"{_BUCKET}{_FOLDERS}{_OBJECT}"
    rf"|{_HOST}(/[{_WEB_CHARACTERS}][{_WEB_CHARACTERS}.]*)+"
)
DataUri = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Worded(
        rf"^({_ADDRESS})$",
        "must be an object such as s3://bucket/folder/train.csv or https://host/train.csv, without '?' and '#'; in the"
        " last part of what is under s3, gs or az, '*' stands for any text; no part begins with '.'",
    ),
]
SideFiles = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Worded(
        rf"^({_ADDRESS}|{_INSIDE_VOLUME})$",
        "must name files as the data is named: a path inside the volume, a key of the ConfigMap, or an object such as"
        " s3://bucket/folder/test.csv",
    ),
]
_PART = r"\.?[-A-Za-z0-9_=~+@][-A-Za-z0-9_.=~+@]*"
FILE_SCHEME: Final = "file"
"""Of a folder of the machine, or of the image, that reads it."""
_FOLDER = rf"({_BUCKET}|{_HOST}|{FILE_SCHEME}://)(/{_PART})+"
FolderUri = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Worded(
        rf"^{_FOLDER}$",
        "must be a folder such as s3://models/iris/qp2iu6b5, https://host/iris or file:///models/iris, without '/' at"
        " its end",
    ),
]
HUB_SCHEME: Final = "hf"
"""Of a model of a hub."""
_NAME = "[A-Za-z0-9][-A-Za-z0-9_.]{0,95}"
EncoderUri = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Worded(
        rf"^({_FOLDER}|{HUB_SCHEME}://{_NAME}/{_NAME}@{_NAME})$",
        "must be a folder such as s3://models/minilm, https://host/minilm or file:///models/minilm, without '/' at its"
        " end, or a model of a hub with its revision, hf://organisation/name@revision",
    ),
]
CLAIM_SCHEME: Final = "pvc"
"""Of an artifact on a claim of the namespace, ``pvc://CLAIM/FOLDER``, as a status says where one lies."""
ArtifactUri = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Worded(
        rf"^({_BUCKET}|{_HOST}|{CLAIM_SCHEME}://[a-z0-9][-a-z0-9.]{{0,252}})(/{_PART})+$",
        "must be the folder of an artifact such as s3://models/team/iris/qp2iu6b5, https://host/iris or"
        " pvc://claim/folder, without '/' at its end",
    ),
]
