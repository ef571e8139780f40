"""What the OpenAPI page says of who may call: tools then ask for a key or a token, and send it."""

from typing import Any, Final

from fastapi import FastAPI

from modelservice.contract.access import Auth
from modelservice.serving.callers import PUBLIC
from modelservice.serving.protocols.base import Schema

_BEARER: Final = "bearer"
_API_KEY: Final = "apiKey"


def describe_security(app: FastAPI, auth: Auth) -> None:
    """Put security schemes on the page, and that all operations but those of probes ask for one of them."""
    schemes = _schemes(auth)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        page = plain()
        page.setdefault("components", {})["securitySchemes"] = schemes
        page["security"] = [{name: []} for name in schemes]
        for path in PUBLIC & page["paths"].keys():
            for operation in page["paths"][path].values():
                operation["security"] = []
        return page

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI's documentation has it


def _schemes(auth: Auth) -> dict[str, Schema]:
    bearer: Schema = {"type": "http", "scheme": "bearer"}
    if auth.jwt is not None:
        said = f"A token of {auth.jwt.issuer} for {auth.jwt.audience}."
        return {_BEARER: {**bearer, "bearerFormat": "JWT", "description": said}}
    return {_BEARER: bearer, _API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
