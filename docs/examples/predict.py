"""Ask a model for a row and for a batch: ``pip install '.[client]'``, ``python predict.py URL MODEL``."""

import os
import sys

import modelservice
from modelservice.client import ClientError

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
BATCH = [
    ROW,
    {"sepal_length": 6.3, "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8},
    {"sepal_length": 5.7, "sepal_width": 2.8, "petal_length": 4.5, "petal_width": None},  # a missing value
]


def main(url: str, name: str) -> int:
    """Print the answers, or why there are none."""
    try:
        # After 429 and 503 it asks again: when Retry-After says, at most 4 times and for 30 seconds.
        with modelservice.connect(url, model=name, token=os.environ.get("API_KEY"), retries=4, max_wait=30) as model:
            print("row:", *model.predict([ROW]))
            print("batch:", *model.predict(BATCH))
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
