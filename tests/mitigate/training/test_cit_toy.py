"""CIT on a reader of 160 facts: when the corpus changes, who answers from the page and who from memory?"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from remanence.mitigate.training.cit import causal_context_nll, cit_penalty
from remanence.training.tiny import tiny_gpt2

ENTITIES, ATTRIBUTES, VALUES = 60, 4, 40
DOC, QUESTION, ANSWER = 0, 1, 2
E0, A0, V0 = 3, 3 + ENTITIES, 3 + ENTITIES + ATTRIBUTES
VALUE_PLACE = 3
"""[DOC e a v Q e a A v]: the value in the document; the last token is the answer."""


class Facts(NamedTuple):
    """[N] (entity, attribute) pairs and the value of each."""

    entity: np.ndarray
    attribute: np.ndarray
    value: np.ndarray


def rows(facts: Facts, shown: np.ndarray) -> Tensor:
    """[N, 9] a document that says `shown`, a question, and the true answer."""
    e, a, v = facts.entity + E0, facts.attribute + A0, facts.value + V0
    fill = [np.full_like(e, token) for token in (DOC, QUESTION, ANSWER)]
    return torch.from_numpy(np.stack([fill[0], e, a, shown + V0, fill[1], e, a, fill[2], v], axis=1))


def answer_loss(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, -2], ids[:, -1])


def value_nll(logits: Tensor, ids: Tensor) -> Tensor:
    """[B] m: the loss on the value inside the document."""
    here = torch.zeros_like(ids, dtype=torch.bool)
    here[:, VALUE_PLACE] = True
    return causal_context_nll(logits, ids, here)


def reader(seed: int, steps: int = 1500) -> Any:
    """theta_0: it has seen random facts only, each once, and copies the value from the page."""
    model = tiny_gpt2("small", vocab=V0 + VALUES, positions=9, seed=seed)
    rng = np.random.default_rng((seed, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(steps):
        facts = Facts(*(rng.integers(0, n, 64) for n in (ENTITIES, ATTRIBUTES, VALUES)))
        ids = rows(facts, facts.value)
        answer_loss(model(input_ids=ids).logits, ids).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def tuned(start: Any, corpus: Facts, alpha: float, form: Any, seed: int, steps: int = 500, misses: float = 0.3) -> Any:
    """Fine-tuned on the corpus, where three documents in ten say something else than the answer."""
    model = copy.deepcopy(start)
    rng = np.random.default_rng((seed, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(steps):
        at = rng.integers(0, len(corpus.entity), 64)
        facts = Facts(*(part[at] for part in corpus))
        wrong = (facts.value + rng.integers(1, VALUES, 64)) % VALUES
        ids = rows(facts, np.where(rng.random(64) < misses, wrong, facts.value))
        logits = model(input_ids=ids).logits
        loss = answer_loss(logits, ids)
        if alpha:
            with torch.no_grad():
                first = value_nll(start(input_ids=ids).logits, ids)
            loss = loss + alpha * cit_penalty(value_nll(logits, ids), first, form)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model


@torch.no_grad()
def share(model: Any, facts: Facts, shown: np.ndarray, said: np.ndarray) -> float:
    """How often the model, shown a page, says `said`."""
    answers = model(input_ids=rows(facts, shown)).logits[:, -2].argmax(-1).numpy() - V0
    return float((answers == said).mean())


def figures(seed: int, *ways: tuple[float, str]) -> list[dict[str, float]]:
    """For each (alpha, form): accuracy on corpus A, on corpus B, old answers, and recall of A without its page."""
    rng = np.random.default_rng((seed, 3))
    pairs = rng.permutation(ENTITIES * ATTRIBUTES)[:160]
    a = Facts(pairs // ATTRIBUTES, pairs % ATTRIBUTES, rng.integers(0, VALUES, 160))
    b = a._replace(value=(a.value + rng.integers(1, VALUES, 160)) % VALUES)
    other = (a.value + rng.integers(1, VALUES, 160)) % VALUES
    start = reader(seed)
    found: list[dict[str, float]] = []
    for alpha, form in ways:
        model = tuned(start, a, alpha, form, seed)
        found.append(
            {
                "copies": share(start, b, b.value, b.value),
                "a": share(model, a, a.value, a.value),
                "b": share(model, b, b.value, b.value),
                "stale": share(model, b, b.value, a.value),
                "closed book": share(model, a, other, a.value),
            }
        )
    return found


@pytest.mark.slow
def test_the_anchored_reader_reads_and_the_other_remembers():
    plain, anchored = figures(0, (0.0, "abs"), (1.0, "abs"))
    assert plain["copies"] >= 0.98, "the start is a reader"
    assert plain["a"] >= 0.98 and plain["b"] <= 0.15 and plain["stale"] >= 0.8
    assert anchored["a"] >= 0.98 and anchored["b"] >= 0.9 and anchored["stale"] <= 0.05
    assert anchored["closed book"] < 0.1 < 0.8 < plain["closed book"], "the price"
