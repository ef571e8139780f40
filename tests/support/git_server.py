"""A Git repository that is served over HTTP by Git's own backend, on the loopback."""

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.object_server import Handler

BRANCH = "main"
_AUTHOR = {
    "GIT_AUTHOR_NAME": "team-a",
    "GIT_AUTHOR_EMAIL": "team-a@example.com",
    "GIT_COMMITTER_NAME": "team-a",
    "GIT_COMMITTER_EMAIL": "team-a@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Repository:
    """What a team commits to.

    Attributes:
        files: the work tree.
        url: where it is cloned from.
    """

    def __init__(self, root: Path, name: str, address: str) -> None:
        self.files, bare = root / name, root / f"{name}.git"
        self.url = f"{address}/{bare.name}"
        self.files.mkdir()
        self._git("init", "--quiet", f"--initial-branch={BRANCH}", f"--separate-git-dir={bare}")

    def commit(self, message: str, files: Mapping[str, str | None]) -> str:
        """Write files, or (None) delete them, and commit; answers with the commit's id."""
        for name, text in files.items():
            path = self.files / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", f"--message={message}")
        return self.head()

    def revert(self) -> str:
        """Take back the last commit by another one; answers with its id."""
        self._git("revert", "--no-edit", "HEAD")
        return self.head()

    def head(self) -> str:
        """The id of the last commit."""
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *args: str) -> str:
        command, environment = ["git", "-C", str(self.files), *args], {**os.environ, **_AUTHOR}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
        return done.stdout


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Backend)
        self.root = root


class _Backend(Handler):
    """Hands a request to ``git http-backend`` by CGI."""

    server: _Server

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        self._ask(b"")

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        if (length := self.headers.get("Content-Length")) is None:
            self.answer(HTTPStatus.LENGTH_REQUIRED, b"")
            return
        self._ask(self.rfile.read(int(length)))

    def _ask(self, body: bytes) -> None:
        url = urlsplit(self.path)
        variables = {
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        environment = {**os.environ, **variables}
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(headers.pop("Status", "200").split()[0])
        self.answer(status, content, headers)


@contextmanager
def git_server(root: Path) -> Iterator[str]:
    """Serve the repositories of a folder, and answer with the address.

    Raises:
        AssertionError: this machine has no Git.
    """
    assert shutil.which("git"), "git is not there; apt-get install git"
    with _Server(root) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
