"""What the OpenAPI page says of who may call, and that it is closed to who may not."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.serving.fakes import client_of, core_of, front_of, numeric_model
from tests.unit.runtime.serving.mounts import mount
from tests.unit.runtime.serving.talking import connected

from modelservice.contract.access import Access
from modelservice.contract.places import API_KEYS_FOLDER, JWKS_FOLDER
from modelservice.serving.access.gate import Gate, build_gate
from modelservice.serving.core import Models
from modelservice.serving.transports.http.server import build_front

KEY = "shop-0123456789abcdef"
KEYS = {"auth": {"apiKeys": {"secretRef": {"name": "keys"}}}}
PUBLIC = {"/v2/health/live", "/v2/health/ready"}


async def page_of(gate: Gate) -> dict[str, Any]:
    """The page behind a gate that asks nobody."""
    async with client_of(build_front(Models([core_of(numeric_model(), gate=gate._replace(guards=()))]))) as client:
        page: dict[str, Any] = (await client.get("/openapi.json")).json()
        assert page == (await client.get("/openapi.json")).json()
        return page


async def test_tools_are_told_how_to_send_a_key(tmp_path: Path) -> None:
    mount(tmp_path / API_KEYS_FOLDER, {"shop": KEY})
    page = await page_of(build_gate(Access.model_validate(KEYS), tmp_path))
    assert page["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    assert page["security"] == [{"bearer": []}, {"apiKey": []}]
    overridden = {
        path: one["security"] for path, all_ in page["paths"].items() for one in all_.values() if "security" in one
    }
    assert overridden == {path: [] for path in PUBLIC}


async def test_tools_are_told_whose_token_it_is(tmp_path: Path) -> None:
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    mount(tmp_path / JWKS_FOLDER, {"keys.json": str({"keys": [key]}).replace("'", '"')})
    jwt = {
        "issuer": "https://issuer",
        "audience": "iris",
        "jwks": {"secretRef": {"name": "k"}},
        "algorithms": ["EdDSA"],
    }
    page = await page_of(build_gate(Access.model_validate({"auth": {"jwt": jwt}}), tmp_path))
    (scheme,) = page["components"]["securitySchemes"].values()
    assert (scheme["scheme"], scheme["bearerFormat"]) == ("bearer", "JWT")
    assert scheme["description"] == "A token of https://issuer for iris."
    assert page["security"] == [{"bearer": []}]


async def test_nothing_is_said_where_nothing_is_asked() -> None:
    async with client_of(front_of(numeric_model())) as client:
        page = (await client.get("/openapi.json")).json()
    assert "security" not in page
    assert "securitySchemes" not in page.get("components", {})


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_the_page_is_for_callers(tmp_path: Path, path: str) -> None:
    mount(tmp_path / API_KEYS_FOLDER, {"shop": KEY})
    async with client_of(
        build_front(Models([core_of(numeric_model(), gate=build_gate(Access.model_validate(KEYS), tmp_path))]))
    ) as client:
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers={"authorization": f"Bearer {KEY}"})).status_code == 200


async def test_a_browser_asks_for_a_key_and_sends_it_with_what_is_tried_out(tmp_path: Path) -> None:
    mount(tmp_path / API_KEYS_FOLDER, {"shop": KEY})
    front = build_front(Models([core_of(numeric_model(), gate=build_gate(Access.model_validate(KEYS), tmp_path))]))
    rows = {"instances": [[1, 2]]}
    async with connected(front) as client:
        asked = await client.get("/docs")
        assert asked.status_code == 401
        assert asked.headers.get_list("www-authenticate") == [
            "Bearer",
            'Basic realm="an API key or token as the password"',
        ]
        assert (await client.get("/openapi.json")).headers.get_list("www-authenticate") == ["Bearer"]
        for sent, status in ((KEY, 200), (f"a:{KEY}", 401), ("wrong", 401), ("", 401)):
            assert (await client.get("/docs", auth=("anybody", sent))).status_code == status
            assert (await client.post("/v1/models/iris:predict", json=rows, auth=("", sent))).status_code == status
        for site, status in (("same-origin", 200), ("none", 200), ("same-site", 401), ("cross-site", 401)):
            answer = await client.post(
                "/v1/models/iris:predict", json=rows, auth=("", KEY), headers={"sec-fetch-site": site}
            )
            assert answer.status_code == status
        # Without TLS a browser says the origin alone, and that only of what may change something.
        own = f"http://{client.base_url.netloc.decode()}"
        for origin, status in ((own, 200), ("http://other", 401), ("null", 401)):
            answer = await client.post("/v1/models/iris:predict", json=rows, auth=("", KEY), headers={"origin": origin})
            assert answer.status_code == status
        told = {"origin": "http://other", "x-api-key": KEY}  # which no browser sends by itself
        assert (await client.post("/v1/models/iris:predict", json=rows, headers=told)).status_code == 200
        for wrong in ("Basic !", "Basic", "Basic YQ=", "Digest a"):
            assert (await client.get("/docs", headers={"authorization": wrong})).status_code == 401
