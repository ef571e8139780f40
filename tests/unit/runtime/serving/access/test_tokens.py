"""Tokens: which are taken, what they say of their sender, and where the keys come from."""

import asyncio
import base64
import hmac
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.runtime.serving.fakes import core_of, numeric_model
from tests.unit.runtime.serving.mounts import mount
from tests.unit.runtime.serving.pki import Authority
from tests.unit.runtime.serving.talking import DEADLINE, listening, request, talk
from tests.unit.runtime.serving.talking import GOOD as GOOD_BODY

from modelservice.contract.access import Access, Algorithm, Jwt
from modelservice.contract.places import JWKS_CA_FOLDER, JWKS_FOLDER
from modelservice.serving.access import key_sets, tokens
from modelservice.serving.access.credentials import credential_of
from modelservice.serving.access.folder import Folder
from modelservice.serving.access.gate import Kept, build_gate
from modelservice.serving.access.key_sets import (
    PERIOD_SECONDS,
    SOON_SECONDS,
    FolderSource,
    KeySet,
    WebSource,
    fetcher,
    parse_sets,
)
from modelservice.serving.access.tokens import LEEWAY_SECONDS, Tokens
from modelservice.serving.callers import Credential
from modelservice.serving.errors import KeysMissingError, NotServedError, UnauthenticatedError
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.transports.http.connection import InferenceConnection

FIRST, SECOND = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
ISSUERS = Authority("issuers")
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
ISSUER, AUDIENCE = "https://issuer.example", "iris"
SAID = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": {"secretRef": {"name": "a"}}}
GOOD: dict[str, Any] = {"iss": ISSUER, "aud": [AUDIENCE, "other"], "sub": "shop", "groups": ["web", "all"]}


def jwk(private: Any, kid: str | None = "1", **more: Any) -> dict[str, Any]:
    kind = (
        jwt.algorithms.ECAlgorithm if isinstance(private, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
    )
    described = kind.to_jwk(private.public_key(), as_dict=True)
    return {**described, **({} if kid is None else {"kid": kid}), **more}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def token(private: Any = FIRST, kid: str | None = "1", algorithm: str = "ES256", **claims: Any) -> bytes:
    said = {"exp": int(time.time()) + 600, **GOOD, **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, private, algorithm, headers={} if kid is None else {"kid": kid}).encode()


def bearer(sent: bytes) -> Credential:
    return credential_of([(b"authorization", b"Bearer " + sent)])


async def verifier(folder: Path, *keys: dict[str, Any], clock: Any = time.time, **said: Any) -> Tokens:
    settings = Jwt.model_validate({**SAID, **said})
    mount(folder, {"jwks.json": key_set(*(keys or (jwk(FIRST),)))})
    found = Tokens(settings, KeySet(FolderSource(Folder(folder)), settings.algorithms), clock=clock)
    await found.refresh()
    return found


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({}, True),
        ({"subjects": ["shop"]}, True),
        ({"subjects": ["bank"]}, False),
        ({"groups": ["web"]}, True),
        ({"groups": ["ops"]}, False),
        ({"subjects": ["bank"], "groups": ["ops", "all"]}, True),
        ({"groupsClaim": "roles", "groups": ["web"]}, False),
    ],
)
async def test_a_token_says_who_calls_and_the_spec_who_may(tmp_path: Path, said: Any, allowed: bool) -> None:
    caller = (await verifier(tmp_path, **said)).caller_of(bearer(token(roles="web")))
    assert (caller.subject, caller.allowed) == ("shop", allowed)


async def test_another_claim_can_name_the_caller(tmp_path: Path) -> None:
    verified = await verifier(tmp_path, subjectClaim="email")
    assert verified.caller_of(bearer(token(email="a@b"))).subject == "a@b"
    with pytest.raises(UnauthenticatedError, match="has no text in the claim email"):
        verified.caller_of(bearer(token()))


def unsigned() -> bytes:
    return jwt.encode({"exp": int(time.time()) + 600, **GOOD}, "", "none", headers={"kid": "1"}).encode()


def signed_with_the_public_key() -> bytes:
    """The old trick: the issuer's public key, which everybody has, as the secret of an HMAC."""
    public = FIRST.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    said = [{"alg": "HS256", "kid": "1"}, {"exp": int(time.time()) + 600, **GOOD}]
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in said)
    signature = base64.urlsafe_b64encode(hmac.digest(public, signed, "sha256")).rstrip(b"=")
    return signed + b"." + signature


def changed(part: int) -> bytes:
    parts = token().split(b".")
    said = json.loads(base64.urlsafe_b64decode(parts[part] + b"==")) if part < 2 else None
    if said is None:
        parts[part] = parts[part][::-1]
    else:
        parts[part] = base64.urlsafe_b64encode(json.dumps(said | {"sub": "root"}).encode()).rstrip(b"=")
    return b".".join(parts)


REFUSED: dict[str, tuple[Any, str]] = {
    "text": (lambda: b"hello", "the token is not taken: Not enough segments"),
    "nothing": (lambda: b"", "the token is not taken"),
    "no text": (lambda: b"\xff.\xfe.\xfd", "the token is not taken"),
    "deep": (lambda: base64.urlsafe_b64encode(b"[" * 5_000).rstrip(b"=") + b".e30.e30", "the token is not taken"),
    "a token without end": (lambda: token(extra="x" * tokens.MAX_TOKEN), "the token is longer than 8192 bytes"),
    "unsigned": (unsigned, "the token is signed with 'none'; expected RS256 or ES256"),
    "HMAC of a public key": (signed_with_the_public_key, "the token is signed with 'HS256'; expected RS256 or ES256"),
    "another's key": (lambda: token(SECOND), "the token is not taken: Signature verification failed"),
    "a key that is not listed": (
        lambda: token(kid="2"),
        "the token is signed with a key that the issuer does not list",
    ),
    "another claim": (lambda: changed(1), "the token is not taken: Signature verification failed"),
    "another signature": (lambda: changed(2), "the token is not taken"),
    "another issuer": (lambda: token(iss="https://other"), "the token is not taken: Invalid issuer"),
    "another audience": (lambda: token(aud="wine"), "the token is not taken: Audience doesn't match"),
    "no audience": (lambda: token(aud=None), 'the token is not taken: Token is missing the "aud" claim'),
    "half a character": (lambda: token(sub="x\ud800"), "the token has no text in the claim sub"),
    "a name without end": (lambda: token(sub="x" * 1025), "sub of the token is longer than 1024"),
    "no end": (lambda: token(exp=None), 'the token is not taken: Token is missing the "exp" claim'),
    "ended": (
        lambda: token(exp=int(time.time()) - LEEWAY_SECONDS - 1),
        "the token is not taken: Signature has expired",
    ),
    "not yet": (
        lambda: token(nbf=int(time.time()) + LEEWAY_SECONDS + 60),
        "the token is not taken: The token is not yet",
    ),
    "nobody's": (lambda: token(sub=None), "the token has no text in the claim sub"),
}
WITHOUT_WORK = {
    "a token without end",
    "text",
    "nothing",
    "no text",
    "deep",
    "unsigned",
    "HMAC of a public key",
    "a key that is not listed",
}


@pytest.mark.parametrize("what", REFUSED)
async def test_other_tokens_are_nobodys(tmp_path: Path, what: str) -> None:
    make, said = REFUSED[what]
    verified = await verifier(tmp_path)
    sent = make()
    for _ in range(2):
        with pytest.raises(UnauthenticatedError) as refused:
            verified.caller_of(bearer(sent))
        assert str(refused.value).startswith(said)
        assert refused.value.tried
        if what != "another signature":  # which may be no base64 by chance
            assert refused.value.counts is (what not in WITHOUT_WORK)
    assert not verified._verified


async def test_a_token_is_verified_once_and_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.time()]
    verified, counted = await verifier(tmp_path, clock=lambda: now[0]), 0
    decode = jwt.decode

    def counting(*arguments: Any, **more: Any) -> Any:
        nonlocal counted
        counted += 1
        return decode(*arguments, **more)

    monkeypatch.setattr(jwt, "decode", counting)
    sent = bearer(token())
    for _ in range(3):
        verified.caller_of(sent)
    assert counted == 1
    now[0] += 600 + LEEWAY_SECONDS + 1
    verified.caller_of(sent)  # the library's own clock still says that it is good
    assert counted == 2


async def test_few_tokens_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_REMEMBERED", 2)
    verified = await verifier(tmp_path)
    for number in range(5):
        assert verified.caller_of(bearer(token(sub=f"shop-{number}"))).subject == f"shop-{number}"
    assert [one.caller.subject for one in verified._verified.values()] == ["shop-3", "shop-4"]


async def test_keys_are_exchanged_and_tokens_of_old_ones_forgotten(tmp_path: Path) -> None:
    verified = await verifier(tmp_path)
    old, new = bearer(token()), bearer(token(SECOND, "2"))
    assert verified.caller_of(old).subject == "shop"
    mount(tmp_path, {"jwks.json": key_set(jwk(SECOND, "2"))})
    await verified.refresh()
    assert verified.caller_of(new).subject == "shop"
    with pytest.raises(UnauthenticatedError):
        verified.caller_of(old)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "AAAA", "kid": "1", "alg": "HS256"},
        jwk(FIRST, use="enc"),
        jwk(FIRST, alg="ES384"),
        jwk(FIRST, kid=None) | {"kid": ["1"]},
        jwk(FIRST) | {"x": "!"},
        jwk(WEAK),
        "no key",
    ],
)
def test_keys_that_are_for_something_else_are_left_out(key: Any) -> None:
    assert parse_sets([key_set(key)], list(Algorithm)) == {}


PRIVATE: dict[str, tuple[Any, Any]] = {
    "ES256": (ec.generate_private_key(ec.SECP256R1()), jwt.algorithms.ECAlgorithm),
    "RS256": (rsa.generate_private_key(public_exponent=65537, key_size=2048), jwt.algorithms.RSAAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), jwt.algorithms.OKPAlgorithm),
}


@pytest.mark.parametrize("algorithm", PRIVATE)
async def test_of_a_key_with_its_private_half_the_public_one_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, algorithm: str
) -> None:
    private, kind = PRIVATE[algorithm]
    whole = kind.to_jwk(private, as_dict=True) | {"kid": "1"}
    verified = await verifier(tmp_path, whole, algorithms=[algorithm])
    assert verified.caller_of(bearer(token(private, algorithm=algorithm))).subject == "shop"
    assert "key '1' of a set has its private half beside it: who reads the set can sign" in caplog.text
    assert whole["d"] not in caplog.text
    (found,) = parse_sets([key_set(whole)], [Algorithm(algorithm)])["1", algorithm]
    assert not hasattr(found.key, "sign")


@pytest.mark.parametrize("kid", ["1", None])
async def test_sets_may_give_one_name_to_several_keys(tmp_path: Path, kid: str | None) -> None:
    verified = await verifier(tmp_path)
    mount(tmp_path, {"one.json": key_set(jwk(FIRST, kid)), "two.json": key_set(jwk(SECOND, kid))})
    await verified.refresh()
    for private in (FIRST, SECOND):
        assert verified.caller_of(bearer(token(private, kid))).subject == "shop"
        with pytest.raises(UnauthenticatedError, match="Signature has expired"):
            verified.caller_of(bearer(token(private, kid, exp=1)))
    with pytest.raises(UnauthenticatedError, match="Signature verification failed"):
        verified.caller_of(bearer(token(ec.generate_private_key(ec.SECP256R1()), kid)))


def test_a_token_may_leave_out_the_name_of_a_lone_key() -> None:
    assert set(parse_sets([key_set(jwk(FIRST))], [Algorithm.ES256])) == {("1", "ES256"), (None, "ES256")}
    two = parse_sets([key_set(jwk(FIRST), jwk(SECOND, "2"))], [Algorithm.ES256])
    assert set(two) == {("1", "ES256"), ("2", "ES256")}


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 1}', b"[" * 100_000])
def test_what_is_no_set_is_said(document: bytes) -> None:
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        parse_sets([document], [Algorithm.ES256])


async def test_an_issuer_is_asked_now_and_then_and_its_keys_outlive_it() -> None:
    now, asked = [0.0], []
    answers: list[bytes | OSError] = [
        *(OSError("down"), key_set(jwk(FIRST))),
        *(OSError("down"), key_set(jwk(SECOND, "2"))),
    ]

    def fetch() -> bytes:
        asked.append(now[0])
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    settings = Jwt.model_validate(SAID)
    keys = KeySet(WebSource(fetch, clock=lambda: now[0]), settings.algorithms)
    verified = Tokens(settings, keys)
    with pytest.raises(OSError, match="down"):
        await verified.refresh()
    with pytest.raises(KeysMissingError):
        verified.caller_of(bearer(token()))
    now[0] = SOON_SECONDS - 1
    with pytest.raises(OSError, match="down"):
        await verified.refresh()
    for now[0] in (SOON_SECONDS, SOON_SECONDS + PERIOD_SECONDS - 1):
        await verified.refresh()
    assert asked == [0, SOON_SECONDS]
    now[0] += 1
    with pytest.raises(OSError, match="down"):
        await verified.refresh()
    assert verified.caller_of(bearer(token())).subject == "shop"
    with pytest.raises(UnauthenticatedError, match="does not list"):
        verified.caller_of(bearer(token(SECOND, "2")))
    now[0] += SOON_SECONDS
    await verified.refresh()
    assert verified.caller_of(bearer(token(SECOND, "2"))).subject == "shop"


async def test_keys_that_an_issuer_takes_back_are_taken_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    verified = await verifier(tmp_path)
    mount(tmp_path, {"jwks.json": key_set()})
    await verified.refresh()
    assert "the key set has no key for RS256, ES256: no token is taken" in caplog.text
    with pytest.raises(KeysMissingError):
        verified.caller_of(bearer(token()))
    mount(tmp_path, {"jwks.json": b"no set"})
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        await verified.refresh()


async def test_an_issuer_that_never_ends_holds_one_thread_and_no_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "FETCH_SECONDS", 0)
    now, asked, free = [0.0], [], threading.Event()

    def fetch() -> bytes:
        asked.append(now[0])
        free.wait()
        return key_set(jwk(FIRST))

    source = WebSource(fetch, clock=lambda: now[0])
    for now[0] in (0.0, SOON_SECONDS):
        with pytest.raises(TimeoutError, match="did not come within 0 seconds"):
            await source.read(soon=True)
    free.set()
    monkeypatch.setattr(key_sets, "FETCH_SECONDS", 10)
    now[0] += SOON_SECONDS
    assert await source.read(soon=True) == [key_set(jwk(FIRST))]
    assert asked == [0.0]


def fetched_from(answers: list[bytes | OSError]) -> Callable[[], bytes]:
    """Fetches one after the other."""

    def fetch() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return fetch


async def test_a_key_that_was_missed_too_early_is_looked_for_all_the_same() -> None:
    now = [0.0]
    answers: list[bytes | OSError] = [key_set(jwk(FIRST)), OSError("down"), key_set(jwk(SECOND, "2"))]
    settings = Jwt.model_validate(SAID)
    verified = Tokens(settings, KeySet(WebSource(fetched_from(answers), clock=lambda: now[0]), settings.algorithms))
    await verified.refresh()
    with pytest.raises(UnauthenticatedError, match="does not list"):
        verified.caller_of(bearer(token(SECOND, "2")))
    now[0] = SOON_SECONDS - 1
    await verified.refresh()
    now[0] = SOON_SECONDS
    with pytest.raises(OSError, match="down"):
        await verified.refresh()
    now[0] = 2 * SOON_SECONDS
    await verified.refresh()
    assert verified.caller_of(bearer(token(SECOND, "2"))).subject == "shop"
    assert answers == []


async def test_an_issuer_that_is_down_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    answers: list[bytes | OSError] = [OSError("down"), OSError("down"), b"moved", key_set(jwk(FIRST)), OSError("down")]
    settings = Jwt.model_validate(SAID)
    keys = KeySet(WebSource(fetched_from(answers), clock=lambda: now[0]), settings.algorithms)
    kept = Kept(Tokens(settings, keys))
    for now[0] in (0.0, 2.0, SOON_SECONDS, SOON_SECONDS + 2):
        await kept.refresh()
    assert caplog.text.count("the last stays: down") == 1
    for now[0] in (2 * SOON_SECONDS, 2 * SOON_SECONDS + 2):
        await kept.refresh()
    assert caplog.text.count("the last stays: a key set is no JSON") == 1
    assert not kept.arrived.is_set()
    for now[0] in (3 * SOON_SECONDS, 3 * SOON_SECONDS + 2, 3 * SOON_SECONDS + PERIOD_SECONDS):
        await kept.refresh()
    assert kept.arrived.is_set()
    assert caplog.text.count("the last stays: down") == 2
    assert answers == []
    for answer in (b"<html>", key_set(jwk(SECOND, "2"))):  # a set that is none is asked for again as soon
        answers.append(answer)
        now[0] += SOON_SECONDS
        await kept.refresh()
    assert set(keys.keys) == {("2", "ES256"), (None, "ES256")}


def test_a_process_ends_though_its_issuer_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "FETCH_SECONDS", 0)
    free, ended = threading.Event(), threading.Event()

    def fetch() -> bytes:
        free.wait(DEADLINE)
        ended.set()
        return b""

    async def story() -> None:
        with pytest.raises(TimeoutError):
            await WebSource(fetch).read(soon=True)

    asyncio.run(story())
    assert not ended.is_set()
    free.set()


ANSWERS = {"/good": (200, key_set(jwk(FIRST))), "/moved": (302, b""), "/down": (503, b""), "/large": (200, b" " * 200)}


class _Issuer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("location", "/good")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Folder]]:
    """Where an issuer listens, and a folder with the authority that signed its certificate."""
    folder = tmp_path_factory.mktemp("issuer")
    mount(folder, ISSUERS.issue("issuer"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    with HTTPServer(("127.0.0.1", 0), _Issuer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://localhost:{server.server_port}", Folder(folder)
        server.shutdown()
        thread.join()


async def test_a_set_is_fetched_from_a_server_that_is_known(
    issuer: tuple[str, Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, authorities = issuer
    assert await asyncio.to_thread(fetcher(f"{base}/good", authorities)) == ANSWERS["/good"][1]
    monkeypatch.setattr(key_sets, "MAX_SET", 100)
    for path, said in (("/moved", "answers 302"), ("/down", "answers 503"), ("/large", "larger than 100 bytes")):
        with pytest.raises(OSError, match=said):
            await asyncio.to_thread(fetcher(base + path, authorities))
    with pytest.raises(OSError, match="certificate"):
        await asyncio.to_thread(fetcher(f"{base}/good", None))


async def test_an_authority_of_an_issuer_may_be_signed_by_another_one(
    issuer: tuple[str, Folder], tmp_path: Path
) -> None:
    base, authorities = issuer
    below = Authority("root").sign(ISSUERS)
    folder = Folder(mount(tmp_path, {"ca.crt": below}))
    assert await asyncio.to_thread(fetcher(f"{base}/good", folder)) == ANSWERS["/good"][1]
    assert authorities.path != folder.path


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, r"jwks-ca/ca\.crt is not there; .* --secrets names the folder"),
        ({"ca.pem": b""}, r"jwks-ca/ca\.crt is not there"),
        ({"ca.crt": b"?"}, r"jwks-ca/ca\.crt is no certificate"),
    ],
)
def test_a_server_without_the_authority_of_its_issuer_says_so(tmp_path: Path, files: Any, said: str) -> None:
    if files is not None:
        mount(tmp_path / JWKS_CA_FOLDER, files)
    jwks = {"uri": "https://issuer.example/keys", "caConfigMapRef": {"name": "ca"}}
    with pytest.raises(NotServedError, match=rf"^spec\.serving\.auth: .*{said}"):
        build_gate(Access.model_validate({"auth": {"jwt": {**SAID, "jwks": jwks}}}), tmp_path)


@pytest.mark.parametrize("body", [GOOD_BODY, GOOD_BODY + b" " * LARGE_BODY], ids=["small", "large"])
async def test_who_may_and_who_may_not_over_http(tmp_path: Path, body: bytes) -> None:
    mount(tmp_path / JWKS_FOLDER, {"jwks.json": key_set(jwk(FIRST))})
    gate = build_gate(Access.model_validate({"auth": {"jwt": {**SAID, "subjects": ["shop"]}}}), tmp_path)
    await gate.refresh()
    async with listening(InferenceConnection, core=core_of(numeric_model(), gate=gate)) as (port, _):
        sent = [token(), token(), token(sub="bank"), token(SECOND), token()]
        heads = [b"authorization: Bearer " + one for one in sent]
        said = await talk(port, *(request(body, head) for head in heads), request(body, b"connection: close"))
    assert re.findall(rb"HTTP/1.1 (\d+) ", said) == [b"200", b"200", b"403", b"401", b"200", b"401"]
    assert b"'bank' may not call this model; ask whoever runs it" in said
    assert re.findall(rb"www-authenticate: (.*?)\r\n", said) == [b'Bearer error="invalid_token"', b"Bearer"]


def test_a_server_without_keys_says_so(tmp_path: Path) -> None:
    mount(tmp_path / JWKS_FOLDER, {"jwks.json": key_set()})
    with pytest.raises(NotServedError, match=r"^spec\.serving\.auth: .*jwks holds no key for RS256, ES256$"):
        build_gate(Access.model_validate({"auth": {"jwt": SAID}}), tmp_path)


def test_an_entry_that_is_no_set_is_said(tmp_path: Path) -> None:
    mount(tmp_path / JWKS_FOLDER, {"jwks.json": key_set(jwk(FIRST)), "notes": "ask Ann"})
    said = r"^spec\.serving\.auth: .*/jwks: a key set is no JSON: .*; each of its entries has to be a key set$"
    with pytest.raises(NotServedError, match=said):
        build_gate(Access.model_validate({"auth": {"jwt": SAID}}), tmp_path)


async def test_a_token_without_an_end_that_a_float_holds_is_taken(tmp_path: Path) -> None:
    verified = await verifier(tmp_path)
    assert verified.caller_of(bearer(token(exp=10**400))).subject == "shop"
