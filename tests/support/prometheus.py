"""A real Prometheus, by its Debian package, that scrapes what a test tells it to."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import yaml
from tests.support.e2e import eventually

_SCRAPE = "1s"


def program(name: str) -> str:
    """``prometheus`` or ``promtool``."""
    found = which(name)
    assert found is not None, f"{name} is not there; make setup installs it"
    return found


def promtool(*arguments: str | Path) -> str:
    """What Prometheus' own tool says.

    Raises:
        AssertionError: it refuses, for the reason that it gives.
    """
    done = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """Asks one; ``scrape`` may be called again at any time."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self._http = client
        self._folder = folder
        self._since = time.time()

    def scrape(self, job: str, targets: Mapping[str, Mapping[str, str]]) -> None:
        """Scrape these from now on: labels by ``host:port``."""
        found = [{"targets": [target], "labels": {"job": job, **labels}} for target, labels in targets.items()]
        place = self._folder / f"{job}.json"
        waiting = place.with_suffix(".waiting")
        waiting.write_text(json.dumps(found), encoding="utf-8")
        waiting.replace(place)

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._http.get("/-/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def series(self, query: str) -> list[Any]:
        """What a query gives, from when it began until now.

        Raises:
            httpx.HTTPError: it is no query.
        """
        span = {"query": query, "start": str(self._since), "end": str(time.time()), "step": "1"}
        answer = self._http.get("/api/v1/query_range", params=span).raise_for_status()
        found: list[Any] = answer.json()["data"]["result"]
        return found


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """One that runs until the context ends.

    Args:
        folder: an empty one, for what it keeps.
    """
    settings = {
        "global": {"scrape_interval": _SCRAPE, "scrape_timeout": _SCRAPE},
        "scrape_configs": [{"job_name": "any", "file_sd_configs": [{"files": [str(folder / "*.json")]}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [program("prometheus"), f"--config.file={folder / 'prometheus.yaml'}", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--storage.tsdb.path={folder / 'data'}"], stderr=log, stdout=log)
        try:
            with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=30) as client:
                started = Prometheus(client, folder)
                eventually(started.is_ready, what="Prometheus", seconds=60)
                yield started
        finally:
            process.terminate()
            process.wait()
