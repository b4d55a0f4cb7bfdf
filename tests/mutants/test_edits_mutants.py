"""Mistakes planted into the mitigations that edit weights: the check made for each must notice."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import edits
from test_mutants import Mutant, plant

CHECKS = [check for name, check in vars(edits).items() if name.startswith("check_")]
SUMS, LORA, KINDS = (
    edits.check_sums_of_models_by_hand,
    edits.check_adapters_have_no_cross_terms,
    edits.check_fisher_and_ties_by_hand,
)
BALLS, MASKS = edits.check_balls_by_hand, edits.check_masks_are_exact

MUTANTS = [
    Mutant(
        "sums stay in bfloat16",
        "mitigate.weights.states",
        "torch.promote_types(first.dtype, torch.float32)",
        "first.dtype",
        SUMS,
    ),
    Mutant(
        "sums begin at zero",
        "mitigate.weights.states",
        "(tensor.detach().to(whole) - start)",
        "tensor.detach().to(whole)",
        SUMS,
    ),
    Mutant(
        "both matrices are weighted",
        "mitigate.weights.adapters",
        "torch.cat([state[pair.a].detach().double() for state, _ in used])",
        "torch.cat([w * state[pair.a].detach().double() for state, w in used])",
        LORA,
    ),
    Mutant(
        "the scaling is undone twice",
        "mitigate.weights.adapters",
        "(own[pair.a] / wanted[pair.a])",
        "(wanted[pair.a] / own[pair.a])",
        LORA,
    ),
    Mutant(
        "fisher is not normalised",
        "mitigate.weights.merging",
        "(weights * values).sum(0) / total",
        "(weights * values).sum(0) / total.sum()",
        KINDS,
    ),
    Mutant(
        "ties forgets how many there are",
        "mitigate.weights.merging",
        "torch.tensor(alpha) * len(states)",
        "torch.tensor(alpha)",
        KINDS,
    ),
    Mutant(
        "the ratio is upside down",
        "mitigate.weights.fusion",
        "np.asarray(loss_N, np.float64) - np.asarray(base_loss_N, np.float64)",
        "np.asarray(base_loss_N, np.float64) - np.asarray(loss_N, np.float64)",
        KINDS,
    ),
    Mutant(
        "the vector points back",
        "mitigate.weights.task_vector",
        "_wide(b[name]).to(_wide(a[name])) - _wide(a[name])",
        "_wide(a[name]) - _wide(b[name]).to(_wide(a[name]))",
        edits.check_negation_goes_the_other_way,
    ),
    Mutant(
        "the ball stands at zero", "mitigate.weights.balls", "start - radius, start + radius", "-radius, radius", BALLS
    ),
    Mutant(
        "the ball has no lower side",
        "mitigate.weights.balls",
        "start - radius, start + radius",
        "None, start + radius",
        BALLS,
    ),
    Mutant(
        "the root is forgotten",
        "mitigate.weights.balls",
        "math.sqrt(_squares(value) / max(value.numel(), 1))",
        "_squares(value) / max(value.numel(), 1)",
        BALLS,
    ),
    Mutant(
        "ties come along",
        "mitigate.weights.masks",
        "_mask(gradient, torch.topk(flat, count, sorted=False).indices)",
        "{n: g.abs() >= flat.topk(count).values.min() for n, g in gradient.items()}",
        MASKS,
    ),
    Mutant(
        "negative gradients are small",
        "mitigate.weights.masks",
        "g.detach().abs().float().flatten()",
        "g.detach().float().flatten()",
        MASKS,
    ),
    Mutant(
        "the mask is upside down",
        "mitigate.weights.masks",
        "torch.where(flags, parameter,",
        "torch.where(~flags, parameter,",
        MASKS,
    ),
    Mutant(
        "unlearning learns",
        "mitigate.weights.localized",
        "sign = -1.0 if",
        "sign = 1.0 if",
        edits.check_the_contrastive_objective_by_hand,
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_the_checks_pass_as_things_are(check: Callable[[], None]):
    check()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.mistake)
def test_a_planted_mistake_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch):
    plant(mutant, monkeypatch)
    with pytest.raises(AssertionError):
        mutant.check()
