"""What a work order says of an artifact that was made elsewhere, read where a pod or a laptop finds it."""

import os
from functools import partial
from pathlib import Path

from modelservice.artifact.load import Artifact
from modelservice.contract.work_order import FetchWork
from modelservice.modalities.elsewhere import Named, read_elsewhere, read_folder
from modelservice.stages.data_variables import data_variables


def read_fetched(mounted: Path, work: FetchWork) -> Artifact:
    """What the order of a pod names, below ``mounted`` where it lies on a claim; for errors see ``read_elsewhere``.

    The variables that open it have the prefix of data, beside those of the store that is written.
    """
    if work.file is not None:
        return read_folder(mounted / work.file, named(work))
    return read_elsewhere(named(work), opened=partial(data_variables, os.environ))


def read_copy(folder: Path, work: FetchWork) -> Artifact:
    """A copy of it in the folder that ``--artifact`` names; for errors see ``read_elsewhere``."""
    return read_folder(folder, named(work)._replace(uri=str(folder), place="--artifact"))


def named(work: FetchWork) -> Named:
    """Which artifact an order names."""
    source = work.source
    return Named(uri=source.uri, digest=source.digest, field=work.field, keys=f"{work.field}.secretRef")
