"""The model's page in a real browser: looked at, typed into, driven by keys alone, and found accessible."""

import csv
import json
import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect
from tests.support.browser import chromium
from tests.support.helm import ROOT
from tests.support.pages import served, wide_table
from tests.support.samples import SAMPLES, sample_rows
from tests.support.server import server

import modelservice

WIDTHS = (390, 768, 1280)
COLUMNS = 200
"""Of the wide table: axe-core takes seconds for more, and all are of one kind."""
THEMES: tuple[Any, ...] = ("light", "dark")
LARGE = re.compile("versicolor|virginica")
"""What an iris of the upper quartiles is."""
HEADER = "sepal_length,sepal_width,petal_length,petal_width"
UPDATES = "UPDATE_PICTURES"
PICTURES = ROOT / "docs" / "pictures"
IRIS = ROOT / "tests" / "data" / "iris.csv"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def iris(iris_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(iris_model, tmp_path_factory.mktemp("page") / "log", name="iris") as (_, host):
        yield f"http://{host}"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A decision tree, as the second revision of a model."""
    told = [{"number": number, "digest": f"sha256:{number:064}"} for number in (1, 2)]
    more = ("--revision", "2", "--history", json.dumps(told))
    with served(
        "tree", tmp_path_factory.mktemp("page"), IRIS, "species", {"decisionTree": {"maxDepth": 3}}, *more
    ) as address:
        yield address


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(
        "wide", tmp_path_factory.mktemp("page"), wide_table(COLUMNS), "target", {"decisionTree": {}}
    ) as address:
        yield address


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What is dear from 4000 on; the prices have decimal commas."""
    there = tmp_path_factory.mktemp("page")
    rows = "\n".join(f"{at}.{at:03},5;{'dear' if at >= 4 else 'cheap'}" for at in range(1, 9) for _ in range(20))
    (there / "prices.csv").write_text(f"price;is\n{rows}\n")
    with served("prices", there, there / "prices.csv", "is", {"decisionTree": {}}) as address:
        yield address


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    there = tmp_path_factory.mktemp("page")
    modelservice.train(SAMPLES / "cnn.yaml", output=there / "digits")
    with server(there / "digits", there / "log", "--engine", "torch", name="digits") as (_, host):
        yield f"http://{host}"


class Looked:
    """A page that was opened, and what went wrong while it was looked at."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.wrong: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._requested)
        page.goto(url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(message.text)

    def _requested(self, request: Request) -> None:
        self.asked.append(request.url)


@pytest.fixture
def look(browser: Browser) -> Iterator[Any]:
    """Opens a page; nothing that a test does may make it complain, or ask anybody but its server."""
    looked: list[Looked] = []

    def open_page(url: str, **options: Any) -> Looked:
        one = Looked(browser.new_page(**options), url)
        looked.append(one)
        return one

    yield open_page
    for one in looked:
        one.page.close()
        assert one.wrong == []
        assert [url for url in one.asked if not url.startswith((one.url, "data:", "blob:"))] == []


def test_it_is_accessible_at_every_width_and_in_both_themes(look: Any, iris: str) -> None:
    page = look(iris).page
    expect(page.locator("#answer .value")).to_be_visible()
    for width, theme in product(WIDTHS, THEMES):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        assert found.violations_count == 0, f"{width}, {theme}: {found.generate_report()}"
        if os.environ.get(UPDATES) and (width, theme) == (1280, "light"):
            page.get_by_label("petal_length").fill("1.4")
            expect(page.locator("#answer .value")).to_have_text("setosa")
            expect(page.locator("#why p").first).to_contain_text("setosa")
            page.screenshot(path=PICTURES / "page.png", clip={"x": 0, "y": 0, "width": 1280, "height": 800})


def test_what_is_typed_is_answered_and_explained_at_once(look: Any, iris: str) -> None:
    page = look(iris).page
    expect(page.locator("#answer .value")).to_have_text(LARGE)
    expect(page.locator("#why .bar").first).to_have_text(re.compile(r"petal_\w+[+-]0\.\d+$"))
    page.get_by_label("petal_length").fill("1.4")
    page.get_by_label("petal_width").fill("0.2")
    expect(page.locator("#answer .value")).to_have_text("setosa")
    expect(page.locator("#answer .bar")).to_have_count(3)
    expect(page.locator("#why .bar").first).to_contain_text("petal_")
    page.get_by_role("button", name="The example again").click()
    expect(page.locator("#answer .value")).to_have_text(LARGE)


def test_a_tree_is_told_by_its_conditions_while_one_types(look: Any, tree: str) -> None:
    page = look(tree).page
    expect(page.locator("#why .bar")).to_have_count(4)
    page.get_by_label("Explained by").select_option("TreePaths")
    page.get_by_label("petal_width").fill("0.2")
    expect(page.locator("#answer .value")).to_have_text("setosa")
    expect(page.locator("#why li")).to_have_text([re.compile(r"petal_width <= .* \(it is 0\.2\): \d+ of 119 rows")])
    expect(page.locator("#why")).to_contain_text("(TreePaths)")
    if os.environ.get(UPDATES):
        page.locator("#try").screenshot(path=PICTURES / "page-tree.png")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_model_tells_of_its_revisions(look: Any, tree: str) -> None:
    table = look(tree).page.get_by_role("region", name="Revisions")
    expect(table.get_by_role("rowheader")).to_have_text(["2 (this one)", "1"])


def test_hundreds_of_columns_have_fields_that_are_found_by_their_names(look: Any, wide: str) -> None:
    page = look(wide).page
    expect(page.locator("#made .field")).to_have_count(COLUMNS)
    expect(page.locator("#answer .value")).to_be_visible()
    table = wide_table(COLUMNS)
    lines = [",".join(map(str, (columns[at] for columns in table.values()))) for at in range(4)]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.get_by_label(f"Find one of {COLUMNS} columns").fill("measure 0")
        expect(page.locator("#made .field:visible")).to_have_count(1)
        for cell, answer in (("0", "low"), ("1", "high")):
            page.get_by_label("measure 0", exact=True).fill(cell)
            expect(page.locator("#answer .value")).to_have_text(answer)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save request.json").click()
        request = json.loads(Path(download.value.path()).read_text())
        assert request["instances"][0]["measure 0"] == 1
        assert len(request["instances"][0]) == COLUMNS
        page.get_by_label("Or its text, with the header").fill("\n".join([",".join(table), *lines]))
        page.get_by_role("button", name="Predict all rows").click()
        expect(page.locator("#table-answer")).to_contain_text(f"{len(lines)} rows were answered")
        lines.append(lines[0])  # the next answer is another one
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.get_by_label(f"Find one of {COLUMNS} columns").fill("")
        expect(page.locator("#made .field:visible")).to_have_count(COLUMNS)


def test_what_is_wrong_is_said_at_its_field_and_mended_by_typing(look: Any, iris: str) -> None:
    looked = look(iris)
    page, field = looked.page, looked.page.get_by_label("petal_length")
    field.fill("wide")
    expect(page.get_by_role("alert")).to_contain_text("petal_length")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("1.4")
    expect(page.locator("#answer .value")).to_be_visible()
    expect(field).not_to_have_attribute("aria-invalid", "true")
    looked.wrong.clear()  # browsers note a 400


def test_what_is_typed_is_read_as_a_cell_of_the_data(look: Any, prices: str) -> None:
    looked = look(prices)
    page, field = looked.page, looked.page.get_by_label("price")
    expect(page.locator("#answer .value")).to_be_visible()
    expect(field).to_have_value(re.compile(r"^\d{4},5$"))
    for typed, read in (("7.234", "dear"), ("7", "cheap"), ("1.234,5", "cheap"), ("7234", "dear")):
        field.fill(typed)
        expect(page.locator("#answer .value")).to_have_text(read)
    for typed in ("7234.5", "0x10"):
        field.fill(typed)
        expect(page.get_by_role("alert")).to_contain_text(typed)
    looked.wrong.clear()  # browsers note a 400


def test_keys_alone_reach_everything(look: Any, iris: str) -> None:
    page = look(iris).page
    expect(page.locator("#answer .value")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    places = page.locator("a, input, textarea, button, [tabindex='0']").count()
    reached = set()
    for _ in range(places + 1):
        reached.add(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        page.keyboard.press("Tab")
    assert any('id="in-0"' in one for one in reached)
    assert any('id="predict-csv"' in one for one in reached)
    assert any('id="csv"' in one for one in reached)
    page.get_by_label("petal_length").focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("1.4")
    page.keyboard.press("Enter")
    expect(page.locator("#answer .value")).to_have_text("setosa")


def test_a_table_comes_back_with_its_answers(look: Any, iris: str, tmp_path: Path) -> None:
    rows = sample_rows(SAMPLES / "iris.yaml")
    columns = [name for name in rows[0] if name != "species"]
    given, saved = tmp_path / "given.csv", tmp_path / "saved.csv"
    with given.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["note", *reversed(columns)])
        writer.writerows(
            [[f'says "{at}"; twice', *(row[name] for name in reversed(columns))] for at, row in enumerate(rows * 8)]
        )
    page = look(iris).page
    page.get_by_label("A CSV file").set_input_files(given)
    expect(page.locator("#table-answer")).to_contain_text(f"{8 * len(rows)} rows were answered")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save all").click()
    download.value.save_as(saved)
    assert download.value.suggested_filename == "given-predicted.csv"
    with saved.open(newline="") as file:
        answered = list(csv.DictReader(file, delimiter=";"))
    assert [row["note"] for row in answered] == [f'says "{at}"; twice' for at in range(8 * len(rows))]
    right = [row["predicted_species"] == true["species"] for row, true in zip(answered, rows * 8, strict=True)]
    assert sum(right) / len(right) > 0.9
    labels = ("setosa", "versicolor", "virginica")
    for row in answered:
        shares = [float(row[f"probability_{label}"]) for label in labels]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert row["predicted_species"] == labels[shares.index(max(shares))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is a header and at least one row to be"),
        ("sepal_length,sepal_width,petal_length\n1,2,3", "no column petal_width"),
        (f"{HEADER}\n1,2,3", "The row in line 2 has 3 cells, the header 4"),
        (f'{HEADER}\n1,2,3,"4', "The quote that opens in line 2 is never closed"),
        ("sepal_length,sepal_length,petal_length,petal_width\n1,2,3,4", "The header names sepal_length twice"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_what_to_do(look: Any, iris: str, text: str, said: str) -> None:
    page = look(iris).page
    page.get_by_label("Or its text, with the header").fill(text)
    page.get_by_role("button", name="Predict all rows").click()
    expect(page.locator("#table-answer").get_by_role("alert")).to_contain_text(said)


def test_a_picture_is_answered_with_a_map_of_what_speaks_for_it(look: Any, digits: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((8, 8)).save(picture)
    page = look(digits).page
    page.get_by_label("A picture").set_input_files(picture)
    expect(page.locator("#answer .bar")).to_have_count(10)
    expect(page.locator("#why img")).to_have_attribute("src", re.compile("^data:image/png;base64,"))
    by_patches = page.locator("#why img").get_attribute("src")
    page.get_by_label("Explained by").select_option("IntegratedGradients")
    expect(page.locator("#why")).to_contain_text("(IntegratedGradients, estimated)")
    assert page.locator("#why img").get_attribute("src") != by_patches
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
