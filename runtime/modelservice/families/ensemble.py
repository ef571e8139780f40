"""Ensembles of small networks for tables, trained side by side; what ``mlp`` is by default.

A recipe with no settings, since few rows cannot choose any. Its sources are RealMLP (Holzmueller et al., 2024: robust
scaling, smooth clipping, learned input scales, label smoothing), TabM (Gorishniy et al., 2025: members in one batched
product) and deep ensembles (Lakshminarayanan et al., 2017). Each member keeps a fifth of the rows back to choose its
epoch, so all rows are learned by most members, and each row has members that never learned it: what those say together
shows how sure the ensemble may be.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from modelservice.artifact.files import document_bytes
from modelservice.contract.evaluation import Metric
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, WEIGHTS_FILE
from modelservice.contract.networks import Activation
from modelservice.contract.places import granted_gpus
from modelservice.contract.progress import Progress
from modelservice.contract.task import Loss as AskedLoss
from modelservice.families.architecture import (
    Architecture,
    Dropout,
    Elementwise,
    Layer,
    MemberLinear,
    MemberMean,
    MemberScale,
    PlainHead,
    Scale,
    Sigmoid,
    SmoothClip,
    Softmax,
)
from modelservice.families.base import Fitted, Observer
from modelservice.families.gradient import Network, best_device
from modelservice.families.heads import head_of
from modelservice.families.kept_back import (
    divisions,
    held_together,
    kept_back,
    out_of_fold,
    said_of_groups,
    strata_of,
)
from modelservice.families.member_layers import MemberLinear as MemberLinearModule
from modelservice.families.modules import apply_head, build
from modelservice.families.sharpness import fit_sharpness, sharpen
from modelservice.modalities.base import Features, Groups
from modelservice.tasks.base import Array, Loss
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing
from modelservice.training.curves import CurveRecorder, Epoch
from modelservice.training.loop import seeded
from modelservice.training.member_losses import member_objective_of
from modelservice.training.members import MemberData, MemberRows, Plan, train_members
from modelservice.training.ranks import current
from modelservice.training.threads import limited_threads, threads_for

if TYPE_CHECKING:
    from modelservice.families.onnx_graph import Graph

HIDDEN: Final = (128, 128)
DROPOUT: Final = 0.1
LIMIT: Final = 3.0
"""Of the smooth clipping, in interquartile ranges."""
_LAST_SHARE: Final = 0.1
"""Of the last layer's initial weights: members begin with about the same answer for every row."""
_SMALL: Final = 2500
"""Rows up to which nothing is spared."""
_MEMBERS, _EPOCHS, _BATCH, _RATE = 16, 100, 64, 0.003
_TINY: Final = 500
"""Rows up to which members take more and smaller steps: with larger ones they are through before they have settled."""
_TINY_BATCH, _TINY_RATE = 16, 0.001
_FEW_MEMBERS, _FEW_EPOCHS, _LARGEST_BATCH = 8, 24, 1024
_SLICE: Final = 2**23
"""Values of the widest layer, over all members, that are held at once when nothing is learned."""
_LOSSES: Final = {Sigmoid: Loss.BINARY_CROSS_ENTROPY, Softmax: Loss.CROSS_ENTROPY, Scale: Loss.SQUARED_ERROR}


def plan_for(rows: int, *, members: int | None = None) -> Plan:
    """How many networks, epochs and rows of a step suit so many rows, so that time grows slower than rows.

    At 50,000 rows: 8 members, 24 epochs, steps of 1,024 rows, a rate of 0.006. The rate grows with the fourth root of
    the step's rows.

    Args:
        rows: to learn from.
        members: how many networks there are to be, None for what suits.
    """
    if rows <= _TINY:
        return Plan(members=members or _MEMBERS, epochs=_EPOCHS, batch=_TINY_BATCH, learning_rate=_TINY_RATE)
    times = max(1.0, rows / _SMALL)
    batch = min(_LARGEST_BATCH, _BATCH * 2 ** math.floor(math.log2(times)))
    return Plan(
        members=members or (_MEMBERS if rows <= 4 * _SMALL else _FEW_MEMBERS),
        epochs=max(_FEW_EPOCHS, round(_EPOCHS * times**-0.634)),
        batch=batch,
        learning_rate=_RATE * (batch / _BATCH) ** 0.25,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """A fitted ensemble; a ``Component``.

    Attributes:
        architecture: its layers, and the head that averages.
        module: the trained layers.
        out_of_fold: what members say of rows that they kept back, before sharpening, float64 [rows, width]; NaN for
            rows that none of less than five members kept.
        curves: what each epoch came to, by name, means over members.
        notes: sentences on the rows that were kept back.
    """

    architecture: Architecture
    module: nn.Sequential
    out_of_fold: NDArray[np.float64]
    curves: Mapping[str, tuple[float, ...]]
    notes: tuple[str, ...] = ()

    @property
    def sharpened_out_of_fold(self) -> NDArray[np.float64]:
        """``out_of_fold`` as sure as ``predict`` is."""
        head = self.architecture.head
        assert isinstance(head, MemberMean)  # noqa: S101 - as ``fit_ensemble`` made it
        return sharpen(self.out_of_fold, head.sharpness) if head.sharpness != 1 else self.out_of_fold

    @property
    def width(self) -> int:
        """See ``Component``."""
        return self.architecture.width

    @property
    def parameters(self) -> int:
        """See ``Component``."""
        return self.architecture.parameters

    def predict(self, features: Features) -> Array:
        """See ``Component``."""
        return Network(self.architecture, self.module)(features)

    def append_to(self, graph: "Graph") -> str:
        """See ``Component``."""
        from modelservice.families.architecture_graph import add_architecture  # noqa: PLC0415 - no first step waits for onnx

        add_architecture(graph, self.architecture, {name: array.numpy() for name, array in self._state().items()})
        return graph.value

    def as_fitted(self) -> Fitted:
        """The ensemble that stands alone, with what torch serves it from."""
        import onnx  # noqa: PLC0415

        from modelservice.families.onnx_graph import Graph  # noqa: PLC0415

        graph = Graph()
        self.append_to(graph)
        head = self.architecture.head
        assert isinstance(head, MemberMean)  # noqa: S101 - as ``fit_ensemble`` made it
        return Fitted(
            onnx=graph.model(shape=self.architecture.shape, width=self.width),
            predict=self.predict,
            parameters=self.parameters,
            files={ARCHITECTURE_FILE: document_bytes(self.architecture), WEIGHTS_FILE: save(self._state())},
            libraries={"torch": str(torch.__version__), "onnx": str(onnx.__version__)},
            curves=self.curves,
            notes=(
                f"mlp is an ensemble of {head.members} networks, each of which kept a fifth of the training and"
                " validation rows back to choose its epoch",
                *self.notes,
            ),
            sharpened=lambda power: self._sharpened(head, power).as_fitted(),
        )

    def _sharpened(self, head: MemberMean, power: float) -> "Ensemble":
        sharper = head.model_copy(update={"sharpness": head.sharpness * power})
        return replace(self, architecture=self.architecture.model_copy(update={"head": sharper}))

    def _state(self) -> dict[str, torch.Tensor]:
        return {name: tensor.cpu().contiguous() for name, tensor in self.module.state_dict().items()}


def fit_ensemble(
    plan: Plan,
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    seed: int,
    observe: Observer,
    checkpointing: Checkpointing = BEGINS_ANEW,
    weights: NDArray[np.float64] | None = None,
    loss: AskedLoss | None = None,
    groups: Groups | None = None,
) -> Ensemble:
    """Fit an ensemble; see ``component.Fit``.

    The same rows, plan and number of threads give the same weights on a CPU. A GPU is used where there is one.

    Args:
        plan: how many members, and how they are trained.
        features: encoded rows, float32 [rows, inputs].
        values: class codes int64 [rows], or numbers float64 [rows] of any unit.
        classes: number of classes, 0 for numbers.
        seed: of weights, order, dropout, and of which rows are kept back.
        observe: is told of each epoch.
        checkpointing: where it is kept how far the training is.
        weights: how much each row counts, 1 on the mean [rows]; None where all count alike.
        loss: what members minimise, where that is not the recipe's.
        groups: rows that are kept back together, see ``Side``.

    Raises:
        StageError: training diverged, a GPU is granted and none is seen, or weights are to be shared out.
    """
    ranks = current()
    if not ranks.holds_all:
        message = "members of an ensemble are small and many: set spec.training.parallelism to Data, or ensemble to 1"
        raise StageError("ModelUnsuited", message, field="spec.training.parallelism")
    head = head_of(values, classes=classes)
    together = held_together(values, classes=classes, groups=groups)
    kept = kept_back(strata_of(values, classes=classes), members=plan.members, seed=seed, groups=together)
    architecture = _design(plan, features.shape[1], classes, MemberMean(members=plan.members, head=head))
    device = best_device(granted=granted_gpus(os.environ), section="spec.training")
    objective = member_objective_of(_LOSSES[type(head)], loss)
    recorder = CurveRecorder(metric=objective.metric)

    def told(epoch: Epoch) -> None:
        metric = Metric(name=objective.metric, value=epoch.metric)
        observe(Progress(done=epoch.number, total=epoch.of, loss=epoch.validation_loss, metric=metric))

    with limited_threads(_threads(architecture, plan)), seeded(seed, device) as generator:
        module = build(architecture)
        _initialize(module, features, generator)
        module.to(device)
        clip, members = module[0], module[1:]
        ranks.prepare(members, device=device, rows_axis=1)
        targets = (values - head.mean) / head.std if isinstance(head, Scale) else values
        heavy = np.ones(len(values)) if weights is None else weights
        with torch.no_grad():
            clipped = clip(torch.from_numpy(features).to(device))
        train_members(
            members,
            data=MemberData(
                features=clipped,
                targets=torch.from_numpy(targets).to(objective.dtype).to(device),
                weights=torch.from_numpy(heavy).to(torch.float32).to(device),
            ),
            learned=MemberRows.of(
                [torch.from_numpy(learned) for learned, _ in divisions(kept, rows=len(values))], device=device
            ),
            kept=MemberRows.of([*map(torch.from_numpy, kept)], device=device),
            objective=objective,
            plan=plan,
            generator=generator,
            observe=told,
            recorder=recorder,
            checkpointing=checkpointing,
            ranks=ranks,
        )
        apart = out_of_fold(_outputs(members, clipped, head), kept)
    if classes:
        judged = ~np.isnan(apart[:, 0])
        sharpness = fit_sharpness(apart[judged], values[judged], None if weights is None else weights[judged])
        architecture = architecture.model_copy(
            update={"head": MemberMean(members=plan.members, head=head, sharpness=sharpness)}
        )
    return Ensemble(
        architecture=architecture,
        module=module.cpu().eval(),
        out_of_fold=apart,
        curves=recorder.curves,
        notes=said_of_groups("mlp", values, classes=classes, groups=groups),
    )


def _design(plan: Plan, inputs: int, classes: int, head: MemberMean) -> Architecture:
    members, logits = plan.members, classes if classes > 2 else 1  # noqa: PLR2004
    layers: list[Layer] = [SmoothClip(inputs=inputs, limit=LIMIT), MemberScale(members=members, inputs=inputs)]
    width = inputs
    for hidden in HIDDEN:
        layers += [
            MemberLinear(members=members, inputs=width, outputs=hidden),
            Elementwise(function=Activation.SILU),
            Dropout(share=DROPOUT),
        ]
        width = hidden
    layers.append(MemberLinear(members=members, inputs=width, outputs=logits))
    return Architecture(shape=(inputs,), layers=tuple(layers), head=head)


def _initialize(module: nn.Sequential, features: Features, generator: torch.Generator) -> None:
    """Measure the scaling on the rows, and draw the weights."""
    low, middle, high = np.quantile(features, [0.25, 0.5, 0.75], axis=0)
    # Where half of the rows have one value, as in a column of 0 and 1, half of the range stands in.
    spread = np.where(high > low, high - low, (features.max(axis=0) - features.min(axis=0)) / 2)
    factor = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    scaling = {"center": middle, "factor": factor}
    module[0].load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in scaling.items()})
    linear = [layer for layer in module if isinstance(layer, MemberLinearModule)]
    for layer in linear:
        layer.draw(generator, share=_LAST_SHARE if layer is linear[-1] else 1.0)


@torch.inference_mode()
def _outputs(members: nn.Module, clipped: torch.Tensor, head: PlainHead) -> NDArray[np.float64]:
    """Raw outputs of each member [members, rows, width]."""
    members.eval()
    count = next(iter(members.parameters())).shape[0]
    size = max(1, _SLICE // (count * max(*HIDDEN, clipped.shape[1])))
    slices = [clipped[start : start + size] for start in range(0, len(clipped), size)]
    found = torch.cat([apply_head(head, members(part)).cpu() for part in slices], dim=1)
    return np.asarray(found.numpy(), dtype=np.float64)


def _threads(architecture: Architecture, plan: Plan) -> int:
    """One for small tables, which makes them the same bits on any number of CPUs."""
    if plan.batch <= _BATCH:
        return 1
    return threads_for(work=architecture.multiply_adds * plan.batch, available=torch.get_num_threads())
