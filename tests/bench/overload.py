"""``make bench-overload``: a server that is asked three times what it can answer, beside itself at its limit.

Requests of 16 images to a CNN of a million parameters, so that the sender is not what runs out. At the limit each of
128 connections sends its next request when the last was answered, which fills the queue. Beyond it requests come at a
rate, whatever is answered; and then as fast as they are refused, as from clients that ask again at once. The sender
(h2load) shares the CPUs with the server.
"""

import argparse
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.record import at_least, at_most, figure, record
from tests.bench.serving_load import Request, image_requests
from tests.bench.serving_processes import free_port, model_server, resident_mebibytes
from tests.bench.untrained import write_cnn

TIMES: Final = 3
MANY, MORE = 128, 256
"""Connections at the limit, and beyond it: fewer than a server lets in."""
BEGINNING: Final = 1.0
"""Seconds that are not counted: connections are made, and costs are learned."""
GOODPUT: Final = 0.9
"""Least share of what is answered at the limit that is answered beyond it, and again after it."""
HASTY: Final = 0.6
"""The same where all ask again at once: the sender then takes as much of the CPUs as it gets."""
PATIENCE: Final = 1.5
"""How many times as long as at the limit what is answered may take."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was answered in some seconds: each second by status, and how long it took, milliseconds."""

    rate: float
    refused: float
    milliseconds: list[float]
    refusal_milliseconds: list[float]

    @property
    def p99(self) -> float:
        """Of what was answered."""
        return _p99(self.milliseconds)

    @property
    def refusal_p99(self) -> float:
        """Of what was refused."""
        return _p99(self.refusal_milliseconds)

    @property
    def refusal_median(self) -> float:
        """Of what was refused; 0 where nothing was."""
        return statistics.median(self.refusal_milliseconds or [0.0])


def _p99(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=100)[-1] if len(milliseconds) > 1 else 0.0


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="seconds of each measurement (default 10)")
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    if shutil.which("h2load") is None:
        sys.stderr.write("h2load is missing: install the package nghttp2-client (apt-get install nghttp2-client)\n")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        folder, port = Path(scratch), free_port()
        write_cnn(folder / "digits")
        _, request = image_requests("digits", rows=16)
        with model_server(folder / "digits", port=port) as (pid, _):
            send = Sender(request, port, folder, seconds=arguments.seconds)
            send(MANY)
            before, calm = send(MANY), resident_mebibytes(pid)
            beyond, busy = send(MORE, rate=TIMES * before.rate), resident_mebibytes(pid)
            hasty = send(MORE)
            after = send(MANY)
    figures = [
        figure("at the limit: answered", before.rate, "requests/s"),
        figure("at the limit: p99", before.p99, "ms"),
        figure("beyond it: sent", beyond.rate + beyond.refused, "requests/s"),
        figure("beyond it: answered", beyond.rate, "requests/s"),
        figure("beyond it: refused (429, 503)", beyond.refused, "requests/s"),
        at_least("beyond it: answered, by what is answered at the limit", beyond.rate / before.rate, "ratio", GOODPUT),
        figure("beyond it: p99 of what is answered", beyond.p99, "ms"),
        at_most("beyond it: p99 of what is answered, by that at the limit", beyond.p99 / before.p99, "ratio", PATIENCE),
        figure("beyond it: median of a refusal", beyond.refusal_median, "ms"),
        figure("beyond it: p99 of a refusal", beyond.refusal_p99, "ms"),
        figure("beyond it: memory more than at the limit", busy - calm, "MiB"),
        figure("all ask again at once: refused", hasty.refused, "requests/s"),
        at_least("all ask again at once: answered, by that at the limit", hasty.rate / before.rate, "ratio", HASTY),
        at_least("after it: answered, by what was before", after.rate / before.rate, "ratio", GOODPUT),
    ]
    caption = f"one process, one engine thread, 16 images a request, {arguments.seconds} s each, h2load beside it"
    return record("overload", figures, caption=caption, readme=arguments.readme)


class Sender:
    """Sends a request again and again, for some seconds."""

    def __init__(self, request: Request, port: int, folder: Path, *, seconds: int) -> None:
        self._body, self._log, self._seconds = folder / "body", folder / "log", seconds
        self._body.write_bytes(request.body)
        self._headers = request.header_arguments
        self._address = f"http://127.0.0.1:{port}{request.path}"

    def __call__(self, connections: int, *, rate: float | None = None) -> Answers:
        """On so many connections; ``rate``: so many a second in all, whatever is answered."""
        self._log.unlink(missing_ok=True)
        load = [f"-D{self._seconds}"] if rate is None else self._at_rate(connections, rate)
        command = ["h2load", "--h1", "-t1", "-m1", f"-c{connections}", f"-d{self._body}", f"--log-file={self._log}"]
        subprocess.run(
            [*command, *load, *self._headers, self._address],
            capture_output=True,
            check=True,
            timeout=self._seconds + 60,
        )
        lines = [tuple(map(int, line.split())) for line in self._log.read_text().splitlines()]
        return _answers(lines, seconds=self._seconds)

    def _at_rate(self, connections: int, rate: float) -> list[str]:
        """So many a second, spread over it: connections that are made at once would send at once for ever after."""
        each = math.ceil(rate / connections)
        period = max(1, round(BEGINNING * 1000 / connections))
        return [f"-n{each * connections * self._seconds}", f"--rps={each}", "-r1", f"--rate-period={period}ms"]


def _answers(lines: list[tuple[int, ...]], *, seconds: float) -> Answers:
    """Of when each began, its status, and how long it took, microseconds: after the beginning, while all send."""
    first = min(line[0] for line in lines)
    counted = [line for line in lines if BEGINNING <= (line[0] - first) / 1e6 < seconds]
    if wrong := {status for _, status, _ in counted} - {200, 429, 503}:
        raise RuntimeError(f"answered with {wrong}, which is neither an answer nor a refusal")
    taken = [length / 1e3 for _, status, length in counted if status == 200]
    refused = [length / 1e3 for _, status, length in counted if status != 200]
    return Answers(
        rate=len(taken) / (seconds - BEGINNING),
        refused=len(refused) / (seconds - BEGINNING),
        milliseconds=taken,
        refusal_milliseconds=refused,
    )


if __name__ == "__main__":
    sys.exit(main())
