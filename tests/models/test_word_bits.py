"""A model's surprisal of whole words, against its log-probabilities token by token."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from remanence.core.errors import RemanenceError
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model
from remanence.models.word_bits import word_bits
from remanence.text.words import words_of

TEXT, PROMPT = "Anna Berg paid, at noon: 30 euros", "the cat sat"


def target_of(folder: Path) -> HuggingFace:
    loaded = load_model(folder)
    return HuggingFace(loaded.model, loaded.tokenizer, None, "tiny", "x", loaded.family)


def by_hand(target: HuggingFace, text: str, prompt: str) -> list[float]:
    """One forward pass, every token by itself, and every word by a plain loop over its characters."""
    cut: Any = target.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    given, ids = target.tokenizer(prompt)["input_ids"], cut["input_ids"]
    with torch.inference_mode():
        if target.family == "causal":
            logits = target.module(input_ids=torch.tensor([given + ids])).logits[0, len(given) - 1 : -1]
        else:
            start = [target._decoder_start(), *ids[:-1]]
            logits = target.module(
                input_ids=torch.tensor([given]), decoder_input_ids=torch.tensor([start])
            ).logits[0]  # fmt: skip
    logp = logits.double().log_softmax(-1)[range(len(ids)), ids].tolist()
    words = words_of([text])
    found: list[float] = []
    for low, high in zip(words.starts.tolist(), words.ends.tolist(), strict=True):
        inside = [k for k, (a, b) in enumerate(cut["offset_mapping"]) if a < high and b > low]
        found.append(sum(-logp[k] / math.log(2) for k in inside))
    return found


@pytest.mark.parametrize("kind", ["tiny_llama", "tiny_gpt2", "tiny_t5"])
def test_bits_of_words_are_those_of_their_tokens(kind: str, request: pytest.FixtureRequest):
    target = target_of(request.getfixturevalue(kind))
    texts, prompts = [TEXT, "noon", "Anna Berg"], [PROMPT, PROMPT, "user says hello"]
    found = word_bits(target, texts, prompts, words_of(texts))
    wanted = [bits for text, prompt in zip(texts, prompts, strict=True) for bits in by_hand(target, text, prompt)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_read_is_worth_nothing(tiny_gpt2: Path):
    target = target_of(tiny_gpt2)
    long = " ".join(["noon"] * 400)
    words = words_of([long, "", "!!!"])
    found = word_bits(target, [long, "", "!!!"], ["", "", "x"], words)
    assert found[0] == 0 or target.tokenizer.bos_token_id is not None
    assert (found[1:20] > 0).all() and found[-1] == 0 and found.size == 400


def test_a_tokenizer_without_places_is_refused(tiny_gpt2: Path):
    target = target_of(tiny_gpt2)

    class Slow:
        is_fast = False

    target.tokenizer = Slow()
    with pytest.raises(RemanenceError, match="--background corpus"):
        word_bits(target, ["a"], [""], words_of(["a"]))
