"""MemFree never completes a protected n-gram, and changes nothing else."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.core.target import Prompt
from remanence.corpora.markov import MarkovText
from remanence.mitigate.decoding.memfree import MemFree, MemFreeLogitsProcessor, ban_protected
from remanence.mitigate.decoding.ngram_bloom import NGramBloom
from remanence.models.parrot import Parrot
from remanence.training.tiny import tiny_gpt2, train_lm


def bloom_of(n: int, *texts: list[int]) -> NGramBloom:
    bloom = NGramBloom(n, capacity=1000, fp_rate=1e-6)
    bloom.add_corpus(texts)
    return bloom


def test_one_step_by_hand():
    # "1 2 3" is protected: after 1 2 the token 3 is out, after 2 1 it is not
    scores = torch.zeros(2, 5)
    after = ban_protected(torch.tensor([[1, 2], [2, 1]]), scores, bloom_of(3, [1, 2, 3]))
    assert torch.isneginf(after).tolist() == [[False, False, False, True, False], [False] * 5]
    assert not scores.any()  # the scores given are left alone


def test_each_row_has_its_own_history():
    after = ban_protected(torch.tensor([[9, 1], [9, 2], [1, 9]]), torch.zeros(3, 4), bloom_of(2, [1, 0], [2, 3]))
    assert torch.isneginf(after).nonzero().tolist() == [[0, 0], [1, 3]]


def test_says_end_of_text_when_everything_is_banned():
    bloom = bloom_of(2, *[[1, v] for v in range(4)])
    after = MemFreeLogitsProcessor(bloom, 2)(torch.tensor([[1]]), torch.zeros(1, 4))
    assert after.argmax() == 2 and torch.isneginf(after).sum() == 3
    with pytest.raises(RemanenceError, match="end-of-text"):
        MemFreeLogitsProcessor(bloom)(torch.tensor([[1]]), torch.zeros(1, 4))


@torch.no_grad()
def test_sampling_equals_enumeration():
    model = tiny_gpt2("small", vocab=6, seed=1).eval()  # a head of its own: tied weights would repeat the last token
    head = torch.nn.Linear(64, 6, bias=False)
    torch.nn.init.normal_(head.weight, std=0.07, generator=torch.Generator().manual_seed(0))
    model.set_output_embeddings(head)
    protected = [[0, 1, 2], [3, 0, 4], [4, 4, 4], [2, 5, 0], [0, 5, 5], [3, 0, 1]]
    grams = set(map(tuple, protected))
    exact = {}
    answers = list(itertools.product(range(6), repeat=3))
    logits = model(input_ids=torch.tensor([[3, 0, *answer] for answer in answers])).logits[:, 1:4]
    for answer, distributions in zip(answers, logits.softmax(-1), strict=True):
        row, exact[answer] = [3, 0], 1.0
        for token, distribution in zip(answer, distributions, strict=True):
            allowed = distribution * torch.tensor([(*row[-2:], v) not in grams for v in range(6)])
            exact[answer] *= float(allowed[token] / allowed.sum())
            row.append(token)
    assert sum(exact.values()) == pytest.approx(1, abs=1e-5)
    n = 4_000
    torch.manual_seed(0)
    said = model.generate(
        torch.tensor([[3, 0]]).expand(n, 2),
        attention_mask=torch.ones(n, 2),
        max_new_tokens=3,
        do_sample=True,
        top_k=0,
        pad_token_id=0,
        logits_processor=[MemFreeLogitsProcessor(bloom_of(3, *protected))],
    )[:, 2:]
    counts = Counter(map(tuple, said.tolist()))
    assert all(exact[answer] > 0 for answer in counts)
    assert max(exact.values()) < 0.2 and min(p for p in exact.values() if p) < 0.01  # neither certain nor uniform
    often = [a for a, p in exact.items() if p * n >= 5]
    seen = [counts[a] for a in often] + [n - sum(counts[a] for a in often)]
    due = [exact[a] * n for a in often] + [n - sum(exact[a] * n for a in often)]
    if due[-1] < 1:
        seen, due = seen[:-1], [d * sum(seen[:-1]) / sum(due[:-1]) for d in due[:-1]]
    assert stats.chisquare(seen, due).pvalue > 0.01


# ------------------------------------------------------------- a model that recites

TEXT = MarkovText(vocab=64, seed=0, reserved=1)
ROWS = TEXT.sample(16, 44, rng=1)


@pytest.fixture(scope="module")
def reciter():
    """A model that knows 16 documents by heart."""
    model = tiny_gpt2("small", vocab=64, seed=0)
    train_lm(model, [torch.from_numpy(ROWS)] * 80, lr=1e-2, warmup=10)
    return model


def say(model, prompts: np.ndarray, new: int, bloom: NGramBloom | None, **how) -> np.ndarray:
    ids = torch.from_numpy(prompts)
    guards = [] if bloom is None else [MemFreeLogitsProcessor(bloom, 0)]
    return model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, pad_token_id=0, logits_processor=guards, **how
    ).numpy()


def copied(said: np.ndarray, n: int, given: int) -> int:
    """Protected n-grams that end in the answer, counted with a Python set."""
    grams = {tuple(row[i : i + n]) for row in ROWS.tolist() for i in range(len(row) - n + 1)}
    return sum(tuple(row[i : i + n]) in grams for row in said.tolist() for i in range(given - n + 1, len(row) - n + 1))


def test_no_protected_ngram_in_10_000_tokens(reciter):
    bloom = NGramBloom(6, capacity=2000)
    bloom.add_corpus(ROWS)
    prompts = np.concatenate([ROWS[:, s : s + 16] for s in range(9)])
    free, tokens = say(reciter, prompts[:16], 28, None), 0
    assert copied(free, 6, 16) > 200  # unguarded, the model recites
    for how in ({}, {"do_sample": True, "top_k": 0}):  # 2 x 144 answers of 40 tokens
        torch.manual_seed(0)
        said = say(reciter, prompts, 40, bloom, **how)
        tokens += said[:, 16:].size
        assert copied(said, 6, 16) == 0
    assert tokens >= 10_000


def test_no_protected_ngram_with_beams(reciter):
    bloom = NGramBloom(4, capacity=2000)
    bloom.add_corpus(ROWS)
    assert copied(say(reciter, ROWS[:, :12], 30, bloom, num_beams=3), 4, 12) == 0


def test_an_ngram_that_begins_in_the_prompt_is_stopped(reciter):
    bloom = NGramBloom(6, capacity=2000)
    bloom.add_corpus(ROWS)
    free, guarded = say(reciter, ROWS[:, :16], 1, None), say(reciter, ROWS[:, :16], 1, bloom)
    knows = free[:, 16] == ROWS[:, 16]
    assert knows.mean() > 0.8
    assert (guarded[:, 16] != ROWS[:, 16]).all()


def test_an_empty_filter_changes_nothing(reciter):
    assert np.array_equal(say(reciter, ROWS[:, :9], 20, NGramBloom(6, 1)), say(reciter, ROWS[:, :9], 20, None))


# ------------------------------------------------------------- the mitigation


class Digits:
    """A tokenizer that reads numbers."""

    pad_token_id, eos_token_id = 0, 0

    def decode(self, ids, **_):
        return " ".join(map(str, ids))


def target_of(model):
    from remanence.models.huggingface import HuggingFace

    def render(record):
        ids = np.array([*map(int, record.text.split()), 0], np.int32)
        return Rendered(ids, np.ones(ids.size, bool))

    return HuggingFace(model, Digits(), render, "reciter", "f00d")


RECORDS = [Record(str(i), text=" ".join(map(str, row))) for i, row in enumerate(ROWS.tolist())]


def test_mitigation_guards_generation_and_leaves_scores_and_the_original_alone(reciter):
    target = target_of(reciter)
    guarded = MemFree(n=6)(target, RECORDS)
    prompts = [
        Prompt(r.id, row[:16].astype(np.int32), row[16:40].astype(np.int32))
        for r, row in zip(RECORDS, ROWS, strict=True)
    ]

    def hits(t):
        return sum(np.array_equal(a.ids, p.expected) for a, p in zip(t.generate(prompts, 24), prompts, strict=True))

    before = hits(target)
    assert before >= 12 and hits(guarded) == 0 and hits(target) == before
    plain, other = (next(iter(t.score(RECORDS[:1], ["logprob"]))) for t in (target, guarded))
    assert np.array_equal(plain.columns["logprob"], other.columns["logprob"], equal_nan=True)
    assert guarded.name == "reciter+memfree" and guarded.fingerprint != target.fingerprint


def test_two_guards_both_hold(reciter):
    twice = MemFree(n=6)(MemFree(n=6)(target_of(reciter), RECORDS[:8]), RECORDS[8:])
    prompts = [Prompt("", row[:16].astype(np.int32), row[16:17].astype(np.int32)) for row in ROWS]
    assert not any(np.array_equal(a.ids, p.expected) for a, p in zip(twice.generate(prompts, 1), prompts, strict=True))


def test_a_target_that_cannot_be_opened_is_refused():
    with pytest.raises(RemanenceError, match="parrot cannot be opened"):
        MemFree()(Parrot(), [])
