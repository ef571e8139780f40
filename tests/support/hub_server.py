"""A small hub of models on the loopback, which speaks the language of the library ``huggingface_hub``."""

import http.server
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import pytest
from tests.support.object_server import Handler, running

COMMIT, LATER = "0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98"


class HubServer(http.server.ThreadingHTTPServer):
    """Holds the files of models by ``organisation/name``.

    Attributes:
        models: files by name.
        branches: what revisions stand for; commits stand for themselves.
        token: without which nothing is given, None where anybody may read.
        stored_apart: files that are given by another path, to which the hub leads on.
        store: where that is, such as another host; nothing is this server.
        cut: whether contents of the store end before they should.
        failures: statuses of the next answers, one for each request.
        asked: paths of all requests.
        tokens: what each request said of who asks.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[str, dict[str, bytes]] = {}
        self.branches = {"main": COMMIT, COMMIT: COMMIT}
        self.token: str | None = None
        self.stored_apart = {"model.safetensors"}
        self.store = ""
        self.cut = False
        self.failures: list[int] = []
        self.asked: list[str] = []
        self.tokens: list[str | None] = []

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(Handler):
    server: HubServer

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        server, path = self.server, unquote(urlsplit(self.path).path).lstrip("/")
        server.asked.append(path)
        server.tokens.append(self.headers.get("Authorization"))
        if server.failures:
            self.answer(server.failures.pop(0), b"")
            return
        if path.startswith("store/"):
            _, organisation, name, file = path.split("/", 3)
            content = server.models[f"{organisation}/{name}"][file]
            if server.cut:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) + 1))
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = True
            else:
                self.answer(200, content)
            return
        organisation, name, _, revision, file = path.split("/", 4)
        model = server.models.get(f"{organisation}/{name}")
        if server.token is not None and self.headers.get("Authorization") != f"Bearer {server.token}":
            self._say(401, "GatedRepo" if model is not None else "RepoNotFound")
        elif model is None:
            self._say(404, "RepoNotFound")
        elif revision not in server.branches:
            self._say(404, "RevisionNotFound")
        elif file not in model:
            self._say(404, "EntryNotFound")
        else:
            said = {"X-Repo-Commit": server.branches[revision]}
            if file in server.stored_apart:
                self.answer(302, b"", {**said, "Location": f"{server.store}/store/{organisation}/{name}/{file}"})
            else:
                self.answer(200, model[file], said)

    def _say(self, status: int, code: str) -> None:
        self.answer(status, b"", {"X-Error-Code": code, "X-Error-Message": "no"})


@contextmanager
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """One that runs, and that the environment names."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server = HubServer()
    with running(server, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server
