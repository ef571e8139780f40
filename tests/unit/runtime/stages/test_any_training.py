"""Any table in any format, split and weighed in any way: a whole training of it ends well, or with a listed reason."""

import re
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from pydantic import ValidationError
from tests.unit.runtime.modalities.table.test_formats import WRITERS
from tests.unit.runtime.modalities.table.test_mixtures import KINDS, NAMES, TYPES
from tests.unit.runtime.modalities.test_reasons import LISTED
from tests.unit.runtime.stages.pipelines import produce

from modelservice.contract.data import Format, MissingNumbers, Scaling
from modelservice.contract.failure import DataError, StageError
from modelservice.contract.manifest import CARD_FILE
from modelservice.contract.report import Report
from modelservice.contract.work_order import TrainWork

_STATUS = (Path(__file__).parents[4] / "docs" / "status.md").read_text(encoding="utf-8")
OF_STAGES = frozenset(re.findall(r"`([A-Z]\w+)`", _STATUS))
ENDINGS = {Format.CSV: "csv", Format.JSON_LINES: "jsonl", Format.PARQUET: "parquet", Format.EXCEL: "xlsx"}

NUMBERS = st.integers(-50, 50).map(lambda n: f"{n / 4}")
TARGETS = st.sampled_from(
    [
        st.sampled_from("pq"),
        st.sampled_from("pq"),
        st.sampled_from("pppppppq"),
        st.sampled_from(["p", "q", "r", "", "NA"]),
        st.sampled_from(["yes", "no"]),
        st.sampled_from(["0", "1"]),
        st.sampled_from(["007", "7", "08"]),
        st.integers(0, 3).map(str),
        st.integers(0, 40).map(str),
        st.just("same"),
        NUMBERS,
        st.decimals(0, 10**4, places=2).map("${:,}".format),
        st.dates().map(str),
    ]
)
SPLITS = st.sampled_from(
    [{}, {}, {"seed": 3, "test": 0.3}, {"groupBy": "g"}, {"timeColumn": "t"}, {"column": "s"}, {"folds": 2}]
)
TASKS: st.SearchStrategy[dict[str, Any] | None] = st.sampled_from(
    [
        None,
        None,
        {"regression": {}},
        {"regression": {"loss": {"huber": {}}}},
        {"classification": {"imbalance": "ClassWeight"}},
        {"classification": {"positiveLabel": "q", "threshold": {"maximize": "F1"}}},
        {"classification": {"calibration": "Temperature", "loss": {"focal": {}}}},
        {"classification": {"calibration": "Isotonic"}},
    ]
)
SMALL = {"hiddenLayers": [4]}
MODELS = st.sampled_from(
    [
        {"mlp": SMALL},
        {"mlp": {**SMALL, "ensemble": 2}},
        {"logistic": {}},
        {"svm": {}},
        {"decisionTree": {}},
        {"randomForest": {"trees": 3}},
        {"gradientBoosting": {"rounds": 3}},
        {"kernelRidge": {}},
        {"auto": {"candidates": ["linear", "kernelRidge"]}},
    ]
)
WORDS = st.sampled_from([None, None, ["NA", "?", "p"]])


@st.composite
def tables(draw: Any) -> dict[str, list[str]]:
    """A target, columns that may decide the split and weigh, and features of all kinds."""
    rows, width = draw(st.sampled_from([40, 40, 40, 12, 3])), draw(st.integers(1, len(NAMES)))
    kinds = {
        "y": draw(TARGETS),
        "g": st.sampled_from("uvwxyz"),
        "t": st.dates().map(str),
        "s": st.sampled_from(["train", "train", "Test", "validation"]),
        "w": st.sampled_from(["0", "1", "2.5"]),
        **{name: draw(st.sampled_from(KINDS)) for name in NAMES[:width]},
    }
    return {name: draw(st.lists(kind, min_size=rows, max_size=rows)) for name, kind in kinds.items()}


@st.composite
def works(draw: Any) -> TrainWork:
    """What the spec says of it."""
    kind = draw(TYPES)
    listed = draw(st.booleans())
    format_ = draw(st.sampled_from([*ENDINGS]))
    data = {
        "configMap": {"name": "d"},
        "target": "y",
        "split": draw(SPLITS),
        "sampleWeight": draw(st.sampled_from([None, None, "w"])),
        "missing": draw(WORDS),
        "missingNumbers": draw(st.sampled_from(MissingNumbers)),
        "scaling": draw(st.sampled_from([Scaling.STANDARD, *Scaling])),
        "columns": {} if kind is None else {"a": {"type": kind}},
        "features": ["a"] if listed and kind != "Ignore" else [],
    }
    model = draw(MODELS)
    training = {"epochs": 2} if "mlp" in model and "ensemble" not in model["mlp"] else {}
    try:
        return TrainWork.model_validate(
            {
                "data_file": f"d.{ENDINGS[format_]}",
                "data": data,
                "task": draw(TASKS),
                "model": model,
                "training": training,
            }
        )
    except ValidationError:
        raise UnsatisfiedAssumption from None  # the spec is refused as such


@settings(max_examples=20)
@given(tables(), works())
def test_a_training_uses_or_drops_every_row_or_ends_with_a_listed_reason(
    columns: dict[str, list[str]], work: TrainWork
) -> None:
    format_ = work.data.format_of(work.data_file or "")
    content = WRITERS[format_]({name: [*map(str, cells)] for name, cells in columns.items()})
    try:
        produced = produce(work, content)
    except (DataError, StageError) as error:
        if error.reason not in (LISTED if isinstance(error, DataError) else OF_STAGES):
            raise
        Report(result=error.failure()).to_message()
        event(error.reason)
        return
    event("trained")
    data = produced.manifest.data
    assert data is not None
    assert data.rows + data.dropped == len(columns["y"])
    assert CARD_FILE in produced.files
    Report(result=produced.success(produced.digest, {})).to_message()
