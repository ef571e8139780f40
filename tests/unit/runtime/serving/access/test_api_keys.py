"""API keys: whose they are, what is none, and how they are exchanged."""

import hashlib
from pathlib import Path

import pytest
from tests.unit.runtime.serving.mounts import mount

from modelservice.serving.access.api_keys import MIN_CHARACTERS, ApiKeys
from modelservice.serving.access.credentials import credential_of
from modelservice.serving.access.folder import Folder
from modelservice.serving.errors import UnauthenticatedError

SHOP, OTHER, BANK = (f"{name}-0123456789abcdef" for name in ("shop", "other", "bank"))


def hashed(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def keys_of(folder: Path, **files: str) -> ApiKeys:
    return ApiKeys(Folder(mount(folder, files)))


def bearer(key: str, scheme: str = "Bearer") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"a"), (b"authorization", f"{scheme} {key}".encode())]


@pytest.mark.parametrize("written", [str, hashed, lambda key: hashed(key).replace("sha256:", "sha256:").upper()[6:]])
def test_a_key_is_known_however_it_is_written(tmp_path: Path, written: object) -> None:
    assert callable(written)
    line = written(SHOP)
    line = line if line.startswith(("shop", "sha256:")) else f"sha256{line}"
    keys = keys_of(tmp_path, shop=f"# of the shop\n\n  {OTHER}  \n{line}\n", bank=BANK)
    assert keys.caller_of(credential_of(bearer(SHOP))).subject == "shop"
    assert keys.caller_of(credential_of(bearer(OTHER, "bearer"))).subject == "shop"
    assert keys.caller_of(credential_of([(b"x-api-key", BANK.encode())])).subject == "bank"


@pytest.mark.parametrize(
    ("headers", "said", "tried"),
    [
        ([], "the credential is missing", False),
        ([(b"cookie", b"a")], "the credential is missing", False),
        (bearer(SHOP, "Digest"), "the credential is of another scheme", True),
        (bearer(SHOP, "Basic"), "the credential is no name and password in base64", True),
        (bearer(SHOP) + bearer(SHOP), "the credential is there more than once", True),
        (bearer(""), "the API key is not known", True),
        (bearer("shop"), "the API key is not known", True),
        (bearer(hashed(SHOP)), "the API key is not known", True),
        (bearer("# a comment that is long enough"), "the API key is not known", True),
        ([(b"authorization", b"Bearer \xff\xfe")], "the API key is not known", True),
    ],
)
def test_what_is_no_key_is_nobody(tmp_path: Path, headers: list[tuple[bytes, bytes]], said: str, tried: bool) -> None:
    keys = keys_of(tmp_path, shop=f"# a comment that is long enough\n{SHOP}", short="shop")
    with pytest.raises(UnauthenticatedError, match=f"^{said}") as refused:
        keys.caller_of(credential_of(headers))
    assert refused.value.tried is tried


async def test_keys_are_exchanged_and_taken_back(tmp_path: Path) -> None:
    keys = keys_of(tmp_path, shop=SHOP)
    await keys.refresh()
    assert keys.caller_of(credential_of(bearer(SHOP))).subject == "shop"
    mount(tmp_path, {"bank": BANK})
    await keys.refresh()
    assert keys.caller_of(credential_of(bearer(BANK))).subject == "bank"
    mount(tmp_path, {})
    await keys.refresh()
    for key in (SHOP, BANK):
        with pytest.raises(UnauthenticatedError):
            keys.caller_of(credential_of(bearer(key)))


async def test_what_could_not_be_read_is_read_at_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_of(tmp_path, shop=SHOP)
    mount(tmp_path, {"bank": BANK})
    with monkeypatch.context() as broken:
        broken.setattr(Folder, "read", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await keys.refresh()
    await keys.refresh()
    assert keys.caller_of(credential_of(bearer(BANK))).subject == "bank"


async def test_a_key_of_two_callers_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    keys = keys_of(tmp_path, shop=SHOP)
    mount(tmp_path, {"bank": f"{BANK}\n{SHOP}\n{SHOP}", "shop": f"{SHOP}\n{OTHER}"})
    await keys.refresh()
    assert caplog.text.count("API key shop, line 1: is a key of bank too; whoever sends it counts as shop") == 1
    assert caplog.text.count("is a key of") == 1
    assert "API keys were read again: 3 of 2 callers" in caplog.text


def test_a_server_without_a_key_is_no_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=f"holds no API key: one a line, of at least {MIN_CHARACTERS} characters"):
        keys_of(tmp_path, shop="too-short")
    assert "API key shop, line 1: shorter than 16 characters; left out" in caplog.text
    assert "too-short" not in caplog.text


def test_a_digest_with_something_behind_it_is_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = f"{hashed(SHOP)}  -"
    keys = keys_of(tmp_path, shop=f"{line}\n{OTHER}")
    assert "API key shop, line 1: sha256: and 64 digits, and nothing else; left out" in caplog.text
    with pytest.raises(UnauthenticatedError):
        keys.caller_of(credential_of([(b"x-api-key", line.encode())]))


@pytest.mark.parametrize("short", ["", "short"])
def test_a_digest_of_what_is_too_short_opens_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, short: str
) -> None:
    keys = keys_of(tmp_path, shop=f"{hashed(short)}\n{OTHER}")  # as printf %s "$UNSET" | sha256sum writes it
    for headers in (bearer(short), [(b"x-api-key", short.encode())]):
        with pytest.raises(UnauthenticatedError, match=r"^the API key is not known$"):
            keys.caller_of(credential_of(headers))
    assert caplog.text.count("API key shop: a digest is that of fewer than 16 characters; left out") == 1


def test_a_digest_is_no_key_however_it_is_spelled(tmp_path: Path) -> None:
    line = hashed(SHOP).replace("sha256", "SHA256")
    keys = keys_of(tmp_path, shop=line)
    assert keys.caller_of(credential_of(bearer(SHOP))).subject == "shop"
    with pytest.raises(UnauthenticatedError):
        keys.caller_of(credential_of(bearer(line)))


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    keys = keys_of(tmp_path, shop=f"\ufeff{SHOP}\r\n{OTHER}\r\n")
    assert keys.caller_of(credential_of(bearer(SHOP))).subject == "shop"


def test_what_nobody_can_send_is_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = mount(tmp_path, {"shop": SHOP.encode("utf-16"), "bank": BANK})
    assert len(ApiKeys(Folder(folder))._known) == 1
    assert "API key shop, line 1: holds what no header can; write it as ASCII or UTF-8; left out" in caplog.text
