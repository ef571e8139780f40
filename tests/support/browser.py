"""A real Chromium, by its Debian package: it looks at pages of this machine and asks nobody else."""

from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

from playwright.sync_api import Browser, expect, sync_playwright

_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",  # which a container's root cannot have
)

PATIENCE_MILLISECONDS = 60_000
"""For what a page comes to: playwright's own five seconds are short for a page of hundreds of fields on busy CPUs."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser until the context ends."""
    program = which("chromium")
    assert program is not None, "chromium is not there; make setup installs it"
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()
