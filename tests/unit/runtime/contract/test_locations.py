"""Which addresses of folders are taken."""

import pytest
from pydantic import TypeAdapter, ValidationError

from modelservice.contract.locations import EncoderUri, FolderUri

FOLDERS: TypeAdapter[str] = TypeAdapter(FolderUri)
ENCODERS: TypeAdapter[str] = TypeAdapter(EncoderUri)


@pytest.mark.parametrize("addresses", [FOLDERS, ENCODERS], ids=["folder", "encoder"])
@pytest.mark.parametrize(
    "uri", ["file:///home/me/.cache/hf/minilm", "s3://models/.kept/minilm", "https://host/.well-known/minilm"]
)
def test_a_part_may_begin_with_a_dot(addresses: TypeAdapter[str], uri: str) -> None:
    assert addresses.validate_python(uri) == uri


@pytest.mark.parametrize("addresses", [FOLDERS, ENCODERS], ids=["folder", "encoder"])
@pytest.mark.parametrize(
    "part", ["..", ".", "../..", "..b", "a/..", "a/.", "a/../b", "a//b", "a/", ".a/..", "a/%2e%2e"]
)
def test_no_part_leads_elsewhere(addresses: TypeAdapter[str], part: str) -> None:
    for root in ("file:///", "file:///models/", "s3://models/", "https://host/"):
        with pytest.raises(ValidationError, match="must be a folder such as"):
            addresses.validate_python(f"{root}{part}")
