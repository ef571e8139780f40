"""``python -m tests.support.site [FOLDER]``: the documents of this repository as a site, in build/site.

Documents link to samples and sources, as one reads them in a repository. So what is given to the generator of sites is
a folder of its own: the documents, the files that they link to, and links that lead there.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SETTINGS = DOCS / "site" / "mkdocs.yml"
OUTSIDE = {name: ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
"""Documents that stand beside docs."""

SECTIONS: dict[str, tuple[str, ...]] = {
    "Start": ("README.md", "tutorial.md"),
    "How to": ("how-to/*.md",),
    "Guides": (
        "tables.md",
        "encoders.md",
        "shared-encoders.md",
        "search.md",
        "distributed.md",
        "compression.md",
        "reports.md",
        "elsewhere.md",
        "serving.md",
    ),
    "Running it": ("operations.md", "kubectl.md", "status.md", "runbook.md", "SECURITY.md"),
    "Reference": ("reference.md", "api-compatibility.md", "benchmarks.md", "CHANGELOG.md"),
    "Working on it": ("CONTRIBUTING.md", "development.md", "cases.md", "adding-*.md"),
    "Decisions": ("decisions/README.md", "decisions/0*.md"),
}
"""The navigation: files of docs or of ``OUTSIDE``, or patterns of them."""

_CODE_OR_LINK = re.compile(
    r"(?P<code>^```.*?^```$|(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))|\[(?P<text>[^\[\]]*)\]\((?P<link>[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
_CODE_OR_INDENTED = re.compile(r"(?P<code>^```.*?^```$)|^ {2,3}(?=\S)", re.MULTILINE | re.DOTALL)


class SiteError(Exception):
    """There is no site; the text is what the generator said."""


def navigation() -> list[dict[str, list[str]]]:
    """Sections and their pages, as the generator takes them."""
    return [{title: [page for one in names for page in _pages(one)]} for title, names in SECTIONS.items()]


def _pages(name: str) -> Iterator[str]:
    found = sorted(DOCS.glob(name)) or [OUTSIDE[name]]
    yield from (place(path) for path in found)


def place(target: Path) -> str:
    """Where a file of the repository stands in the site."""
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix()
    path = target.relative_to(ROOT).as_posix()
    return path if path in OUTSIDE else f"files/{path}"


def stage(folder: Path) -> None:
    """Write what the generator takes: pages, with their links moved, and the files that they link to."""
    for source in [*OUTSIDE.values(), *(DOCS / page for one in navigation() for page in _within_docs(one))]:
        _write(folder / place(source), moved(source))
        for target in _targets(source):
            if target.is_file() and target.suffix != ".md":
                copy = folder / place(target)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(target, copy)
            elif target.is_file() and place(target).startswith("files/"):
                _write(folder / f"{place(target)}.txt", target.read_text(encoding="utf-8"))  # no page of the site


def _within_docs(section: dict[str, list[str]]) -> Iterator[str]:
    (pages,) = section.values()
    yield from (page for page in pages if page not in OUTSIDE)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def moved(source: Path) -> str:
    """The text of a document with links of the site; a folder, which a site does not have, is its words alone.

    What is in an item of a list is indented by four blanks, since for Python-Markdown it is not with fewer.
    """

    def link_of(match: re.Match[str]) -> str:
        target = None if match["code"] else _target(source, match["link"])
        if target is None:
            return match[0]
        if target.is_dir():
            return match["text"]
        _, mark, anchor = match["link"].partition("#")
        where = place(target) + (".txt" if place(target).startswith("files/") and target.suffix == ".md" else "")
        return f"[{match['text']}]({os.path.relpath(where, Path(place(source)).parent)}{mark}{anchor})"

    text = _CODE_OR_LINK.sub(link_of, without_diagrams(source.read_text(encoding="utf-8")))
    return _CODE_OR_INDENTED.sub(lambda match: match["code"] or "    ", text)


def without_diagrams(text: str) -> str:
    """A document without its diagrams in Mermaid, which a browser draws with three megabytes of a script."""
    return re.sub(r"^```mermaid\n.*?^```\n", "", text, flags=re.MULTILINE | re.DOTALL)


def _targets(source: Path) -> Iterator[Path]:
    for match in _CODE_OR_LINK.finditer(source.read_text(encoding="utf-8")):
        if not match["code"] and (target := _target(source, match["link"])) is not None:
            yield target


def _target(source: Path, link: str) -> Path | None:
    """The file or folder of the repository that a link leads to; None if it leads elsewhere, or stays in the page."""
    path = link.partition("#")[0]
    if not path or re.match(r"[a-z]+:", link):
        return None
    return (source.parent / path).resolve()


def build(output: Path) -> None:
    """Make the site.

    Raises:
        SiteError: as of ``generate``.
    """
    with tempfile.TemporaryDirectory() as name:
        pages = Path(name) / "pages"
        stage(pages)
        generate(pages, navigation(), output)


def generate(pages: Path, nav: list[dict[str, list[str]]], output: Path) -> None:
    """Make a site of a folder of pages.

    Raises:
        SiteError: the generator refuses or warns.
    """
    settings = {"INHERIT": str(SETTINGS), "docs_dir": str(pages), "site_dir": str(output.resolve()), "nav": nav}
    config = pages.parent / "mkdocs.yml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    # Not --quiet, with which warnings are not counted by --strict. Its note about its successor is no warning of ours.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SiteError(done.stderr)


def main(arguments: list[str]) -> int:
    """Make the site, and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.site", description=__doc__)
    parser.add_argument("output", nargs="?", type=Path, default=ROOT / "build" / "site")
    output: Path = parser.parse_args(arguments).output
    try:
        build(output)
    except SiteError as error:
        sys.stderr.write(str(error))
        return 1
    sys.stdout.write(f"{output / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
