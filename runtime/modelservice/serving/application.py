"""The FastAPI application: metadata, health, metrics and documentation; it declares the inference routes too."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from modelservice import __version__
from modelservice.serving import schemas
from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.errors import error_answer, to_answer
from modelservice.serving.inference import Inference, Parse
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.metrics import Metrics
from modelservice.serving.model import ServedModel, version_of

Endpoint = Callable[[Request], Awaitable[Response]]


def build_application(
    *, model: ServedModel, name: str, inference: Inference, lifecycle: Lifecycle, metrics: Metrics
) -> FastAPI:
    """Build the application around one model.

    The examples on ``/docs`` are answered by the model here: an example that does not run stops the start.
    """
    app = FastAPIOffline(  # the scripts of /docs come from this server: it works where the internet is out of reach
        title=f"{name}: predicts {model.signature.target}",
        description=f"Model {name}, artifact {model.digest}. Classes: {', '.join(model.signature.labels[:50])}.",
        version=version_of(model),
        redoc_url=None,
        exception_handlers={HTTPException: _explain(name), Exception: _translate},
    )
    _add_inference(app, model, inference)
    _add_metadata(app, model, name, inference, lifecycle)
    _add_general(app, name, metrics)
    return app


def to_response(answer: Answer) -> Response:
    """Wrap an answer, headers unchanged."""
    response = Response(content=answer.body, status_code=answer.status)
    response.raw_headers = answer.headers
    return response


def _add_inference(app: FastAPI, model: ServedModel, inference: Inference) -> None:
    signature = model.signature
    v1 = _Documented(
        summary="Predict, as TensorFlow Serving and KServe v1 speak it",
        request=schemas.v1_request(signature),
        example=schemas.v1_example(signature),
        response=schemas.v1_response(signature),
    )
    v2 = _Documented(
        summary="Infer, by the Open Inference Protocol v2",
        request=schemas.v2_request(signature),
        example=schemas.v2_example(signature),
        response=schemas.v2_response(signature),
    )
    for path, (parse, template) in inference.routes.items():
        documented = v1 if template.endswith(":predict") else v2
        app.add_api_route(
            path,
            _inference_endpoint(inference, parse),
            methods=["POST"],
            include_in_schema="{version}" not in template,
            **documented.arguments(answered=_answer_example(model, parse, documented.example)),
        )


class _Documented:
    """The OpenAPI side of an inference route."""

    def __init__(
        self, *, summary: str, request: schemas.Schema, example: dict[str, Any], response: schemas.Schema
    ) -> None:
        self.example = example
        self._summary = summary
        self._request = request
        self._response = response

    def arguments(self, *, answered: Any) -> dict[str, Any]:
        """Arguments of ``add_api_route``; ``answered`` is what the model says to the example."""
        body = {"content": {"application/json": {"schema": self._request, "example": self.example}}, "required": True}
        good = {"application/json": {"schema": self._response, "example": answered}}
        return {
            "summary": self._summary,
            "tags": ["inference"],
            "response_class": Response,
            "openapi_extra": {"requestBody": body},
            "responses": {
                200: {"description": "The model's answer.", "content": good},
                400: _error("The request is wrong; error says what and where."),
                413: _error("The body or the number of rows is beyond a limit."),
                415: _error("The Content-Encoding is not supported."),
                429: _error("The queue is full; Retry-After says when to come back."),
                503: _error("The server is shutting down."),
            },
        }


def _add_metadata(app: FastAPI, model: ServedModel, name: str, inference: Inference, lifecycle: Lifecycle) -> None:
    version = version_of(model)
    ready_model = {"name": name, "ready": True}
    v1_status = {
        **ready_model,
        "model_version_status": [
            {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ],
    }
    server = {"name": "modelservice", "version": __version__, "extensions": ["binary_tensor_data"]}

    def ready(payload: dict[str, Any]) -> Callable[[], Answer]:
        def state() -> Answer:
            if lifecycle.draining:
                return json_answer({**payload, "ready": False})._replace(status=503)
            return json_answer(payload)

        return state

    routes: dict[str, tuple[str, Callable[[], Answer]]] = {
        "/v2": ("Server metadata", lambda: json_answer(server)),
        "/v2/health/live": ("Whether the server lives", lambda: json_answer({"live": True})),
        "/v2/health/ready": ("Whether the server takes requests", ready({"ready": True})),
        f"/v2/models/{name}": ("Model metadata", lambda: json_answer(inference.metadata)),
        f"/v2/models/{name}/ready": ("Whether the model takes requests", ready(ready_model)),
        f"/v2/models/{name}/versions/{version}": ("", lambda: json_answer(inference.metadata)),
        f"/v2/models/{name}/versions/{version}/ready": ("", ready(ready_model)),
        "/v1/models": ("Names of the models", lambda: json_answer({"models": [name]})),
        f"/v1/models/{name}": ("Model status, with the keys of TensorFlow Serving and of KServe", ready(v1_status)),
    }
    for path, (summary, answer) in routes.items():
        _add_get(app, path, answer, summary=summary, tag="model")


def _add_general(app: FastAPI, name: str, metrics: Metrics) -> None:
    links = {
        "model": name,
        "predict": f"/v1/models/{name}:predict",
        "infer": f"/v2/models/{name}/infer",
        "metadata": f"/v2/models/{name}",
        "ready": "/v2/health/ready",
        "metrics": "/metrics",
        "docs": "/docs",
        "openapi": "/openapi.json",
    }
    _add_get(app, "/", lambda: json_answer(links), summary="Where to go from here", tag="server")
    _add_get(app, "/metrics", metrics.render, summary="Metrics in the Prometheus text format", tag="server")


def _add_get(app: FastAPI, path: str, answer: Callable[[], Answer], *, summary: str, tag: str) -> None:
    async def endpoint() -> Response:
        return to_response(answer())

    app.add_api_route(
        path, endpoint, summary=summary, tags=[tag], response_class=Response, include_in_schema=bool(summary)
    )


def _inference_endpoint(inference: Inference, parse: Parse) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        answer = await inference.answer(parse, request.scope["headers"], request.receive)
        return Response() if answer is None else to_response(answer)

    return endpoint


def _answer_example(model: ServedModel, parse: Parse, example: dict[str, Any]) -> Any:
    call = parse(orjson.dumps(example), None)
    return orjson.loads(call.render(model.probabilities(model.encode_rows(call.rows))).body)


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schemas.ERROR}}}


def _explain(name: str) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    async def explain(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        headers = [(key.lower().encode(), value.encode()) for key, value in (error.headers or {}).items()]
        if error.status_code == 405:  # noqa: PLR2004
            allowed = (error.headers or {}).get("Allow", "another method")
            message = f"{request.method} is not possible on {path[:200]}; expected {allowed}"
        elif error.status_code == 404:  # noqa: PLR2004
            message = _not_found(path, name)
        else:
            message = str(error.detail)
        return to_response(error_answer(error.status_code, message, *headers))

    return explain


def _not_found(path: str, name: str) -> str:
    parts = path.split("/")
    if path.startswith(("/v1/models/", "/v2/models/")) and (asked := parts[3].partition(":")[0]) != name:
        return f"no model named {asked[:64]!r} here; this server serves {name!r}"
    return f"nothing at {path[:200]}; see /docs, POST /v1/models/{name}:predict or POST /v2/models/{name}/infer"


async def _translate(_request: Request, error: Exception) -> Response:
    return to_response(to_answer(error))
