"""``make bench-page``: how soon the page of a model is there, and how soon it answers what is typed, in Chromium.

The server and the browser are of this machine, and nothing is between them; the browser is warm, the page is not kept.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser
from tests.bench.record import Figure, at_most, figure, record
from tests.support.browser import chromium
from tests.support.helm import ROOT
from tests.support.pages import WIDTH, served, wide_table

ROUNDS = 15
MOST_BYTES = 150_000
MOST_PAINT = 300.0
MOST_ANSWER = 500.0
"""Milliseconds; 150 of them the page waits for the next key."""
_PAINT = """new Promise((done) => new PerformanceObserver((seen) => {
  const found = seen.getEntriesByName("first-contentful-paint");
  if (found.length) done(found[0].startTime);
}).observe({ type: "paint", buffered: true }))"""
_ANSWER = """([field, cell]) => new Promise((done) => {
  const input = document.querySelector(field), begun = performance.now();
  new MutationObserver((seen, observer) => {
    observer.disconnect();
    done(performance.now() - begun);
  }).observe(document.getElementById("answer"), { childList: true });
  input.value = cell;
  input.dispatchEvent(new Event("input", { bubbles: true }));
})"""


def main() -> int:
    """Measure both pages."""
    parser = argparse.ArgumentParser(prog="tests.bench.page", description=__doc__)
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    iris = ROOT / "tests" / "data" / "iris.csv"
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="modelservice-bench-") as scratch, chromium() as browser:
        folder = Path(scratch)
        with served("iris", folder, iris, "species", {"mlp": {"hiddenLayers": [32]}}) as address:
            figures += measured(browser, address, "iris", ("1.4", "4.3"))
        with served("wide", folder, wide_table(), "target", {"decisionTree": {}}) as address:
            figures += measured(browser, address, f"{WIDTH} columns", ("0", "1"))
    caption = f"pages on loopback in Chromium, medians of {ROUNDS}; what is typed is asked 150 ms after the last key"
    return record("page", figures, caption=caption, readme=arguments.readme)


def measured(browser: Browser, address: str, name: str, cells: tuple[str, str]) -> Iterator[Figure]:
    """Figures of one page; ``cells`` are typed in turns."""
    paints, answers, size = [], [], 0
    for at in range(ROUNDS + 1):
        with browser.new_context() as context:
            page = context.new_page()
            loaded = page.goto(address)
            assert loaded is not None
            size = len(loaded.body())
            paints.append(float(page.evaluate(_PAINT)))
            page.locator("#answer .value").wait_for()
            answers.append(float(page.evaluate(_ANSWER, ["#in-0", cells[at % 2]])))
    yield at_most(f"{name}: page", size, "bytes", MOST_BYTES)
    yield at_most(f"{name}: first paint", statistics.median(paints[1:]), "ms", MOST_PAINT)
    # The server makes its first page, and the browser begins.
    yield figure(f"{name}: first paint of the first visitor", paints[0], "ms")
    yield at_most(f"{name}: last key to answer", statistics.median(answers), "ms", MOST_ANSWER)


if __name__ == "__main__":
    sys.exit(main())
