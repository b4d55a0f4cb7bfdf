"""Canonical MemFree: capitals, spaces and other cuts of the same words do not get around the filter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import tiny_models

from remanence.core.record import Record
from remanence.mitigate.decoding.canonical import canonical, canonical_ids, new_ngrams
from remanence.mitigate.decoding.memfree import CanonicalLogitsProcessor, MemFree, MemFreeLogitsProcessor
from remanence.mitigate.decoding.ngram_bloom import NGramBloom
from remanence.models.huggingface import HuggingFace
from remanence.models.render import Renderer

TEXT = "Anna Berg called at noon on 12 May about invoice 4471"
N = 4


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_models.make_tokenizer()


def guards(tokenizer: Any) -> tuple[MemFreeLogitsProcessor, CanonicalLogitsProcessor]:
    """MemFree on tokens, and on canonical tokens too, both of the one text."""
    ids = tokenizer(TEXT)["input_ids"]
    bloom, canon = NGramBloom(N, 100, fp_rate=1e-6), NGramBloom(N, 100, fp_rate=1e-6)
    bloom.add(ids)
    canon.add(canonical_ids(tokenizer, ids))
    return MemFreeLogitsProcessor(bloom, 2), CanonicalLogitsProcessor(bloom, canon, tokenizer, 2, candidates=5)


def stopped(processor: MemFreeLogitsProcessor, ids: list[int], size: int, given: int = 1) -> int | None:
    """The first token of a text that a model sure of every next token may not say; None = it says all of it."""
    for at in range(given, len(ids)):
        scores = torch.zeros(1, size)
        scores[0, ids[at]] = 9.0
        if int(processor(torch.tensor([ids[:at]]), scores).argmax()) != ids[at]:
            return at
    return None


def test_normalising_by_hand():
    assert canonical(" Ａnna\u00a0 BERG\n") == "anna berg"
    assert new_ngrams(np.array([1, 2, 3]), np.array([1, 2, 3, 4]), 2).tolist() == [[3, 4]]
    assert new_ngrams(np.array([1]), np.array([1]), 2).shape == (0, 2)


@pytest.mark.parametrize("way", ["as it is", "capitals", "spaces", "one byte at a time"])
def test_ways_around_the_filter(tokenizer: Any, way: str):
    words = {"capitals": TEXT.upper(), "spaces": TEXT.replace(" ", "  ")}.get(way, TEXT)
    ids = list(tokenizer(words)["input_ids"])
    if way == "one byte at a time":
        pieces = tokenizer.convert_ids_to_tokens(ids)
        ids = [tokenizer.convert_tokens_to_ids(letter) for piece in pieces for letter in piece]
    assert tokenizer.decode(ids) == words
    plain, canon = guards(tokenizer)
    assert (stopped(plain, ids, len(tokenizer)) is None) == (way != "as it is")
    assert stopped(canon, ids, len(tokenizer)) is not None


def test_innocent_text_passes(tokenizer: Any):
    ids = list(tokenizer("the patient came on Monday and went home")["input_ids"])
    assert stopped(guards(tokenizer)[1], ids, len(tokenizer)) is None


def test_what_stands_in_the_prompt_is_nobodys_secret(tokenizer: Any):
    ids = list(tokenizer(TEXT.upper())["input_ids"])
    after = list(tokenizer(" and went home")["input_ids"])
    assert stopped(guards(tokenizer)[1], [*ids, *after], len(tokenizer), given=len(ids)) is None


def test_only_the_likeliest_are_tried(tokenizer: Any):
    scores = torch.arange(len(tokenizer), dtype=torch.float)[None]
    kept = guards(tokenizer)[1](torch.tensor([[7]]), scores)
    assert int((~torch.isneginf(kept)).sum()) == 5 and int(kept.argmax()) == len(tokenizer) - 1


def test_as_a_mitigation(tokenizer: Any):
    model = tiny_models.make_model("gpt2", tokenizer).requires_grad_(False)
    target = HuggingFace(model, tokenizer, Renderer(tokenizer), "tiny", "f00d")
    records = [Record("a", text=TEXT)]
    plain, canon = MemFree(n=N)(target, records), MemFree(n=N, canonical=True)(target, records)
    assert plain.fingerprint != canon.fingerprint and canon.name == "tiny+memfree"
    ids = torch.tensor([tokenizer("the cat")["input_ids"]])
    module: Any = canon.module
    said = module.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, pad_token_id=2)
    assert said.shape[1] > ids.shape[1]
