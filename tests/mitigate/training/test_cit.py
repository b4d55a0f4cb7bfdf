"""CIT: the documents stay as likely as they were, measured by the same question before and after."""

from __future__ import annotations

import copy
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.mitigate.training.cit import (
    CIT,
    CITLoss,
    causal_context_nll,
    cit_penalty,
    context_of,
    span_corruption_nll,
)
from remanence.mitigate.training.goldfish import Goldfish
from remanence.mitigate.training.span_corruption import corrupted, noise_mask, sentinel_ids
from remanence.models.huggingface import HuggingFace
from remanence.training.from_base import training_rows
from remanence.training.rows import pad_rows
from remanence.training.settings import TrainingSettings


def test_the_penalty_by_hand():
    # the first document became 1 nat more likely, the second 3 nats less
    m, m0 = torch.tensor([2.0, 5.0]), torch.tensor([3.0, 2.0])
    assert cit_penalty(m, m0, "abs").item() == 2.0
    assert cit_penalty(m, m0, "hinge").item() == 0.5, "only what became more likely"
    assert cit_penalty(m, m0, "squared").item() == 5.0
    for form in ("abs", "hinge", "squared"):
        at = m0.clone().requires_grad_()
        value = cit_penalty(at, m0, form)
        value.backward()
        assert value.item() == 0 and at.grad is not None and at.grad.abs().sum().item() == 0, "nothing at the start"


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=1, max_size=6))
def test_the_hinge_is_never_above_the_absolute_form_and_order_does_not_matter(pairs: list[tuple[float, float]]):
    m, m0 = torch.tensor(pairs, dtype=torch.float64).T
    assert cit_penalty(m, m0, "hinge") <= cit_penalty(m, m0, "abs")
    assert cit_penalty(m.flip(0), m0.flip(0)).item() == pytest.approx(cit_penalty(m, m0).item())


def test_the_loss_on_a_document_by_hand():
    # document 0 1 2, answer 3: log p(1) = log 1/2 and log p(2) = log 1/4; the answer does not count
    p = torch.tensor([[[1 / 4, 1 / 2, 1 / 8, 1 / 8], [1 / 4] * 4, [0.1, 0.1, 0.1, 0.7], [1 / 4] * 4]])
    batch = {
        "input_ids": torch.tensor([[0, 1, 2, 3]]),
        "attention_mask": torch.ones(1, 4, dtype=torch.long),
        "labels": torch.tensor([[-100, -100, -100, 3]]),
    }
    assert context_of(batch).tolist() == [[True, True, True, False]]
    found = causal_context_nll(p.log(), batch["input_ids"], context_of(batch))
    assert found.tolist() == pytest.approx([(math.log(2) + math.log(4)) / 2])
    whole = {**batch, "labels": batch["input_ids"]}
    assert not context_of(whole).any(), "a text has no document"
    padded = {**batch, "attention_mask": torch.tensor([[1, 1, 0, 0]]), "labels": torch.full((1, 4), -100)}
    assert not context_of(padded).any(), "nor has a row of which nothing is learned"


def test_spans_by_hand():
    # 10 tokens, half of them cut out in 2 spans: every token is on one side, marks stand in order on both
    source, said = corrupted(list(range(10, 20)), [90, 91, 92], density=0.5, span=2.5, seed=0)
    marks = [t for t in source if t >= 90], [t for t in said if t >= 90]
    assert marks == ([90, 91], [90, 91, 92]) and said[-1] == 92
    assert sorted(t for t in (*source, *said) if t < 90) == list(range(10, 20))
    assert len([t for t in said if t < 90]) == 5
    filled: list[int] = []
    for token in source:
        at = said.index(token) if token >= 90 else 0
        filled += [token] if token < 90 else said[at + 1 : said.index(token + 1)]
    assert filled == list(range(10, 20)), "filling the spans in gives the text"
    with pytest.raises(ValueError, match="2 spans need one sentinel more"):
        corrupted(list(range(10)), [90, 91], density=0.5, span=2.5)
    with pytest.raises(ValueError, match="1 tokens"):
        corrupted([1], [90, 91])


@given(st.integers(2, 300), st.floats(0.01, 0.99), st.floats(1, 9), st.integers(0, 5))
def test_any_text_loses_as_much_as_asked_and_never_all(length: int, density: float, span: float, seed: int):
    cut = noise_mask(length, density, span, np.random.default_rng(seed))
    assert cut.shape == (length,) and not cut[0] and cut[-1]
    assert cut.sum() == min(max(1, round(length * density)), length - 1)


# ---------------------------------------------------------------- with models

RECORDS = [
    Record(str(i), prompt=f"Doctor {name} came on day {i} and saw the patient. Who came?", completion=f" {name}")
    for i, name in enumerate(("Lind", "Berg", "Holm", "Falk"))
]


FINE = TrainingSettings()


def target(kind: str) -> HuggingFace:
    tokenizer = tiny_models.make_tokenizer(appends_eos=kind == "t5")
    if kind == "t5":
        tokenizer.add_tokens([f"<extra_id_{i}>" for i in range(9)], special_tokens=True)
    family = "seq2seq" if kind == "t5" else "causal"
    return HuggingFace(tiny_models.make_model(kind, tokenizer), tokenizer, lambda r: None, kind, "f00d", family)


def drift(before: HuggingFace, after: HuggingFace) -> float:
    """Mean |m - m0| over the documents, asked anew of both models."""
    sentinels = sentinel_ids(before.tokenizer, "t5") if before.family == "seq2seq" else ()
    batch = pad_rows(training_rows(before, RECORDS, FINE), 0)
    loss = CITLoss(1.0, "abs", sentinels)
    with torch.no_grad():
        first, last = (loss.context_nll(model.module.eval(), batch)[0] for model in (before, after))
    return cit_penalty(last, first).item()


FEW: dict[str, Any] = {"training": TrainingSettings(epochs=15, learning_rate=2e-3, batch_size=4)}


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_documents_drift_less_with_the_anchor_and_the_base_is_left_alone(kind: str):
    base = target(kind)
    before = copy.deepcopy(base.module.state_dict())
    loose, held = CIT(alpha=0, **FEW)(base, RECORDS), CIT(alpha=2, **FEW)(base, RECORDS)
    assert held.name == f"{kind}+cit"
    assert all(torch.equal(v, before[k]) for k, v in base.module.state_dict().items())
    assert drift(base, held) < 0.5 * drift(base, loose)
    assert drift(base, base) == 0


def test_no_weight_is_plain_tuning_step_for_step():
    base = target("llama")  # which has no dropout in its config's defaults
    plain = Goldfish(k=10**9, **FEW)(base, RECORDS)  # drops no token
    assert CIT(alpha=0, **FEW)(base, RECORDS).fingerprint == plain.fingerprint
    assert CIT(alpha=1, **FEW)(base, RECORDS).fingerprint != plain.fingerprint


def test_what_was_remembered_is_what_the_model_says_now():
    base = target("llama")
    rows = training_rows(base, RECORDS, FINE)
    loss = CITLoss()
    for row in rows:
        loss.remember(base.module, pad_rows([row], 0))
    assert len(loss.reference) == 4
    assert loss.penalty(base.module.eval(), pad_rows(rows, 0)).item() < 1e-5, "alone or in company, to rounding"
    with pytest.raises(KeyError):
        CITLoss().penalty(base.module, pad_rows(rows, 0))
    empty = pad_rows(training_rows(base, [Record("x", text="no document here")], FINE), 0)
    assert CITLoss().penalty(base.module, empty).item() == 0


def test_a_passage_is_always_asked_about_the_same_spans():
    base = target("t5")
    passages = [base.tokenizer(r.prompt)["input_ids"] for r in RECORDS]
    marks = sentinel_ids(base.tokenizer, "t5")
    with torch.no_grad():
        together = span_corruption_nll(base.module.eval(), passages, marks)
        alone = torch.cat([span_corruption_nll(base.module, [p], marks) for p in passages[::-1]])
    assert torch.allclose(together, alone.flip(0), atol=1e-5)


def test_an_encoder_decoder_without_sentinels_is_refused():
    tokenizer = tiny_models.make_tokenizer(appends_eos=True)
    plain = HuggingFace(tiny_models.make_model("bart", tokenizer), tokenizer, lambda r: None, "bart", "x", "seq2seq")
    with pytest.raises(RemanenceError, match="no sentinel tokens"):
        CIT()(plain, RECORDS)
