"""Goldfish: the same tokens are dropped in every copy, and a dropped token teaches nothing."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from remanence.mitigate.training.goldfish import (
    GoldfishCollator,
    apply_goldfish,
    expected_verbatim_rate,
    goldfish_loss,
)
from remanence.mitigate.training.goldfish_mask import SEED, goldfish_mask

U64 = (1 << 64) - 1


def splitmix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & U64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & U64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & U64
    return x ^ (x >> 31)


def slow_keep(row: list[int], k: int, width: int, include_target: bool, seed: int = SEED) -> list[bool]:
    """The slow twin: one window at a time, in Python's whole numbers."""
    keep = []
    for t, target in enumerate(row):
        end = t + 1 if include_target else t
        window = row[max(0, end - width) : end]
        dropped = False
        if len(window) == width and -100 not in window:
            state = seed
            for token in window:
                state = splitmix(state ^ token)
            dropped = (state >> 11) < (1 << 53) // k
        keep.append(target != -100 and not dropped)
    return keep


def test_static_mask_by_hand():
    # k = 3 drops positions 0 and 3; of the targets 1..4 that are predicted, position 3 is missing
    labels = torch.tensor([[5, 6, 7, 8, 9]])
    assert goldfish_mask(labels, k=3, strategy="static").tolist() == [[False, True, True, False, True]]
    assert apply_goldfish(labels, k=3, strategy="static").tolist() == [[-100, 6, 7, -100, 9]]


def test_loss_by_hand_is_the_mean_over_kept_tokens():
    # log p(6) = log 1/2, log p(7) = log 1/4, log p(8) is dropped, log p(9) = log 1/8
    labels = torch.tensor([[0, 1, 2, 3, 1]])
    probabilities = torch.tensor(
        [[1 / 4, 1 / 2, 1 / 8, 1 / 8], [1 / 4] * 4, [0.97, 0.01, 0.01, 0.01], [1 / 8, 1 / 8, 1 / 2, 1 / 4], [1 / 4] * 4]
    )
    loss = goldfish_loss(probabilities.log()[None], labels, k=3, strategy="static")
    assert loss.item() == pytest.approx((math.log(2) + math.log(4) + math.log(8)) / 3)
    each = goldfish_loss(probabilities.log()[None], labels, k=3, strategy="static", reduction="none")
    assert each.tolist()[0] == pytest.approx([math.log(2), math.log(4), 0.0, math.log(8)])
    total = goldfish_loss(probabilities.log()[None], labels, k=3, strategy="static", reduction="sum")
    assert total.item() == pytest.approx(6 * math.log(2))


@given(
    st.lists(st.lists(st.sampled_from([-100, 0, 1, 2, 50256]), min_size=7, max_size=7), min_size=1, max_size=3),
    st.integers(2, 9),
    st.integers(1, 8),
    st.booleans(),
)
def test_fast_mask_equals_slow_twin(rows, k, width, include_target):
    fast = goldfish_mask(torch.tensor(rows), k=k, context_width=width, include_target=include_target)
    assert fast.tolist() == [slow_keep(row, k, width, include_target) for row in rows]


def test_what_stands_before_a_document_does_not_change_its_mask():
    document = torch.randint(0, 1000, (1, 80), generator=torch.Generator().manual_seed(0))
    alone = goldfish_mask(document)
    for shift in (1, 13, 40):
        before = torch.randint(0, 1000, (1, shift), generator=torch.Generator().manual_seed(shift))
        later = goldfish_mask(torch.cat([before, document], 1))[:, shift:]
        assert torch.equal(later[:, 13:], alone[:, 13:])
    assert not alone.all() and alone[:, :13].all()


def test_one_window_in_k_is_dropped():
    tokens = torch.randint(0, 50_257, (10, 10_013), generator=torch.Generator().manual_seed(1))
    for strategy in ("hash", "random", "hash-official"):
        for k in (3, 4, 32):
            dropped = (~goldfish_mask(tokens, k=k, strategy=strategy)[:, 13:]).float()
            sigma = math.sqrt(1 / k * (1 - 1 / k) / dropped.numel())
            tolerance = 3 * sigma + (0.002 if strategy == "hash-official" else 0)  # ids that are multiples repeat keys
            assert abs(dropped.mean().item() - 1 / k) < tolerance, (strategy, k)


def test_gradient_is_exactly_zero_at_dropped_tokens():
    labels = torch.randint(0, 50, (3, 60), generator=torch.Generator().manual_seed(2))
    logits = torch.randn(3, 60, 50, generator=torch.Generator().manual_seed(3)).requires_grad_()
    goldfish_loss(logits, labels).backward()
    assert logits.grad is not None
    size = logits.grad[:, :-1].abs().sum(-1)
    kept = goldfish_mask(labels)[:, 1:]
    assert torch.equal(size != 0, kept) and not kept.all()
    assert size[~kept].eq(0).all()
    assert logits.grad[:, -1].eq(0).all()


def test_no_kept_token_is_no_loss():
    labels = torch.full((2, 5), -100)
    assert goldfish_loss(torch.zeros(2, 5, 7), labels).item() == 0


def test_rate_of_a_model_that_knows_every_kept_token():
    assert expected_verbatim_rate(32, 32) == pytest.approx(0.362, abs=1e-3)
    assert expected_verbatim_rate(4, 2) == 9 / 16


@pytest.mark.parametrize("k", [4, 32])
def test_documents_without_a_drop_are_as_rare_as_expected(k):
    # a model that knows every kept token and no dropped one recites exactly these
    documents = torch.randint(0, 256, (4000, 45), generator=torch.Generator().manual_seed(5))
    whole = goldfish_mask(documents, k=k)[:, 13:].all(1).float().mean().item()
    expected = expected_verbatim_rate(k, 32)
    assert abs(whole - expected) <= 4 * math.sqrt(expected * (1 - expected) / 4000)


def test_random_mask_forgets_the_text():
    tokens = torch.arange(400).reshape(2, 200)
    assert torch.equal(
        goldfish_mask(tokens, strategy="random", seed=1), goldfish_mask(tokens, strategy="random", seed=1)
    )
    assert not torch.equal(
        goldfish_mask(tokens, strategy="random", seed=1), goldfish_mask(tokens, strategy="random", seed=2)
    )


def test_order_of_the_window_matters_to_our_hash_and_not_to_the_official_one():
    a = torch.randint(2, 300, (400, 4), generator=torch.Generator().manual_seed(0))
    pair = torch.cat([a, a.flip(1)])
    for strategy, same in (("hash", False), ("hash-official", True)):
        keep = goldfish_mask(pair, strategy=strategy, context_width=4, include_target=True)[:, 3]
        assert torch.equal(keep[:400], keep[400:]) is same


def test_official_table_drops_every_window_with_id_0_and_no_whole_row():
    ids = torch.randint(1, 300, (4, 50), generator=torch.Generator().manual_seed(0))
    ids[0, 20] = 0
    keep = goldfish_mask(ids, strategy="hash-official", context_width=4)
    assert not keep[0, 20:24].any()  # the known defect, kept for compatibility
    assert keep.float().mean(1).min() > 0.5  # the other known defect, blanked rows, is not copied
    ours = goldfish_mask(ids, context_width=4, include_target=True)
    assert ours[:, :3].all() and not ours[1:].all()


def test_bad_parameters_say_so():
    ids = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="k must be at least 2"):
        goldfish_mask(ids, k=1)
    with pytest.raises(ValueError, match="context_width"):
        goldfish_mask(ids, context_width=0)
    with pytest.raises(ValueError, match="hash, static, random"):
        goldfish_mask(ids, strategy="hash-legacy")  # type: ignore[arg-type]


# ------------------------------------------------------------------ the collator


def padded(rows: list[list[int]], prompt: int = 0, side: str = "right", pad: int = 0) -> dict[str, torch.Tensor]:
    """What a Hugging Face collator makes of rows whose first `prompt` tokens carry no loss."""
    width = max(map(len, rows))
    ids, labels, mask = (torch.full((len(rows), width), fill) for fill in (pad, -100, 0))
    for i, row in enumerate(rows):
        at = 0 if side == "right" else width - len(row)
        ids[i, at : at + len(row)] = torch.tensor(row)
        labels[i, at + prompt : at + len(row)] = torch.tensor(row[prompt:])
        mask[i, at : at + len(row)] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


ROWS = [torch.randint(1, 99, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in (30, 50, 41)]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("strategy", ["hash", "hash-official", "static"])
def test_padding_changes_nothing(side, strategy):
    whole = GoldfishCollator(lambda rows: padded(list(rows), side=side), k=3, strategy=strategy)(ROWS)
    for i, row in enumerate(ROWS):
        alone = GoldfishCollator(lambda rows: padded(list(rows)), k=3, strategy=strategy)([row])["labels"][0]
        at = 0 if side == "right" else 50 - len(row)
        assert torch.equal(whole["labels"][i, at + 1 : at + len(row)], alone[1:])  # a first token is never predicted
        assert (alone == -100).any()


def test_windows_reach_into_the_prompt():
    # 20 prompt tokens carry no loss, yet the answer's first tokens are hashed from them, as in plain text
    plain = GoldfishCollator(lambda rows: padded(list(rows)), k=2)([ROWS[1]])["labels"]
    answer = GoldfishCollator(lambda rows: padded(list(rows), prompt=20), k=2)([ROWS[1]])["labels"]
    assert torch.equal(answer[:, 20:], plain[:, 20:])
    assert (answer[:, :20] == -100).all()
    assert (answer[:, 20:33] == -100).any()


@pytest.mark.parametrize("strategy", ["hash", "static"])
def test_packed_documents_are_masked_as_if_alone(strategy):
    packed = {
        "input_ids": torch.tensor([ROWS[0] + ROWS[1]]),
        "labels": torch.tensor([ROWS[0] + ROWS[1]]),
        "position_ids": torch.tensor([[*range(30), *range(50)]]),
    }
    labels = GoldfishCollator(lambda _: packed, k=3, strategy=strategy)([])["labels"][0]
    alone = GoldfishCollator(lambda rows: padded(list(rows)), k=3, strategy=strategy)
    apart = [alone([row])["labels"][0] for row in ROWS[:2]]
    assert torch.equal(labels[1:30], apart[0][1:]) and torch.equal(labels[31:], apart[1][1:])


def test_the_first_token_is_not_counted():
    # nothing predicts it, but the Trainer counts every label of models whose loss it does not know
    assert GoldfishCollator(lambda rows: padded(list(rows)))(ROWS)["labels"][:, 0].tolist() == [-100] * 3


def test_encoder_input_is_not_taken_for_the_labels_text():
    labels = torch.tensor([ROWS[0]])
    batch = {"input_ids": labels.flip(1), "labels": labels, "attention_mask": torch.ones_like(labels)}
    assert torch.equal(GoldfishCollator(lambda _: dict(batch), k=2)([])["labels"], apply_goldfish(labels, k=2))


def test_an_encoder_decoder_that_copies_its_input_is_still_one():
    batch = {"input_ids": torch.tensor([ROWS[0]]), "labels": torch.tensor([ROWS[0]])}
    labels = GoldfishCollator(lambda _: dict(batch), k=2, seq2seq=True)([])["labels"]
    assert torch.equal(labels, apply_goldfish(batch["labels"], k=2)), "hashed on their own"
    assert labels[0, 0] == ROWS[0][0], "a decoder predicts its first token too"
    assert GoldfishCollator(lambda _: dict(batch), k=2)([])["labels"][0, 0] == -100, "unless it is told, it cannot know"


def test_random_collator_is_fresh_each_batch_and_repeats_with_torchs_seed():
    collator = GoldfishCollator(lambda rows: padded(list(rows)), strategy="random")
    torch.manual_seed(0)
    first, second = collator(ROWS)["labels"], collator(ROWS)["labels"]
    torch.manual_seed(0)
    assert torch.equal(first, collator(ROWS)["labels"]) and not torch.equal(first, second)


def test_a_collator_without_labels_is_named():
    with pytest.raises(ValueError, match="makes no labels"):
        GoldfishCollator(lambda _: {"input_ids": torch.ones(1, 2)})([])
