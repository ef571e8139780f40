"""What a training leaves: the files of its artifact, its manifest and its reports."""

import platform

import modelservice
from modelservice.artifact.files import document_bytes, file_entries
from modelservice.contract.division import Division
from modelservice.contract.manifest import (
    METRICS_FILE,
    MODEL_FILE,
    PREPROCESSING_FILE,
    DataSummary,
    Manifest,
    OnnxSummary,
    Producer,
)
from modelservice.contract.signature import SIGNATURE_FILE, InputTensor, Signature
from modelservice.contract.work_order import WorkOrder
from modelservice.families.base import Fitted
from modelservice.modalities.shared import shared_by
from modelservice.reports.card import About, settings_of
from modelservice.reports.files import write_reports
from modelservice.reports.findings import examine
from modelservice.reports.subject import Subject
from modelservice.stages.base import Produced
from modelservice.stages.evaluate import (
    opset_of,
)


def describe(
    order: WorkOrder,
    family: str,
    subject: Subject,
    fitted: Fitted,
    *,
    difference: float,
    division: Division | None = None,
    sides: str | None = None,
) -> Produced:
    """The artifact of a training, with reports on its subject.

    Args:
        order: what was asked for.
        family: the name of the one that learned.
        subject: the model and the rows that it was made from.
        fitted: the model.
        difference: the largest one between it and its ONNX form, in units of its outputs.
        division: which rows were tested, where that can be said of any.
        sides: the digest of all sides; see ``Manifest``.
    """
    dataset, metrics, findings = subject.dataset, subject.metrics, examine(subject)
    signature = Signature(
        modality=dataset.modality,
        task=dataset.task.name,
        target=dataset.target,
        inputs=dataset.inputs,
        outputs=dataset.task.outputs(dataset.labels),
    )
    producer = Producer(
        modelservice=modelservice.__version__,
        python=platform.python_version(),
        libraries=dict(sorted(fitted.libraries.items())),
    )
    data = DataSummary(
        sha256=dataset.sha256,
        rows=dataset.rows,
        dropped=dataset.dropped,
        features=dataset.features,
        shape=next((one.shape for one in dataset.inputs if isinstance(one, InputTensor)), None),
        classes=len(dataset.labels) or None,
        notes=(*dataset.notes, *fitted.notes, *findings.notes),
    )
    about = About(
        name=order.name,
        family=family,
        parameters=fitted.parameters,
        producer=producer,
        data=data,
        signature=signature,
        settings=settings_of(order.work),
    )
    files = {
        SIGNATURE_FILE: document_bytes(signature),
        PREPROCESSING_FILE: document_bytes(dataset.preprocessing),
        MODEL_FILE: fitted.onnx,
        METRICS_FILE: document_bytes(metrics),
        **fitted.files,
        **write_reports(subject, findings, about),
    }
    manifest = Manifest(
        name=order.name,
        stage=order.work.stage,
        key=order.key,
        family=family,
        modality=dataset.modality,
        task=dataset.task.name,
        producer=producer,
        data=data,
        parameters=fitted.parameters,
        model=OnnxSummary(opset=opset_of(fitted.onnx), max_difference=difference),
        division=division,
        sides=sides,
        encoder=shared_by(dataset.preprocessing),
        files=file_entries(files),
    )
    return Produced(manifest=manifest, files=files, signature=signature, measured=metrics, models=fitted.models)
