"""The site of the documents: every page is in it, as a repository shows it, and nothing comes from elsewhere."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tests.support import site
from tests.support.helm import ROOT

PAGES = [page for section in site.navigation() for pages in section.values() for page in pages]
BLOCKS = {"h1", "h2", "h3", "h4", "table", "tr", "ul", "ol", "li", "pre", "img"}
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    site.build(folder)
    return folder


class _Parsed(HTMLParser):
    """Counts the blocks of a page's article, and lists what a browser would load for the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.blocks: Counter[str] = Counter()
        self.loaded: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside |= tag == "article"
        if self._inside and tag in BLOCKS:
            self.blocks[tag] += 1
        if tag in LOADED and (address := dict(attrs).get(LOADED[tag])) is not None:
            self.loaded.append(address)

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "article"


def source(page: str) -> Path:
    return site.OUTSIDE.get(page, ROOT / "docs" / page)


def html(built: Path, page: str) -> str:
    name = re.sub(r"README\.md$", "index.md", page)
    return (built / name).with_suffix(".html").read_text(encoding="utf-8")


def test_every_document_is_a_page() -> None:
    documents = [path.relative_to(site.DOCS).as_posix() for path in site.DOCS.rglob("*.md")]
    assert sorted(PAGES) == sorted([*documents, *site.OUTSIDE])


def test_pages_have_the_blocks_that_a_repository_shows(built: Path) -> None:
    markdown = MarkdownIt("commonmark").enable("table")
    for page in PAGES:
        text = site.without_diagrams(source(page).read_text(encoding="utf-8"))
        expected = _Parsed(f"<article>{markdown.render(text)}</article>").blocks
        assert _Parsed(html(built, page)).blocks == expected, page


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    for path in built.rglob("*.html"):
        loaded = _Parsed(path.read_text(encoding="utf-8")).loaded
        assert len(loaded) > 3
        assert [one for one in loaded if re.match(r"(https?:)?//", one)] == [], path.name
    styles = "".join(path.read_text(encoding="utf-8") for path in built.rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*|@import[^;]*", styles) == []


def test_what_documents_link_to_comes_along(built: Path) -> None:
    sample = "manifests/samples/iris.yaml"
    assert (built / "files" / sample).read_bytes() == (ROOT / sample).read_bytes()
    assert f'href="files/{sample}"' in html(built, "README.md")
    assert (built / "examples" / "predict.mjs").is_file()
    assert '"location":"how-to/gpu.html"' in (built / "search" / "search_index.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", ["[a](nowhere.md)", "[a](other.md#nowhere)"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, link: str) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.md").write_text(f"# One\n\n{link}\n")
    (pages / "other.md").write_text("# Other\n")
    with pytest.raises(site.SiteError, match="nowhere"):
        site.generate(pages, [{"Start": ["index.md", "other.md"]}], tmp_path / "site")
