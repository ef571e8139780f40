"""``spec.model.encoder.fineTune``: a pretrained encoder learns on, by differences of low rank (LoRA).

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021): of each layer the weights that make queries and
values get a difference ``B A`` of few numbers, which alone is learned; it is added to them before anything is exported,
so what serves is an encoder like any other and costs no more.
"""

import os
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelservice.contract.encoders import FineTune, LowRankAdaptation
from modelservice.contract.failure import StageError
from modelservice.contract.optimizers import AdamW, Cosine, Optimizer, Schedule
from modelservice.contract.places import granted_gpus
from modelservice.contract.precision import Precision
from modelservice.contract.progress import Progress
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import Observer
from modelservice.families.gradient import best_device, rows_of
from modelservice.families.heads import build_head
from modelservice.families.pretrained.texts import TextModel
from modelservice.families.token_graph import HIDDEN
from modelservice.modalities.base import Dataset, Features
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing
from modelservice.training.curves import Epoch
from modelservice.training.device_memory import within_device_memory
from modelservice.training.loop import seeded, train_module
from modelservice.training.losses import objective_of
from modelservice.training.precision import check_precision
from modelservice.training.ranks import tensor_of
from modelservice.training.threads import limited_threads, threads_for

_ADAPTED: Final = ("query", "value")
_SLICE: Final = 32
"""Texts that are read at once where nothing is learned."""
_SHORTEST: Final = 1e-12
_SECTION: Final = "spec.model.encoder.fineTune"
_RATE_FIELD: Final = f"{_SECTION}.learningRate"
_PRECISION_FIELD: Final = f"{_SECTION}.precision"


class LowRankEncoder(nn.Module):
    """A BERT whose parameters are the differences alone: tokens float32 [rows, length] to numbers [rows, width].

    What it read from the folder is no part of its state: nothing of that changes, and checkpoints need not hold it.
    """

    def __init__(
        self, encoder: TextModel, settings: LowRankAdaptation, generator: torch.Generator, *, device: str = "cpu"
    ) -> None:
        super().__init__()
        self._config, self._pooling = encoder.config, encoder.pooling
        self._scale = settings.alpha / settings.rank
        self._frozen = {name: tensor_of(array).to(device) for name, array in encoder.weights.items()}
        width = self._config.hidden_size
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        for _ in self._adapted():
            self.down.append(torch.randn(settings.rank, width, generator=generator) / width**0.5)
            self.up.append(torch.zeros(width, settings.rank))
        self.to(device)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The numbers of texts, as ``TextModel.compute`` makes them of the merged weights."""
        frozen, epsilon = self._frozen, self._config.layer_norm_eps
        tokens = features[:, : max(1, int((features > 0).sum(dim=1).max()))].long()
        held = tokens > 0
        hidden = torch.where(held, 0.0, float(HIDDEN))[:, None, None, :]
        places = frozen["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        kinds = frozen.get("embeddings.token_type_embeddings.weight")
        words = frozen["embeddings.word_embeddings.weight"][(tokens - 1).clamp_min(0)]
        states = self._norm(words + (places if kinds is None else places + kinds[0]), "embeddings.LayerNorm", epsilon)
        merged = self._merged()
        for layer in range(self._config.num_hidden_layers):
            start = f"encoder.layer.{layer}."
            queries, keys, values = (
                self._heads(states, f"{start}attention.self.{part}", merged) for part in ("query", "key", "value")
            )
            seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=hidden)
            joined = self._dense(seen.transpose(1, 2).flatten(2), f"{start}attention.output.dense")
            states = self._norm(joined + states, f"{start}attention.output.LayerNorm", epsilon)
            inner = functional.gelu(self._dense(states, f"{start}intermediate.dense"))
            given = self._dense(inner, f"{start}output.dense")
            states = self._norm(given + states, f"{start}output.LayerNorm", epsilon)
        if self._pooling.first:
            found = states[:, 0] * held[:, :1]
        else:
            found = (states * held[:, :, None]).sum(dim=1) / held.sum(dim=1, keepdim=True).clamp_min(1)
        return functional.normalize(found, eps=_SHORTEST) if self._pooling.normalized else found

    def merged(self) -> dict[str, Features]:
        """All weights of the encoder, with the differences added."""
        with torch.no_grad():
            return {name: array.cpu().numpy() for name, array in {**self._frozen, **self._merged()}.items()}

    @property
    def differences(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _adapted(self) -> list[str]:
        layers = range(self._config.num_hidden_layers)
        return [f"encoder.layer.{layer}.attention.self.{part}.weight" for layer in layers for part in _ADAPTED]

    def _merged(self) -> dict[str, torch.Tensor]:
        pairs = zip(self._adapted(), self.down, self.up, strict=True)
        return {name: self._frozen[name] + self._scale * (up @ down) for name, down, up in pairs}

    def _heads(self, states: torch.Tensor, part: str, merged: dict[str, torch.Tensor]) -> torch.Tensor:
        weight = merged.get(f"{part}.weight", self._frozen[f"{part}.weight"])
        made = functional.linear(states, weight, self._frozen[f"{part}.bias"])
        return made.view(*states.shape[:2], self._config.num_attention_heads, -1).transpose(1, 2)

    def _dense(self, states: torch.Tensor, part: str) -> torch.Tensor:
        return functional.linear(states, self._frozen[f"{part}.weight"], self._frozen[f"{part}.bias"])

    def _norm(self, states: torch.Tensor, part: str, epsilon: float) -> torch.Tensor:
        weight, bias = self._frozen[f"{part}.weight"], self._frozen[f"{part}.bias"]
        return functional.layer_norm(states, weight.shape, weight, bias, eps=epsilon)


class _Scaled(nn.Module):
    """What a linear layer sees of an encoder's numbers: those of ``encoder.Scaling``."""

    def __init__(self, center: Features, factor: float, *, device: str) -> None:
        super().__init__()
        self._center, self._factor = tensor_of(center).to(device), factor

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return (numbers - self._center) * self._factor


def fine_tuned(
    encoder: TextModel,
    settings: FineTune,
    dataset: Dataset,
    *,
    center: Features,
    factor: float,
    seed: int,
    observe: Observer,
    checkpointing: Checkpointing = BEGINS_ANEW,
) -> tuple[TextModel, str]:
    """The encoder after it learned the task with a linear layer behind it, which is then left; and a note on it.

    Args:
        encoder: as it was read.
        settings: ``spec.model.encoder.fineTune``.
        dataset: tokens. Validation rows choose the epoch; where there are none, the training rows do.
        center: of its numbers.
        factor: that scales them.
        seed: of differences, the linear layer and the order.
        observe: is told of each epoch.
        checkpointing: where it is kept how far it is.

    Raises:
        StageError: the loss is no longer a finite number, or a GPU is granted and none is seen, or lacks the precision
            or the memory.
    """
    device = best_device(granted=granted_gpus(os.environ), section="spec.training")
    check_precision(settings.precision, torch.device(device), field=_PRECISION_FIELD)
    head, objective = build_head(dataset), objective_of(dataset.task.loss, dataset.loss)
    training = Hyperparameters(
        optimizer=Optimizer(adam_w=AdamW(learning_rate=settings.learning_rate)),
        schedule=Schedule(cosine=Cosine()),
        l2=0,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        precision=settings.precision,
        seed=seed,
    )

    def told(epoch: Epoch) -> None:
        observe(Progress(done=epoch.number, total=epoch.of, loss=epoch.validation_loss))

    chosen_by = dataset.validation if len(dataset.validation.values) else dataset.train
    # Each weight is used once for each token.
    work = encoder.parameters * dataset.shape[0] * training.batch_size
    with (
        within_device_memory(settings.precision, rows=training.batch_size, section=_SECTION),
        limited_threads(threads_for(work=work, available=torch.get_num_threads())),
        seeded(seed, device) as generator,
    ):
        adapted = LowRankEncoder(encoder, settings.lora, generator, device=device)
        linear = nn.Linear(encoder.width, dataset.task.logits(dataset.labels)).to(device)
        try:
            epoch = train_module(
                nn.Sequential(adapted, _Scaled(center, factor, device=device), linear),
                objective=objective,
                train=rows_of(dataset.train, objective, head, device),
                validation=rows_of(chosen_by, objective, head, device),
                settings=training,
                generator=generator,
                observe=told,
                slice_rows=_SLICE,
                checkpointing=checkpointing.of(f"{checkpointing.name}-encoder"),
            )
        except StageError as error:
            if error.reason != "Diverged":
                raise
            message = f"the loss of the encoder is no longer a finite number: set {_RATE_FIELD} to less"
            raise StageError("Diverged", message, field=_RATE_FIELD) from None
    note = (
        f"the encoder learned on for {epoch} of {settings.epochs} epochs, by {adapted.differences:,} numbers of rank"
        f" {settings.lora.rank} beside {encoder.parameters:,} weights"
    )
    if settings.precision is not Precision.FLOAT32:
        note = f"{note}, in steps that were computed in {settings.precision}"
    weights = {name: np.asarray(array, np.float32) for name, array in adapted.merged().items()}
    return encoder.learned_on(weights), note
