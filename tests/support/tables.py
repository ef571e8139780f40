"""Tables that the end-to-end tests train on."""

from tests.support.helm import ROOT

IRIS = (ROOT / "tests" / "data" / "iris.csv").read_text(encoding="utf-8")

FLOWERS = (
    ({"sepal_length": 5.0, "sepal_width": 3.4, "petal_length": 1.5, "petal_width": 0.2}, "setosa"),
    ({"sepal_length": 5.9, "sepal_width": 2.8, "petal_length": 4.2, "petal_width": 1.3}, "versicolor"),
    ({"sepal_length": 6.6, "sepal_width": 3.0, "petal_length": 5.7, "petal_width": 2.1}, "virginica"),
)
"""Flowers near the middle of each species: a model that learnt anything tells them apart."""

SWAPPED = IRIS.replace("setosa", "x").replace("virginica", "setosa").replace("x", "virginica")
"""Iris with two species swapped: a model that was trained on another namespace's table shows."""
