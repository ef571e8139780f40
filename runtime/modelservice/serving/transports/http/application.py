"""The FastAPI application: metadata, health, metrics and documentation; it declares the inference routes too."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.core import Core, Models
from modelservice.serving.errors import RequestError, UnknownModelError
from modelservice.serving.model import ServedModel, illustrate
from modelservice.serving.protocols.base import (
    Command,
    Download,
    InferenceProtocol,
    Operation,
    Page,
    Query,
    Rest,
    Schema,
)
from modelservice.serving.results import Results
from modelservice.serving.transports.http.downloads import DownloadResponse
from modelservice.serving.transports.http.errors import error_answer, to_answer
from modelservice.serving.transports.http.front import ARRIVAL
from modelservice.serving.transports.http.inference import answer_command, answer_operation, answer_query
from modelservice.serving.transports.http.security import describe_security

Endpoint = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[Core, tuple[Rest, ...]]]
"""Each model, and what protocols have for it over HTTP."""

_ENDPOINTS = "modelservice.endpoints"
"""Key of the scope with the endpoints of the application that answers."""
_SHOWN_LABELS = 50
_MODEL = "model"
"""Of a query: whose page it is."""
_ASKED = re.compile(
    r"/v(?:[12]|2/repository)/models/(?P<name>[^/:]*)(?:/versions/(?P<version>[^/:]*)|/labels/(?P<label>[^/:]*))?"
)
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, and where."}},
}


class Application:
    """FastAPI's application, and beside it the endpoints, which know the model.

    FastAPI remembers what it is given as endpoints for longer than their application is there. So it is given functions
    that find theirs in the scope, or a model would stay in memory after another one took its place.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._endpoints: list[Endpoint] = []
        self._routes: set[tuple[str, str]] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request, as ASGI has it."""
        scope[_ENDPOINTS] = self._endpoints
        await self.app(scope, receive, send)

    def add(self, path: str, answer: Endpoint, *, method: str = "GET", **more: Any) -> None:
        """Add a route, unless there is one of this path and method; see ``FastAPI.add_api_route`` for more."""
        if (method, path) in self._routes:
            return
        self._routes.add((method, path))
        place = len(self._endpoints)
        self._endpoints.append(answer)

        async def endpoint(request: Request) -> Response:
            endpoints: list[Endpoint] = request.scope[_ENDPOINTS]
            return await endpoints[place](request)

        self.app.add_api_route(path, endpoint, methods=[method], **more)


def routes_of(models: Models, protocols: tuple[InferenceProtocol, ...]) -> Routes:
    """What protocols that are spoken over HTTP have for each model."""
    return [(core, tuple(rest for one in protocols if (rest := one.rest(core.spoken)))) for core in models]


def build_application(models: Models, routes: Routes) -> Application:
    """Build the application around models.

    The examples on ``/docs`` are answered by the models here: an example that does not run stops the start.
    """
    rests = [rest for _, of_model in routes for rest in of_model]
    documented = [operation for rest in rests for operation in rest.operations if operation.documentation]
    offline = FastAPIOffline(  # the scripts of /docs come from this server: it works where the internet is out of reach
        **_title(models),
        redoc_url=None,
        exception_handlers={
            HTTPException: _say(models.state().versions, [operation.path for operation in documented]),
            Exception: _translate,
        },
    )
    app = Application(offline)
    for core, of_model in routes:
        for rest in of_model:
            for operation in rest.operations:
                _add_operation(app, core, operation)
    for rest in rests:
        for page in rest.pages:
            _add_page(app, models, page, tag="model")
        for query in rest.queries:
            _add_query(app, models, query)
        for command in rest.commands:
            _add_command(app, models, command)
        for download in rest.downloads:
            _add_download(app, download)
    pages = [page.path for rest in rests for page in rest.pages if page.summary]
    _add_front_page(app, models, documented, list(dict.fromkeys(pages)))
    _add_page(
        app,
        models,
        Page("/metrics", "Metrics in the Prometheus text format", lambda _: models.common.exposition.render()),
        tag="server",
    )
    if models.common.gate.auth is not None:
        describe_security(offline, models.common.gate.auth)
    return app


def _title(models: Models) -> dict[str, str]:
    """Arguments of FastAPI."""
    told = []
    for core in models:
        labels = core.model.signature.labels
        classes = f" Classes: {', '.join(labels[:_SHOWN_LABELS])}." if labels else ""
        told.append(f"Model {core.name}, artifact {core.model.digest}.{classes}")
    if len(told) > 1:
        return {"title": ", ".join(models.names), "description": "\n\n".join(told)}
    name, target = models.first.name, models.first.model.signature.target
    title = f"{name}: predicts {target}" if target else name
    return {"title": title, "description": told[0], "version": models.first.version}


def to_response(answer: Answer) -> Response:
    """Wrap an answer."""
    response = Response(content=answer.body, status_code=answer.status)
    response.raw_headers = answer.all_headers()
    return response


def _add_operation(app: Application, core: Core, operation: Operation) -> None:
    async def endpoint(request: Request) -> Response:
        return to_response(await answer_operation(core, operation, request.scope[ARRIVAL], request.receive))

    app.add(
        operation.path,
        endpoint,
        method="POST",
        include_in_schema=operation.documentation is not None,
        **_documentation(core.model, operation),
    )


def _documentation(model: ServedModel, operation: Operation) -> dict[str, Any]:
    """Arguments of ``Application.add``, with what the model says to the example."""
    documentation = operation.documentation
    if documentation is None:
        return {"response_class": Response}
    call = operation.parse(orjson.dumps(documentation.example), None)
    answered = orjson.loads(call.render(Results.of(illustrate(model, call.rows))).body)
    uploads = {media_type: {"schema": schema} for media_type, schema in documentation.uploads.items()}
    body = {
        "content": {"application/json": {"schema": documentation.request, "example": documentation.example}, **uploads},
        "required": True,
    }
    good = {"application/json": {"schema": documentation.response, "example": answered}}
    return {
        "summary": documentation.summary,
        "tags": ["inference"],
        "response_class": Response,
        "openapi_extra": {"requestBody": body},
        "responses": {
            200: {"description": "The model's answer.", "content": good},
            400: _error("The request is wrong; error says what and where."),
            401: _error("Nobody knows who calls; only where keys or tokens are asked for."),
            403: _error("Who calls is known, and may not."),
            413: _error("The body or the number of rows is beyond a limit."),
            415: _error("The Content-Encoding is not supported."),
            429: _error("The queue is full, or the caller asks too often; Retry-After says when to come back."),
            431: _error("The headers are beyond a limit."),
            503: _error("The server is shutting down."),
        },
    }


def _add_front_page(app: Application, models: Models, documented: list[Operation], pages: list[str]) -> None:
    links = {
        "status": "alive",  # what KServe's client of v1 looks for
        "model": models.first.name,
        "models": models.names,
        "inference": [operation.path for operation in documented],
        "pages": [*pages, "/metrics", "/docs", "/openapi.json"],
    }
    answer = json_answer(links)
    answer = answer._replace(headers=(*answer.headers, (b"vary", b"accept")))

    async def endpoint(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return to_response(answer)
        from modelservice.serving.page.render import render_page  # noqa: PLC0415 - only for who looks at it

        asked = request.query_params.get(_MODEL, "")
        if asked and asked not in models.names:
            return to_response(to_answer(UnknownModelError.of_name(asked, names=models.names)))
        return to_response(await asyncio.to_thread(render_page, models[asked], models.names))

    content: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}, "text/html": {}}
    app.add(
        "/",
        endpoint,
        summary="The model's page for browsers; for all others where to go from here",
        tags=["server"],
        response_class=Response,
        responses={200: {"description": "By the Accept header.", "content": content}},
    )


def _add_page(app: Application, models: Models, page: Page, *, tag: str) -> None:
    async def endpoint(_request: Request) -> Response:
        return to_response(page.read(models.state()))

    app.add(
        page.path,
        endpoint,
        summary=page.summary,
        tags=[tag],
        response_class=Response,
        include_in_schema=bool(page.summary),
    )


def _add_query(app: Application, models: Models, query: Query) -> None:
    async def endpoint(request: Request) -> Response:
        return to_response(await answer_query(models, query, request.receive))

    app.add(query.path, endpoint, method="POST", summary=query.summary, tags=["model"], response_class=Response)


def _add_command(app: Application, models: Models, command: Command) -> None:
    async def endpoint(request: Request) -> Response:
        return to_response(await answer_command(models, command, request.receive))

    app.add(command.path, endpoint, method="POST", summary=command.summary, tags=["model"], response_class=Response)


def _add_download(app: Application, download: Download) -> None:
    async def endpoint(request: Request) -> Response:
        return DownloadResponse(download, request)

    content: dict[str, Any] = {download.media_type: {"schema": {"type": "string", "format": "binary"}}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "Its ETag is the digest.", "content": content},
        304: {"description": "If-None-Match names the digest."},
    }
    app.add(
        download.path,
        endpoint,
        summary=download.summary,
        tags=["model"],
        response_class=Response,
        responses=responses,
    )


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ERROR}}}


def _say(versions: Mapping[str, str], operations: list[str]) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    async def say(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        headers = [(key.lower().encode(), value.encode()) for key, value in (error.headers or {}).items()]
        if error.status_code == 405:  # noqa: PLR2004
            allowed = (error.headers or {}).get("Allow", "another method")
            said = RequestError(f"{request.method} is not possible on {path[:200]}; expected {allowed}")
        elif error.status_code == 404:  # noqa: PLR2004
            said = _not_found(path, versions, operations)
        else:
            said = RequestError(str(error.detail))
        return to_response(error_answer(error.status_code, said, *headers))

    return say


def _not_found(path: str, versions: Mapping[str, str], operations: list[str]) -> RequestError:
    asked = _ASKED.match(path)
    if asked is not None:
        name = asked["name"]
        version = versions.get(name)
        if version is None:
            return UnknownModelError.of_name(name, names=versions)
        if asked["version"] not in {None, version}:
            return UnknownModelError.of_version(asked["version"], name=name, version=version)
        if asked["label"] is not None:
            return UnknownModelError.of_label(asked["label"], name=name, version=version)
    return RequestError(f"nothing at {path[:200]}; see /docs, {' or '.join(f'POST {known}' for known in operations)}")


async def _translate(_request: Request, error: Exception) -> Response:
    return to_response(to_answer(error))
