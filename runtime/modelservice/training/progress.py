"""Showing how far a training is: a bar on a terminal, JSON lines in a log, and a page that the operator polls."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from modelservice.contract.places import METRICS_ROUTE, PROGRESS_ROUTE
from modelservice.contract.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

_POLL_SECONDS = 0.1
"""How soon the page notices that the training is over."""

Listener = Callable[[Progress], None]
Clock = Callable[[], float]
"""Monotonic seconds."""


def announce(listeners: Sequence[Listener], clock: Clock) -> Listener:
    """An observer of a fit that tells listeners about the progress, with an estimate of the seconds left."""
    # Measured from the first report (the end of the first epoch), since what comes before pays for preparations.
    first: tuple[str, float, int] | None = None

    def observe(progress: Progress) -> None:
        nonlocal first
        if first is None or first[0] != progress.stage:
            first = (progress.stage, clock(), progress.done)
        _, begun, already = first
        if progress.done > already:
            pace = (clock() - begun) / (progress.done - already)
            eta = round(pace * (progress.total - progress.done), 1)
            progress = progress.model_copy(update={"eta_seconds": eta})
        for listener in listeners:
            listener(progress)

    return observe


def parts_of(observe: Listener, weights: Sequence[int]) -> list[Listener]:
    """Observers of fits that follow each other, which together are one progress.

    Args:
        observe: is told of it.
        weights: of each fit: what it takes of the whole, in epochs or another unit of all.
    """
    if len(weights) == 1:  # it says itself what it is in, and may do so more finely
        return [observe]
    total = sum(weights)

    def part(before: int, weight: int) -> Listener:
        def told(progress: Progress) -> None:
            done = before + weight * progress.done // max(progress.total, 1)
            observe(progress.model_copy(update={"done": done, "total": total}))

        return told

    return [part(before, weight) for before, weight in zip(accumulate(weights, initial=0), weights, strict=False)]


class JsonLines:
    """A log of one JSON object in each line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._percent = -1

    def write(self, event: str, **fields: Any) -> None:
        """Write one event."""
        self.stream.write(json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n")
        self.stream.flush()

    def __call__(self, progress: Progress) -> None:
        """Write the progress once for each tenth of the steps."""
        step = progress.percent // 10
        if step != self._percent:
            self._percent = step
            self.write("progress", **progress.model_dump(mode="json", exclude_none=True))


@contextmanager
def bar(console: "Console") -> Iterator[Listener]:
    """A progress bar while inside."""
    # A log needs none of it.
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as RichProgress  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(Progress().stage, total=None, figures="")

        def show(progress: Progress) -> None:
            shown.update(
                task,
                description=progress.stage,
                completed=progress.done,
                total=progress.total,
                figures=figures(progress),
            )

        yield show


class Shown(NamedTuple):
    """A bar, and what says a sentence above it."""

    bar: Listener
    say: Callable[[str], None]


@contextmanager
def bar_for_people(stream: TextIO) -> Iterator[Shown | None]:
    """A bar on a terminal while inside; None where the stream is none, and nobody looks."""
    if not stream.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - takes 0.1 s

    console = Console(file=stream)
    with bar(console) as shown:
        yield Shown(shown, partial(console.print, markup=False, highlight=False))


def figures(progress: Progress) -> str:
    """The last loss and metric, in words."""
    loss = () if progress.loss is None else (f"loss {progress.loss:.4f}",)
    metric = () if progress.metric is None else (f"{progress.metric.name} {progress.metric.value:.3f}",)
    return "  ".join(loss + metric)


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is nobody's fault: no traceback in the log of a training."""


class ProgressPage:
    """The newest progress as JSON on ``GET /progress``, and for Prometheus on ``GET /metrics``.

    A small server in a thread of its own.
    """

    def __init__(self, *, host: str, port: int) -> None:
        self._progress = Progress()
        page = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 2  # seconds that a client may be silent

            def do_GET(self) -> None:
                if self.path == PROGRESS_ROUTE:
                    kind, body = "application/json", page._progress.model_dump_json().encode()
                elif self.path == METRICS_ROUTE:
                    from modelservice.training import progress_metrics  # noqa: PLC0415 - only where somebody scrapes

                    kind, body = progress_metrics.CONTENT_TYPE, progress_metrics.exposition(page._progress)
                else:
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Polls are not worth a line in the log."""

        # A thread for each client: one that drips its request, byte by byte, keeps neither the next one out nor
        # `close` waiting, and with it the training from its end.
        self._server = _QuietServer((host, port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True, name="progress"
        )
        self._thread.start()

    def __call__(self, progress: Progress) -> None:
        """Show another progress from now on."""
        self._progress = progress

    def close(self) -> None:
        """Stop answering and release the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
