"""Checks of the mitigations before and during training, each a small proof with numbers, as in `oracles`."""

from __future__ import annotations

import math

import torch


def check_no_row_teaches_more_than_its_share() -> None:
    from remanence.mitigate.training.dp_sgd import private_gradient

    # (3, 4) is cut to (0.6, 0.8); (0, 0.5) stays; two rows were expected
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.5]])
    found = private_gradient(rows, C=1, sigma=0, expected_batch=2)
    assert torch.allclose(found, torch.tensor([0.3, 0.65]))
    alone = private_gradient(rows[:1], C=1, sigma=0, expected_batch=2)
    assert torch.allclose(alone, torch.tensor([0.3, 0.4])), "the batch that was expected, not the one that came"
    noise = private_gradient(torch.zeros(0, 20_000), 0.5, 3, 10, torch.Generator().manual_seed(0))
    assert abs(float(noise.std()) - 0.15) < 0.01


def check_epsilon_by_hand() -> None:
    from remanence.stats.privacy import rdp, rdp_epsilon

    assert math.isclose(rdp(0.5, 1, [2])[0], math.log(1 + (math.e - 1) / 4))
    assert math.isclose(rdp(0.5, 1, [2.0000001])[0], rdp(0.5, 1, [2])[0], rel_tol=1e-5)
    assert math.isclose(rdp_epsilon(1, 2, 10, 1e-3, orders=[2]), 2.5 + math.log(250))


@torch.no_grad()
def check_every_row_of_a_loss_counts_alike() -> None:
    from remanence.training.private import row_losses
    from remanence.training.rows import Row, pad_rows
    from remanence.training.tiny import tiny_gpt2

    model = tiny_gpt2("small", vocab=16).eval()
    rows = [Row([3, 4, 5], [3, 4, 5]), Row(list(range(12)), list(range(12)))]
    together = row_losses(model, pad_rows(rows, 0))
    alone = [float(model(input_ids=torch.tensor([r.input_ids]), labels=torch.tensor([r.labels])).loss) for r in rows]
    assert torch.allclose(together, torch.tensor(alone), atol=1e-5)


def check_one_row_of_a_cluster_stays() -> None:
    from remanence.core.record import Record
    from remanence.mitigate.training.deduplicate import deduplicated

    words = [f"w{i}" for i in range(28)]
    texts = [" ".join(words[:20]), "other", " ".join(words[:20]).upper(), " ".join(words[:24]), " ".join(words)]
    found = deduplicated([Record(str(i), text=text) for i, text in enumerate(texts)])
    assert [r.id for r in found.kept] == ["0", "1"]
    assert [tuple(r) for r in found.removed] == [("2", "0", "exact"), ("3", "0", "near"), ("4", "0", "near")]


def check_a_goldfish_hashes_what_stands_before_the_target() -> None:
    from remanence.mitigate.training.goldfish_mask import goldfish_mask

    ids = torch.randint(0, 99, (40, 20), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 19] += 100
    assert torch.equal(goldfish_mask(ids, k=2)[:, 19], goldfish_mask(changed, k=2)[:, 19]), "not the target itself"
    changed = ids.clone()
    changed[:, 18] += 100
    assert not torch.equal(goldfish_mask(ids, k=2)[:, 19], goldfish_mask(changed, k=2)[:, 19]), "the token before it"
    changed = ids.clone()
    changed[:, 5] += 100
    assert torch.equal(goldfish_mask(ids, k=2)[:, 19], goldfish_mask(changed, k=2)[:, 19]), "13 tokens back, not 14"
    changed[:, 6] += 100
    assert not torch.equal(goldfish_mask(ids, k=2)[:, 19], goldfish_mask(changed, k=2)[:, 19])


def check_the_epoch_that_is_kept() -> None:
    from remanence.mitigate.training.early_stopping import Evaluation, best_evaluation, reason_to_stop

    at = [Evaluation(0, 0.0, 4.0), Evaluation(1, 0.0, 3.0), Evaluation(2, 0.01, 2.0), Evaluation(3, 0.05, 1.5)]
    assert best_evaluation(at, 0.01).epoch == 2
    assert reason_to_stop(at[:3], 0.01, 2) is None and reason_to_stop(at, 0.01, 2) is not None
    risen = [*at[:2], Evaluation(2, 0.0, 3.1)]
    assert reason_to_stop(risen, 0.01, 2) is None
    assert reason_to_stop([*risen, Evaluation(3, 0.0, 3.2)], 0.01, 2) is not None


def check_a_document_is_predicted_from_what_stands_before() -> None:
    from remanence.mitigate.training.cit import causal_context_nll, cit_penalty, context_of

    p = torch.tensor([[[1 / 4, 1 / 2, 1 / 8, 1 / 8], [1 / 4] * 4, [0.1, 0.1, 0.1, 0.7], [1 / 4] * 4]])
    ids = torch.tensor([[0, 1, 2, 3]])
    batch = {"input_ids": ids, "attention_mask": ids * 0 + 1, "labels": torch.tensor([[-100, -100, -100, 3]])}
    found = causal_context_nll(p.log(), ids, context_of(batch))
    assert abs(float(found) - (math.log(2) + math.log(4)) / 2) < 1e-6
    two = torch.tensor([2.0, 5.0]), torch.tensor([3.0, 2.0])
    assert [float(cit_penalty(*two, form)) for form in ("abs", "hinge", "squared")] == [2.0, 0.5, 5.0]
