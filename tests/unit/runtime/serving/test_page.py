"""The model's page: what it says of every kind of model, who gets it, and what a browser may run of it."""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html import unescape
from typing import Any

import httpx
import numpy as np
import pytest
from tests.unit.runtime.serving.fakes import (
    DIGEST,
    REVISION,
    FakeModel,
    client_of,
    core_of,
    front_of,
    image_model,
    mixed_model,
    numeric_column,
    numeric_model,
    refined_model,
    regression_model,
    table_model,
    tensor_model,
)
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.contract.baseline import Baseline, NumberHistogram, TextHistogram
from modelservice.contract.data_report import ClassRows, DataReport, Duplicates, SideRows, Suspect
from modelservice.contract.evaluation import Metric
from modelservice.contract.history import PastRevision
from modelservice.contract.manifest import CURVES_PICTURE, DATA_REPORT_FILE, IMPORTANCE_PICTURE
from modelservice.inference.predictor import Predictor
from modelservice.modalities.table.kinds.boolean import BooleanPreprocessing
from modelservice.modalities.table.kinds.category import CategoricalPreprocessing
from modelservice.modalities.table.kinds.date import DatePreprocessing
from modelservice.modalities.table.kinds.text import TextPreprocessing
from modelservice.modalities.table.kinds.written_number import WrittenPreprocessing
from modelservice.modalities.table.notation import Decimal, Notation
from modelservice.modalities.tensor.encoder import TensorEncoder
from modelservice.modalities.tensor.preprocessing import TensorInput, TensorPreprocessing
from modelservice.serving.drift.monitor import FEWEST_ROWS
from modelservice.serving.model import Computation, ServedModel, computed
from modelservice.serving.page.facts import MOST_FIELDS
from modelservice.serving.page.render import MOST_BYTES, render_page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
HOSTILE = "</script><script>alert(1)</script>'\""


def baseline_of(*features: Any) -> Baseline:
    return Baseline(feature_rows=100, features=features, output_rows=0, outputs=())


async def get_page(model: ServedModel, **more: Any) -> httpx.Response:
    async with client_of(front_of(model, **more)) as client:
        answer = await client.get("/", headers={"accept": BROWSER})
    assert answer.status_code == 200
    return answer


def asked_of(page: str) -> dict[str, Any]:
    """What the page's script is given."""
    found = re.search(r'<script type="application/json" id="asked">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    asked: dict[str, Any] = json.loads(found[1])
    return asked


@pytest.mark.parametrize(
    ("build", "said", "fields"),
    [
        (numeric_model, "Predicts species, one of 3 classes, from 2 columns.", ['inputmode="decimal"']),
        (regression_model, "Predicts species, a number, from 2 columns.", []),
        (mixed_model, "Predicts species, one of 3 classes, from 2 columns.", ['<option value="Köln">', "city (home)"]),
        (refined_model, "from 4 columns.", ["<select", "<textarea", 'value="2024-01-31"']),
        (image_model, "Predicts species, one of 3 classes, from a picture.", ['accept="image/png,image/jpeg"']),
        (tensor_model, "Answers tensors with sum.", ['id="row"']),
    ],
)
async def test_each_kind_of_model_has_a_page_with_its_own_form(
    build: Callable[[], FakeModel], said: str, fields: list[str]
) -> None:
    model = build()
    if said.startswith("Answers"):
        model.trained = False
    answer = await get_page(model)
    page = unescape(answer.text)
    assert said in page
    assert model.digest in page
    for field in fields:
        assert field in page
    assert len(answer.content) < MOST_BYTES


async def test_what_is_no_browser_gets_json_as_ever() -> None:
    async with client_of(front_of(numeric_model())) as client:
        for accept in ("*/*", "application/json", ""):
            answer = await client.get("/", headers={"accept": accept})
            assert answer.json()["status"] == "alive"
            assert answer.headers["vary"] == "accept"
        head = await client.head("/", headers={"accept": BROWSER})
    assert head.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_browser_runs_what_the_page_brings_and_nothing_else() -> None:
    answer = await get_page(numeric_model())
    policy = answer.headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for name, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{name}>(.*?)</{name}>", answer.text, re.DOTALL)
        assert rules[rule] == f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
    assert re.findall(r"(?:src|href)=\"(https?:)?//", answer.text) == []


async def test_names_of_an_artifact_are_texts_wherever_they_stand() -> None:
    model = table_model(numeric_column(HOSTILE), labels=(HOSTILE, "b"))
    model.signature = model.signature.model_copy(update={"target": HOSTILE})
    model.reports = {CURVES_PICTURE: b"<svg onload='alert(1)'><script>alert(1)</script></svg>"}
    page = (await get_page(model)).text
    assert "alert(1)</script>" not in page
    assert asked_of(page)["columns"][0]["name"] == HOSTILE


async def test_it_says_how_good_the_model_is_and_what_the_data_gave_away() -> None:
    model = numeric_model()
    side = {
        "primary": "accuracy",
        "rows": 30,
        "metrics": [{"name": "accuracy", "value": 0.9, "low": 0.8, "high": 0.95}],
    }
    model.description["metrics"] = {"kind": "Metrics", "train": side, "test": side}
    rows = SideRows(train=1, validation=2, test=3)
    model.reports = {
        IMPORTANCE_PICTURE: b"<svg/>",
        CURVES_PICTURE: b"x" * MOST_BYTES,
        DATA_REPORT_FILE: DataReport(
            sha256="ab" * 32,
            target="species",
            rows=rows,
            dropped=0,
            features=2,
            columns=(),
            classes=(ClassRows(label="setosa", rows=rows),),
            duplicates=Duplicates(rows=0, contradicting=0, test_rows=0, test_copies=0),
            suspects=(Suspect(column="petal_length", message="petal_length alone predicts 99 %"),),
        )
        .model_dump_json()
        .encode(),
    }
    page = (await get_page(model)).text
    assert "<strong>0.9</strong>" in page
    assert "95 % interval 0.8 to 0.95" in page
    assert "petal_length alone predicts 99 %" in page
    assert "setosa 6" in page
    assert f"data:image/svg+xml;base64,{b64encode(b'<svg/>').decode()}" in page
    assert "Too large for this page, and in the artifact: Learning curves." in page


async def test_drift_is_shown_beside_training_once_it_was_measured() -> None:
    model = numeric_model()
    histogram = {"edges": (-1.0, 0.0, 1.0), "counts": (160, 340, 340, 160)}
    model.baseline = Baseline(
        feature_rows=1000,
        features=tuple(NumberHistogram(name=one.name, **histogram) for one in model.signature.inputs),
        output_rows=1000,
        outputs=(TextHistogram(name="label", texts=("setosa",), counts=(1000,)),),
    )
    core = core_of(model)
    before = render_page(core, ["iris"]).body.decode()
    assert f"compared with them from {FEWEST_ROWS} rows on" in before
    assert 'class="asked" d=' not in before
    computation = Computation(model, answered=core.monitor.record)
    for _ in range(FEWEST_ROWS // 8 + 1):
        computed(computation, np.full((8, 2), 9.0).tolist())
    core.monitor.update()
    page = render_page(core, ["iris"]).body.decode()
    assert "asked: most often over 1 (100 %)" in page
    assert page.count('class="asked" d=') == 3
    assert "moved (PSI" in page


def wide_model(columns: int, *, words: int = 1) -> FakeModel:
    names = [f"{'a column with a name of some length, ' * words}number {number}" for number in range(columns)]
    return table_model(*map(numeric_column, names), labels=("a", "b"))


@pytest.mark.parametrize("columns", [MOST_FIELDS, MOST_FIELDS + 1, 500, 4096])
async def test_a_page_is_small_however_many_columns_there_are(columns: int) -> None:
    model = wide_model(columns, words=2)
    histogram = {"edges": tuple(map(float, range(19))), "counts": (30,) * 20}
    model.baseline = Baseline(
        feature_rows=600,
        features=tuple(NumberHistogram(name=one.name, **histogram) for one in model.signature.inputs),
        output_rows=1,
        outputs=(TextHistogram(name="label", texts=("a",), counts=(1,)),),
    )
    model.reports = {CURVES_PICTURE: b"x" * 64_000, IMPORTANCE_PICTURE: b"x" * 64_000}
    answer = await get_page(model)
    page = answer.text
    assert len(answer.content) <= MOST_BYTES
    left = columns - page.count("</svg>") + 1
    assert f"And {left} more columns." in page
    assert asked_of(page)["columns"] == []
    assert 'id="made"' in page
    assert "-d @request.json" in page
    assert 'id="save"' in page


async def test_what_the_page_leaves_out_is_fetched_from_where_it_says() -> None:
    model = wide_model(500)
    async with client_of(front_of(model)) as client:
        asked = asked_of((await client.get("/", headers={"accept": BROWSER})).text)
        told = (await client.get(asked["schema"])).json()["paths"][asked["predict"]]["post"]["requestBody"]
    content = told["content"]["application/json"]
    properties = content["schema"]["properties"]["instances"]["items"]["anyOf"][0]["properties"]
    assert list(properties) == [one.name for one in model.signature.inputs]
    assert all(one["type"] == ["number", "null"] for one in properties.values())
    assert content["example"]["instances"] == [model.encoder.example()]


async def test_a_row_that_is_long_by_its_texts_is_fetched_too() -> None:
    model = table_model(
        numeric_column("a"), TextPreprocessing(name="b", buckets=4, norm=1.0, example="long " * 2000), labels=("a", "b")
    )
    answer = await get_page(model)
    assert len(answer.content) < MOST_BYTES / 3
    assert asked_of(answer.text)["schema"] == "/openapi.json"


async def test_fields_suggest_categories_as_far_as_there_is_room() -> None:
    def column(name: str, letters: int) -> CategoricalPreprocessing:
        texts = tuple(f"{at:{letters}}" for at in range(150))
        return CategoricalPreprocessing(name=name, categories=texts, example=texts[0])

    model = table_model(column("a", 10), column("b", 200), column("c", 10), labels=("a", "b"))
    answer = await get_page(model)
    assert re.findall(r'list="(of-\d)"', answer.text) == ["of-0"]
    assert len(answer.content) < MOST_BYTES


def first_row(page: str) -> dict[str, Any]:
    """What the fields of the form hold at first, as the page's script reads them."""
    told = map(unescape, re.findall(r'<input id="in-\d+" data-column="\d+" value="([^"]*)"', page))
    asked = asked_of(page)
    kinds = [(one["name"], one["number"] and at not in asked["commas"]) for at, one in enumerate(asked["columns"])]
    return {name: float(cell) if number else cell for (name, number), cell in zip(kinds, told, strict=True)}


async def test_the_first_row_of_the_form_is_explained_by_something() -> None:
    """The typical row is what all others are compared with: of itself there is nothing to say."""
    model = Predictor.from_artifact(produce(train_work(model={"decisionTree": {}})).as_artifact())
    async with client_of(front_of(model)) as client:
        page = (await client.get("/", headers={"accept": BROWSER})).text
        told = {}
        for row in (model.encoder.example(), first_row(page)):
            answer = await client.post(asked_of(page)["explain"], json={"instances": [row]})
            told[str(row)] = [any(one["contributions"].values()) for one in answer.json()["explanations"]]
    assert list(told.values()) == [[False], [True]]


@pytest.mark.parametrize(
    ("edges", "counts", "first"),
    [
        ((0.0, 0.5, 1.0), (25, 25, 25, 25), 1.0),
        ((0.0, 0.5), (30, 60, 10), 0.0),
        ((0.5,), (80, 20), 0.5),
        ((0.5,), (60, 40), 0.5),
        ((), (100,), 0.5),
    ],
    ids=["the upper quartile", "the lower one", "both are the median", "the upper one is the largest", "all are one"],
)
async def test_a_number_is_at_first_a_quartile_that_is_not_the_median(
    edges: tuple[float, ...], counts: tuple[int, ...], first: float
) -> None:
    model = table_model(numeric_column("a"), labels=("a", "b"))
    assert model.encoder.example() == {"a": 0.5}
    model.baseline = baseline_of(NumberHistogram(name="a", edges=edges, counts=counts))
    assert first_row((await get_page(model)).text) == {"a": first}


async def test_a_number_stands_in_its_field_as_the_column_has_its_texts() -> None:
    """What is typed over it is read so: 1.235 beside decimal commas would be a thousand."""
    commas = WrittenPreprocessing(
        name="b", mean=0.0, std=1.0, fill=0.0, example=1.234, notation=Notation(decimal=Decimal.COMMA)
    )
    small = commas.model_copy(update={"name": "c", "example": 5e-05})
    points = commas.model_copy(update={"name": "d", "notation": Notation(decimal=Decimal.POINT, unit="$")})
    model = table_model(numeric_column("a"), commas, small, points, labels=("a", "b"))
    async with client_of(front_of(model)) as client:
        page = (await client.get("/", headers={"accept": BROWSER})).text
        asked = asked_of(page)
        answers = [
            (await client.post(asked["predict"], json={"instances": [row]})).json()
            for row in (first_row(page), model.encoder.example())
        ]
    assert first_row(page) == {"a": 0.5, "b": "1,234", "c": "0,00005", "d": 1.234}
    assert answers[0] == answers[1]
    assert "predictions" in answers[0]


async def test_a_category_is_at_first_the_most_frequent_one_that_is_not_the_typical_one() -> None:
    column = CategoricalPreprocessing(name="a", categories=("x", "y", "z"), example="x")
    model = table_model(column, labels=("a", "b"))
    model.baseline = baseline_of(TextHistogram(name="a", texts=("x", "z", "y"), counts=(5, 3, 2)))
    assert first_row((await get_page(model)).text) == {"a": "z"}
    model.baseline = baseline_of(TextHistogram(name="a", texts=("x",), counts=(5,)))
    assert first_row((await get_page(model)).text) == {"a": "x"}


@pytest.mark.parametrize("usual", [True, False])
async def test_of_yes_and_no_the_first_is_what_fewer_rows_say(usual: bool) -> None:
    model = table_model(BooleanPreprocessing(name="a", mean=0.2, example=usual), labels=("a", "b"))
    page = (await get_page(model)).text
    assert re.findall(r'<option value="(\w+)" selected>', page) == [str(not usual).lower()]


async def test_dates_and_texts_are_at_first_the_typical_ones() -> None:
    """What is counted of them are seconds and lengths."""
    date = DatePreprocessing(name="a", zoned=False, mean=0, std=1, parts=(), fill=(), example="2024-01-31")
    text = TextPreprocessing(name="b", buckets=4, norm=1.0, example="some words")
    model = table_model(date, text, labels=("a", "b"))
    model.baseline = baseline_of(*(NumberHistogram(name=name, edges=(1.0, 2.0), counts=(1, 1, 1)) for name in "ab"))
    page = (await get_page(model)).text
    assert re.findall(r'<(?:input|textarea) id="in-\d"[^>]*', page)[0].count('value="2024-01-31"') == 1
    assert ">some words</textarea>" in page


async def test_it_offers_the_methods_that_rows_can_be_explained_by() -> None:
    assert 'id="method"' not in (await get_page(numeric_model())).text
    trees = Predictor.from_artifact(produce(train_work(model={"decisionTree": {}})).as_artifact())
    page = (await get_page(trees)).text
    assert re.findall(r"<option>(\w+)</option>", page) == ["Shapley", "TreePaths"]
    assert asked_of(page)["methods"] == ["Shapley", "TreePaths"]


async def test_it_tells_of_the_revisions_before_this_one() -> None:
    told = [
        PastRevision(number=2, made="2026-11-28T10:00:00Z", digest=DIGEST, rows=100),
        PastRevision(
            number=REVISION,
            digest=DIGEST,
            data_digest="sha256:" + "cd" * 32,
            rows=1200,
            metric=Metric(name="accuracy", value=0.93, low=0.9, high=0.95),
            seconds=12.5,
        ),
    ]
    page = (await get_page(numeric_model(), history=tuple(told))).text
    assert re.findall(r'<th scope="row">(\d.*?)</th>', page) == [f"{REVISION} (this one)", "2"]
    for said in (
        "2026-11-28T10:00:00Z",
        "accuracy 0.93 (0.9 to 0.95)",
        "1,200",
        "cdcdcdcdcdcd",
        "12.5 s, from reading",
    ):
        assert said in page
    assert "Revisions</h3>" not in (await get_page(numeric_model())).text


async def test_a_long_row_of_tensors_is_fetched_too() -> None:
    tensors = (TensorInput(name="x", datatype="FP32", shape=(64, 64)),)
    model = FakeModel("Tensor", TensorEncoder(TensorPreprocessing(tensors=tensors)), labels=())
    async with client_of(front_of(model)) as client:
        page = (await client.get("/", headers={"accept": BROWSER})).text
        asked = asked_of(page)
        told = (await client.get(asked["schema"])).json()["paths"][asked["predict"]]["post"]["requestBody"]
    assert len(page) < MOST_BYTES / 3
    assert told["content"]["application/json"]["example"]["instances"] == [model.encoder.example()]
