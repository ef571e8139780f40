"""scikit-learn's candidates, with its defaults, behind the pipeline that is usual for tables.

Numbers: the median for missing ones, with a column that says so, and standardised. Texts: one column for each. Dates,
of which scikit-learn knows nothing: year, month, day of the month, of the week and of the year, as an expert would.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR
from tests.bench.quality.prediction import Prediction
from tests.bench.quality.tables import Frame, Kind, Source

LARGE = 10_000
"""Training rows above which boosting is done over histograms; the exact one would take hours."""
CALIBRATION_FOLDS = 5

Build = Callable[[Any], Any]
"""Makes an estimator for a training target."""


@dataclass(frozen=True, kw_only=True)
class ScikitCandidate:
    """A pair of scikit-learn's estimators, for classes and for numbers."""

    name: str
    classifier: Build
    regressor: Build
    most_repeats: int | None = None

    def fingerprint(self) -> str:
        """The version of scikit-learn, and all settings."""
        shown = [
            repr(build(np.repeat([0, 1], rows)))
            for build in (self.classifier, self.regressor)
            for rows in (CALIBRATION_FOLDS, LARGE)
        ]
        settings = "\n".join([sklearn.__version__, *shown, repr(_columns(["number"], ["text"], ["date"]))])
        return re.sub(r" at 0x[0-9a-f]+", "", settings)  # where a function of ours stands in memory

    def fit_predict(self, source: Source, train: Frame, test: Frame) -> Prediction:
        """See ``Candidate``."""
        features, target = train.drop(columns=source.target), train[source.target].to_numpy()
        build = self.classifier if source.kind is Kind.CLASSES else self.regressor
        pipeline = make_pipeline(preprocessing(features), build(target))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipeline.fit(features, target)
        if source.kind is Kind.NUMBERS:
            values = np.asarray(pipeline.predict(test), dtype=np.float64)
            return Prediction(values=values, probabilities=np.empty((len(test), 0)))
        return Prediction(
            values=np.asarray(_labels(pipeline, test), dtype=object),
            probabilities=np.asarray(pipeline.predict_proba(test), dtype=np.float64),
            labels=tuple(pipeline.classes_.tolist()),
        )


def preprocessing(features: Frame) -> ColumnTransformer:
    """The usual pipeline for the columns of a frame."""
    numbers = features.select_dtypes(include="number").columns.tolist()
    others = [name for name in features.columns if name not in numbers]
    dates = [name for name in others if _is_date(features[name])]
    return _columns(numbers, [name for name in others if name not in dates], dates)


def date_parts(frame: Frame) -> Frame:
    """Numbers that a date consists of, for each column of dates."""
    parts = {}
    for name in frame.columns:
        moments = pd.to_datetime(frame[name]).dt
        for part in ("year", "month", "day", "day_of_week", "day_of_year"):
            parts[f"{name} {part}"] = getattr(moments, part).astype(float)
    return pd.DataFrame(parts)


def _columns(numbers: list[str], texts: list[str], dates: list[str]) -> ColumnTransformer:
    number = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    text = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    date = make_pipeline(FunctionTransformer(date_parts), SimpleImputer(strategy="median"), StandardScaler())
    return ColumnTransformer([("number", number, numbers), ("text", text, texts), ("date", date, dates)])


def _is_date(column: Any) -> bool:
    texts = column.dropna()
    shaped = texts.str.fullmatch(r"\d{4}[-/]\d\d[-/]\d\d")
    return bool(len(texts)) and bool(shaped.all())


def _labels(pipeline: Pipeline, test: Frame) -> Any:
    """Labels; those of a machine are its own, not the more probable ones of its calibration."""
    last = pipeline[-1]
    if not isinstance(last, CalibratedClassifierCV):
        return pipeline.predict(test)
    return last.calibrated_classifiers_[0].estimator.predict(pipeline[:-1].transform(test))


def _calibrated_machine(target: Any) -> CalibratedClassifierCV:
    smallest = int(np.unique(target, return_counts=True)[1].min())
    return CalibratedClassifierCV(SVC(), ensemble=False, cv=max(2, min(CALIBRATION_FOLDS, smallest)))


def _standardised(regressor: Any) -> TransformedTargetRegressor:
    """For those who need a target of about 1."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


LOGISTIC: Final = ScikitCandidate(
    name="logistic",
    classifier=lambda _target: LogisticRegression(max_iter=5000),
    regressor=lambda _target: Ridge(),
)
SVM: Final = ScikitCandidate(name="svm", classifier=_calibrated_machine, regressor=lambda _target: _standardised(SVR()))
FOREST: Final = ScikitCandidate(
    name="forest",
    classifier=lambda _target: RandomForestClassifier(random_state=0),
    regressor=lambda _target: RandomForestRegressor(random_state=0),
)
BOOSTING: Final = ScikitCandidate(
    name="boosting",
    classifier=lambda target: (
        HistGradientBoostingClassifier(random_state=0)
        if len(target) > LARGE
        else GradientBoostingClassifier(random_state=0)
    ),
    regressor=lambda target: (
        HistGradientBoostingRegressor(random_state=0)
        if len(target) > LARGE
        else GradientBoostingRegressor(random_state=0)
    ),
)
NETWORK: Final = ScikitCandidate(
    name="network",
    classifier=lambda _target: MLPClassifier(max_iter=1000, random_state=0),
    regressor=lambda _target: _standardised(MLPRegressor(max_iter=1000, random_state=0)),
)

SCIKIT: Final = (LOGISTIC, SVM, FOREST, BOOSTING, NETWORK)
