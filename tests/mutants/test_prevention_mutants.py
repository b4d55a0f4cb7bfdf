"""Mistakes planted into the mitigations before and during training: the check made for each must notice."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import prevention
from test_mutants import Mutant, plant

CHECKS = [check for name, check in vars(prevention).items() if name.startswith("check_")]
DP = prevention.check_no_row_teaches_more_than_its_share
EPSILON = prevention.check_epsilon_by_hand
FISH = prevention.check_a_goldfish_hashes_what_stands_before_the_target
KEPT = prevention.check_the_epoch_that_is_kept
TWINS = prevention.check_one_row_of_a_cluster_stays
CIT = prevention.check_a_document_is_predicted_from_what_stands_before

MUTANTS = [
    Mutant(
        "the batch is clipped, not its rows", "mitigate.training.dp_sgd", "g_BP.norm(dim=1)", "g_BP.norm()[None]", DP
    ),
    Mutant("gradients are stretched to C", "mitigate.training.dp_sgd", ".clamp(max=1)[:, None]", "[:, None]", DP),
    Mutant(
        "the sum is divided by who came",
        "mitigate.training.dp_sgd",
        "+ noise) / expected_batch",
        "+ noise) / max(1, len(g_BP))",
        DP,
    ),
    Mutant("noise forgets the clipping norm", "mitigate.training.dp_sgd", "(sigma * C) if sigma", "sigma if sigma", DP),
    Mutant(
        "long rows weigh more",
        "training.private",
        "found.tokens_B.clamp(min=1)",
        "found.tokens_B.max()",
        prevention.check_every_row_of_a_loss_counts_alike,
    ),
    Mutant("epsilon forgets log a", "stats.privacy", "(math.log(delta) + np.log(a))", "math.log(delta)", EPSILON),
    Mutant(
        "orders are not divided by a - 1", "stats.privacy", "/ (a - 1) for a in orders", "/ a for a in orders", EPSILON
    ),
    Mutant(
        "the sum loses its binomials",
        "stats.privacy",
        "_log_sum(choose + (a - i)",
        "_log_sum(0 * choose + (a - i)",
        EPSILON,
    ),
    Mutant(
        "windows hold the target",
        "mitigate.training.goldfish_mask",
        "lag = 0 if include_target else 1",
        "lag = 0",
        FISH,
    ),
    Mutant(
        "windows are one too wide",
        "mitigate.training.goldfish_mask",
        "range(lag + width - 1, lag - 1, -1)",
        "range(lag + width, lag - 1, -1)",
        FISH,
    ),
    Mutant("every copy stays", "mitigate.training.deduplicate", "if first[place] == place]", "if True]", TWINS),
    Mutant(
        "near copies pass for exact ones", "mitigate.training.deduplicate", "if exact[place] == stays", "if True", TWINS
    ),
    Mutant("chains are cut", "text.duplicates", "parent[high] = low", "parent[other] = one", TWINS),
    Mutant(
        "the largest allowed rate is ignored",
        "mitigate.training.early_stopping",
        "if one.extraction <= max_extraction_rate]",
        "if True]",
        KEPT,
    ),
    Mutant("one epoch is patience enough", "mitigate.training.early_stopping", ">= patience", ">= 1", KEPT),
    Mutant(
        "documents are scored one off",
        "mitigate.training.cit",
        "token_nll(logits_BTV[:, :-1], labels)",
        "token_nll(logits_BTV[:, 1:], labels)",
        CIT,
    ),
    Mutant("answers count as documents", "mitigate.training.cit", "(learned.cumsum(1) == 0) &", "", CIT),
    Mutant("the hinge looks the wrong way", "mitigate.training.cit", "torch.relu(-gap)", "torch.relu(gap)", CIT),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_the_checks_pass_as_things_are(check: Callable[[], None]):
    check()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.mistake)
def test_a_planted_mistake_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch):
    plant(mutant, monkeypatch)
    with pytest.raises(AssertionError):
        mutant.check()
