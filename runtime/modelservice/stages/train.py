"""The stage ``train``: from data to a model that is stored as ONNX, checked and measured."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from modelservice.contract.failure import StageError
from modelservice.contract.keys import KEY_LENGTH, settled, short_hash
from modelservice.contract.work_order import TrainWork, WorkOrder
from modelservice.families.base import Fitted
from modelservice.families.pretrained import pretrained_of, tokenizer_of
from modelservice.inference.batches import run_batches
from modelservice.modalities.base import Dataset, Features
from modelservice.modalities.division import division_of, sides_of
from modelservice.modalities.sources import check_held, read_rows
from modelservice.reports.subject import Subject, all_columns
from modelservice.stages.base import Context, Produced
from modelservice.stages.compress_summary import check_metric
from modelservice.stages.evaluate import (
    Sides,
    largest_difference,
    measure,
    run_sides,
    with_all_tested,
)
from modelservice.stages.folds import cross_validate, fold_splits, sentence
from modelservice.stages.recipe import Recipe
from modelservice.stages.search import search, trainings
from modelservice.stages.search import sentence as search_sentence
from modelservice.stages.shared_rows import shared_rows
from modelservice.stages.teacher import FIELD as TEACHER_FIELD
from modelservice.stages.teacher import taught
from modelservice.stages.threads import engine_of
from modelservice.tasks.base import Array
from modelservice.training.checkpointing import Checkpointing
from modelservice.training.progress import parts_of

MAX_DIFFERENCE: Final = 1e-4
"""Between the ONNX model and the trained one; see ``largest_difference`` for its unit.

Nearly all agree to 1e-6. A row that is hundreds of deviations from all others makes a network's logits so large that
float32 rounds away their fourth decimal, in either engine (measured on UCI's shuttle: 1.6e-5 after blending).
"""


class TrainStage:
    """Read, fit, convert, check, measure."""

    name = "train"

    def run(self, order: WorkOrder, context: Context) -> Produced:
        """Train a model; see ``Stage``."""
        work = order.work
        assert isinstance(work, TrainWork)  # noqa: S101 - the registry looks stages up by the work's own name
        watch = context.watch
        with watch.step("read"):
            source = context.source()
            if work.compressed:
                check_held(source, field="spec.compression")
            if work.training.teacher is not None:
                check_held(source, field=TEACHER_FIELD)
            divided, dataset = read_rows(
                source,
                work.data,
                work.task,
                tokenizer=tokenizer_of(work.model, work.data),
                asked=shared_rows(work, context),
            )
            if work.training.teacher is not None:
                dataset = taught(work.training.teacher, divided, dataset)
            check_metric(work.compressed_metric, dataset)
            folds = fold_splits(divided, work.data.split)
        recipe, report = Recipe.of(work, dataset), None
        tried = trainings(work.training)
        tries = len(tried)
        parts = parts_of(context.observe, [*tried, *[work.training.epochs] * (1 + len(folds))])
        if tries:
            with watch.step("search"):
                work, report = search(order.key, work, dataset, context, parts[:tries])
            recipe = Recipe.of(work, dataset)
        checkpointing = _checkpointing(order, work, dataset, context)
        with watch.step("train"):
            fitted, dataset, plain = recipe.learn(dataset, parts[tries], checkpointing)
        with watch.step("convert"):
            run = engine_of(fitted).run
            raw, difference = check_conversion(fitted, run, dataset)
            if fitted is not plain:
                difference = max(difference, check_conversion(plain, engine_of(plain).run, dataset)[1])
        with watch.step("evaluate"):
            if folds:
                del run  # the models of the folds need the memory that its session takes
            validated = cross_validate(
                divided,
                folds,
                lambda rows, told, fold: recipe.test(rows, told, checkpointing.of(f"fold-{fold}")),
                parts[tries + 1 :],
            )
            if folds:
                run = engine_of(fitted).run
            # What will be served is measured: the ONNX model. A family without epochs saw the validation rows, too.
            metrics = measure(
                *with_all_tested(raw, dataset, run),
                kept_apart=fitted.best_epoch is not None,
                best_epoch=fitted.best_epoch,
                curves=fitted.curves,
                cross_validation=validated,
            )
        if report is not None:
            dataset = replace(dataset, notes=(*dataset.notes, search_sentence(report)))
        if validated is not None:
            dataset = replace(dataset, notes=(*dataset.notes, sentence(validated, metrics.primary)))
        dataset = replace(dataset, notes=(*dataset.notes, *checkpointing.notes))
        with watch.step("report"):
            from modelservice.stages.train_result import describe  # noqa: PLC0415 - no first step waits for reports

            subject = Subject(
                dataset=dataset,
                columns=all_columns(divided, dataset),
                metrics=metrics,
                raw=raw.test,
                predict=fitted.recalled or partial(run_batches, run),
                seed=work.training.seed,
                search=report,
            )
            return describe(
                order,
                recipe.family.name,
                subject,
                fitted,
                difference=difference,
                division=division_of(divided, work.data),
                sides=sides_of(divided),
            )


TRAIN: Final = TrainStage()


def _checkpointing(order: WorkOrder, work: TrainWork, dataset: Dataset, context: Context) -> Checkpointing:
    """Where the trainings of the order are kept, with the settings that a search may have found.

    The weights of an encoder may be others when the next pod reads its folder, or what a hub has under that name.
    """
    settings = short_hash([settled(work.model), settled(work.training)], length=KEY_LENGTH)
    checkpointing = Checkpointing(
        store=context.checkpoints,
        key=f"{order.key}/{settings}",
        data=dataset.sha256,
        every_seconds=work.checkpoint.every_seconds,
        clock=context.watch.clock,
        interruption=context.interruption,
        say=context.say,
    )
    pretrained = pretrained_of(work.model, work.data)
    return checkpointing if pretrained is None else checkpointing.beside(pretrained.digest)


def check_conversion(fitted: Fitted, run: Callable[[Features], Array], dataset: Dataset) -> tuple[Sides, float]:
    """Run ``model.onnx`` and the trained model on every row that there is, and compare.

    Args:
        fitted: the trained model.
        run: its ``model.onnx``, see ``engine_of``.
        dataset: the rows.

    Returns:
        Outputs of the ONNX model, and the largest difference; see ``largest_difference``.

    Raises:
        StageError: they differ by more than ``MAX_DIFFERENCE``.
    """
    found = run_sides(run, dataset)
    difference = largest_difference(run_sides(fitted.predict, dataset), found, labels=dataset.labels)
    if difference > MAX_DIFFERENCE:
        raise StageError(
            "ConversionDiffers",
            f"the model as ONNX answers differently from the trained one (by {difference:.2g}, at most"
            f" {MAX_DIFFERENCE:g} is allowed), so it is not stored: change spec.model, and please report this",
            field="spec.model",
        )
    return found, difference
