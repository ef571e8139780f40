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

from modelservice.contract.baseline import Baseline, NumberHistogram, TextHistogram
from modelservice.contract.data_report import ClassRows, DataReport, Duplicates, SideRows, Suspect
from modelservice.contract.manifest import CURVES_PICTURE, DATA_REPORT_FILE, IMPORTANCE_PICTURE
from modelservice.serving.drift.monitor import FEWEST_ROWS
from modelservice.serving.model import Computation, computed
from modelservice.serving.page.facts import MOST_FIELDS, MOST_PICTURE_BYTES
from modelservice.serving.page.render import render_page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LIMIT = 150_000
HOSTILE = "</script><script>alert(1)</script>'\""


async def get_page(model: FakeModel, **more: Any) -> httpx.Response:
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
    assert len(answer.content) < LIMIT


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
    assert asked_of(page)["labels"] == [HOSTILE, "b"]


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
        CURVES_PICTURE: b"x" * (MOST_PICTURE_BYTES + 1),
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


async def test_a_wide_table_has_one_field_of_json_and_a_page_of_bounded_size() -> None:
    columns = [numeric_column(f"a column with a name of some length, number {number}") for number in range(1000)]
    wide = (await get_page(table_model(*columns[: MOST_FIELDS + 1], labels=("a", "b")))).text
    assert 'id="row"' in wide
    assert "And 1 more columns." in wide
    assert len(wide) < LIMIT
    widest = (await get_page(table_model(*columns, labels=("a", "b")))).text
    assert asked_of(widest)["columns"] != []
    assert len(widest) < 4 * LIMIT
