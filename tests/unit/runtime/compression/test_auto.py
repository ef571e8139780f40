"""Steps and strengths that are found."""

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.runtime.compression.learning import HeldCheckpoints, apply_steps, context_of, iris, random_network
from tests.unit.runtime.compression.test_prune import convolutional, perceptron, steps

from modelservice.compression import Compressible, KeptNetworks, StepContext, auto
from modelservice.compression.auto import choose, expected_losses, forms_of, stored_as, targets
from modelservice.contract.compression import Activations, Auto
from modelservice.contract.failure import StageError
from modelservice.contract.networks import Pooling
from modelservice.contract.progress import Progress
from modelservice.families.architecture import Dropout, Linear
from modelservice.inference.onnx_engine import OnnxEngine


@pytest.mark.parametrize(
    ("size", "latency", "expected"),
    [
        (2, None, [(0.5, 1)]),
        (1.5, None, [(1 / 1.5, 1)]),
        (16, None, [(1 / 2, 1), (1 / 4, 1), (1 / 8, 1), (1 / 16, 1)]),
        (3, 3, [(3**-0.5, 3**-0.5), (1 / 3, 1 / 3)]),
        # The larger of the two says how many turns there are.
        (2, 4, [(2**-0.5, 1 / 2), (1 / 2, 1 / 4)]),
    ],
)
def test_each_turn_takes_half_at_most(size: float, latency: float | None, expected: list[tuple[float, float]]) -> None:
    network = perceptron(64, 64)
    found = targets(network, Auto(target_size_ratio=size, target_latency_ratio=latency))
    whole = network.parameters, network.multiply_adds
    assert found == [tuple(int(share * one) for share, one in zip(shares, whole, strict=True)) for shares in expected]


def test_a_faster_network_has_fewer_multiply_adds_whatever_a_clock_says() -> None:
    network = random_network(perceptron(32, 32))
    model = Compressible.of(network)
    asked = steps({"auto": {"targetSizeRatio": 1.1, "targetLatencyRatio": 4, "fineTuneEpochs": 0}})
    ticks = iter(range(10**6))
    still = replace(context_of(iris(), OnnxEngine(model.onnx).run), budget=1.0)
    made, again = (
        apply_steps(model, asked, one) for one in (still, replace(still, clock=lambda: float(next(ticks) ** 2)))
    )
    assert made.onnx == again.onnx
    assert [one.without_latency() for one in made.tried] == [one.without_latency() for one in again.tried]
    assert made.tried != again.tried
    smallest = made.tried[-1].multiply_adds
    assert smallest is not None
    assert network.architecture.multiply_adds / 6 < smallest <= network.architecture.multiply_adds / 4


@pytest.mark.parametrize(
    ("losses", "budget", "expected"),
    [
        ([0.0, 0.001, 0.002], 0.005, 2),
        ([0.0, 0.001, 0.02], 0.005, 1),
        # One turn that lost too much says nothing of the next.
        ([0.0, 0.02, 0.004], 0.005, 2),
        ([0.02, 0.01, 0.03], 0.005, 1),
        ([0.02, 0.01, 0.01], 0.005, 2),
    ],
)
def test_the_strongest_that_keeps_the_budget_is_chosen(losses: list[float], budget: float, expected: int) -> None:
    assert choose(losses, budget=budget) == expected


def searching(context: StepContext) -> tuple[Compressible, Compressible]:
    network = random_network(perceptron(32, 32))
    model = Compressible.of(network)
    asked = steps({"auto": {"targetSizeRatio": 4, "fineTuneEpochs": 3}})
    return model, apply_steps(model, asked, replace(context, teacher=OnnxEngine(model.onnx).run))


def test_test_rows_are_counted_and_not_looked_at() -> None:
    dataset = iris()
    blind = replace(dataset, test=replace(dataset.test, features=dataset.test.features * np.nan))
    (_, seen), (_, unseen) = (searching(context_of(one, None)) for one in (dataset, blind))
    assert seen.onnx == unseen.onnx
    assert seen.tried == unseen.tried


def test_more_test_rows_show_smaller_losses() -> None:
    dataset = iris()
    model = Compressible.of(random_network(perceptron(8)))
    more = replace(dataset, test=replace(dataset.test, values=np.zeros(1000, np.int64)))
    few, many = (expected_losses(model, [model], context_of(one, None))[0] for one in (dataset, more))
    assert few > many > 0


def test_what_was_tuned_before_is_not_tuned_again() -> None:
    store, told, said = HeldCheckpoints(), list[Progress](), list[str]()
    kept = KeptNetworks(store=store, key="k", data="d", say=said.append)
    context = replace(context_of(iris(), None), kept=kept, observe=told.append)
    _, first = searching(context)
    assert len(store.held) == 2 + 2  # turns, and a network of each form at once
    # The last turn is as long as the three networks before it.
    assert len(told) == 6 * 3
    _, again = searching(context)
    assert len(told) == 6 * 3
    assert again.onnx == first.onnx
    # Stopped after the first turn, the second is the same as well.
    assert store.held.keys() == {"auto-1", "auto-2", "auto-once-0", "auto-once-1"}
    store.held.pop("auto-2")
    _, resumed = searching(context)
    assert len(told) == 9 * 3
    assert resumed.onnx == first.onnx
    # What is kept of another compression, or damaged, is not used.
    searching(replace(context, kept=replace(kept, key="other")))
    assert len(told) == 15 * 3
    assert "cannot be used: it is of another compression" in said[-2]
    store.held = dict.fromkeys(store.held, b"x" * 99)
    _, anew = searching(context)
    assert len(told) == 21 * 3
    assert anew.onnx == first.onnx


def test_a_lower_rank_is_taken_where_its_network_is_the_better_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for losses, layers in (([0.02, 0.01], 6), ([0.01, 0.02], 4), ([0.01, 0.01], 4)):
        told = iter([losses, [0.0] * 5])
        monkeypatch.setattr(auto, "expected_losses", lambda *_, told=told: next(told))
        _, made = searching(context_of(iris(), None))
        assert made.network is not None
        linear = [one for one in made.network.architecture.layers if isinstance(one, Linear)]
        assert len(linear) == layers - 1
        assert [one.name.partition(" parameters")[2] for one in made.tried] == [
            "",
            ", Int8",
            " at once, Int8",
            " at once, low rank, Int8",
            ", Int8",
        ]


def test_small_networks_have_no_dropout_and_a_last_layer_of_full_rank() -> None:
    network = random_network(perceptron(32, 32))
    plain, split = forms_of(network)
    assert plain.weights == network.weights
    for form in (plain, split):
        dropped = [one.share for one in form.architecture.layers if isinstance(one, Dropout)]
        assert dropped == [0, 0]
    linear = [(one.inputs, one.outputs) for one in split.architecture.layers if isinstance(one, Linear)]
    assert linear == [(4, 1), (1, 32), (32, 8), (8, 32), (32, 3)]
    convolutions = forms_of(random_network(convolutional((8, 8), (2,), Pooling.MAX)))
    assert len(convolutions) == 2
    assert len(forms_of(random_network(perceptron(1)))) == 1


def test_a_convolutional_network_computes_with_floats_throughout() -> None:
    convolving, other = convolutional((4,), (16,), Pooling.MAX), perceptron(16)
    assert stored_as(convolving).activations is Activations.NONE
    assert stored_as(other).activations is Activations.DYNAMIC


def test_without_layers_nothing_can_be_found() -> None:
    with pytest.raises(StageError, match=r"auto works on the layers of one network") as caught:
        apply_steps(Compressible(onnx=b""), steps({"auto": {}}), context_of(iris(), None))
    assert caught.value.reason == "StepUnsuited"
    with pytest.raises(StageError, match="auto finds no neurons between input and output: leave compression out"):
        apply_steps(Compressible.of(random_network(perceptron())), steps({"auto": {}}), context_of(iris(), None))


def test_a_tiny_network_learns_in_each_turn_whether_or_not_networks_are_kept() -> None:
    """The last turns of such a goal are of single units, all of them."""
    model = Compressible.of(random_network(perceptron(4)))
    asked = steps({"auto": {"targetSizeRatio": 1000, "fineTuneEpochs": 1}})
    context = replace(context_of(iris(), OnnxEngine(model.onnx).run), budget=1.0)
    kept = KeptNetworks(store=HeldCheckpoints(), key="k", data="d", say=lambda _: None)
    anew, stored = (apply_steps(model, asked, one) for one in (context, replace(context, kept=kept)))
    assert anew.onnx == stored.onnx
    assert anew.tried == stored.tried
