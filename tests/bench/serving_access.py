"""What a guarded server of the bench asks for: the public key of an issuer, and a token of its private one."""

import json
import time
from pathlib import Path
from typing import NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from modelservice.contract.access import Access
from modelservice.contract.places import JWKS_FOLDER

_SECONDS = 24 * 3600
_JWT = {"issuer": "https://issuer.example", "audience": "bench", "jwks": {"secretRef": {"name": "any"}}}


class Guarded(NamedTuple):
    """Settings of a server, the folder of its Secrets, and the header that opens it."""

    access: Access
    secrets: Path
    header: tuple[str, str]


def issue(folder: Path) -> Guarded:
    """Write a key set and sign a token of it (RS256, as Kubernetes' are)."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    public = {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "1"}
    (folder / JWKS_FOLDER).mkdir(parents=True)
    (folder / JWKS_FOLDER / "keys.json").write_text(json.dumps({"keys": [public]}))
    claims = {"iss": _JWT["issuer"], "aud": _JWT["audience"], "sub": "bench", "exp": int(time.time()) + _SECONDS}
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "1"})
    access = Access.model_validate({"auth": {"jwt": _JWT}})
    return Guarded(access, folder, ("Authorization", f"Bearer {token}"))
