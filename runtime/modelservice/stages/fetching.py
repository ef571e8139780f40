"""What a work order says of an artifact that was made elsewhere, read where a pod or a laptop finds it."""

import os
from functools import partial
from pathlib import Path

from modelservice.artifact.load import Artifact
from modelservice.contract.failure import StageError
from modelservice.contract.work_order import FetchWork, WorkOrder
from modelservice.modalities.elsewhere import Named, read_elsewhere, read_folder
from modelservice.packing.errors import PackError
from modelservice.stages.data_variables import data_variables


def read_fetched(mounted: Path, order: WorkOrder, work: FetchWork) -> Artifact:
    """What the order of a pod names, below ``mounted`` where it lies on a claim; for errors see ``read_elsewhere``.

    The variables that open an artifact have the prefix of data, beside those of the store that is written. A pretrained
    model is opened as by a training, with the pod's own.
    """
    if work.pretrained is not None:
        return take_pretrained(order, work)
    if work.file is not None:
        return read_folder(mounted / work.file, named(work))
    return read_elsewhere(named(work), opened=partial(data_variables, os.environ))


def take_pretrained(order: WorkOrder, work: FetchWork) -> Artifact:
    """The artifact of a pretrained model; for errors see ``pack_pretrained``."""
    from modelservice.packing.pack import pack_pretrained  # noqa: PLC0415 - what is fetched needs no onnx

    assert work.pretrained is not None  # noqa: S101 - the caller looked
    try:
        return pack_pretrained(work.pretrained, name=order.name, key=order.key, section=work.field).artifact
    except PackError as error:
        raise StageError("EncoderInvalid", f"{work.uri}: {error}", field=f"{work.field}.uri") from None


def read_copy(folder: Path, work: FetchWork) -> Artifact:
    """A copy of it in the folder that ``--artifact`` names; for errors see ``read_elsewhere``."""
    return read_folder(folder, named(work)._replace(uri=str(folder), place="--artifact"))


def named(work: FetchWork) -> Named:
    """Which artifact an order names."""
    source = work.source
    assert source is not None  # noqa: S101 - a pretrained model is no artifact yet
    return Named(uri=source.uri, digest=source.digest, field=work.field, keys=f"{work.field}.secretRef")
