"""Surprisal of each word of a text under a language model, such as the base model.

A word's bits are those of all tokens that hold some of its characters: -log2 p(token | prompt and tokens before it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.table import Rendered, TokenRow
from remanence.models.huggingface import HuggingFace
from remanence.text.words import Words

CONTEXT = 2048
"""Tokens read of a text and its prompt where the model sets no limit."""


def word_bits(target: HuggingFace, texts: Sequence[str], prompts: Sequence[str], words: Words) -> NDArray[np.float64]:
    """[W] bits of each word of `words_of(texts)`, given the prompt and all that stands before it.

    0 where the model could not read the word: beyond its context, or with nothing before it to predict it from. Of a
    long prompt the end is read. Raises `RemanenceError` for a tokenizer that does not say which characters its tokens
    hold.
    """
    if not getattr(target.tokenizer, "is_fast", False):
        raise RemanenceError(
            f"{target.name} has a tokenizer that does not say where its tokens stand, so its surprisals cannot be "
            "given to words: take --background corpus."
        )
    context = int(getattr(target.module.config, "max_position_embeddings", None) or CONTEXT)
    inputs = [_rendered(target, text, prompt, context) for text, prompt in zip(texts, prompts, strict=True)]
    rows = target.score_rendered([row for row, _ in inputs], ["logprob"])
    bits = np.zeros(words.keys.size)
    for i, (row, (_, places)) in enumerate(zip(rows, inputs, strict=True)):
        here = slice(int(words.offsets[i]), int(words.offsets[i + 1]))
        if isinstance(row, TokenRow) and places.size:
            surprisal = -row.columns["logprob"][-len(places) :].astype(np.float64) / np.log(2)
            bits[here] = _spread(np.nan_to_num(surprisal), places, words.starts[here], words.ends[here])
    return bits


def _rendered(target: HuggingFace, text: str, prompt: str, context: int) -> tuple[Rendered | str, NDArray[np.int64]]:
    """The text after its prompt, and the characters [K, 2] of its tokens."""
    cut: Any = target.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    places = np.array(cut["offset_mapping"], np.int64).reshape(-1, 2)[:context]
    ids = np.array(cut["input_ids"], np.int32)[:context]
    given = np.array(target.tokenizer(prompt)["input_ids"] if prompt else [], np.int32)
    ends = [i for i in (target.tokenizer.eos_token_id,) if i is not None]
    if target.family == "seq2seq":
        source = given if given.size else np.array(ends or [0], np.int32)
        return (Rendered(ids, np.ones(ids.size, bool), source[-context:]) if ids.size else "empty"), places
    if given.size and int(given[-1]) in ends:
        given = given[:-1]  # a tokenizer that ends every text
    start = target.tokenizer.bos_token_id
    if not given.size and start is not None:
        given = np.array([start], np.int32)
    given = given[given.size - min(given.size, context - ids.size) :]
    whole = np.concatenate([given, ids]).astype(np.int32)
    scored = np.arange(whole.size) >= given.size
    if not scored[1:].any():
        return "nothing to predict", places
    return Rendered(whole, scored), places


def _spread(bits: NDArray[np.float64], places: NDArray[np.int64], starts: Any, ends: Any) -> NDArray[np.float64]:
    """[W] the sum of the bits [K] of the tokens that begin before the word's end and end behind its start."""
    sums = np.concatenate(([0.0], np.cumsum(bits)))
    first = np.searchsorted(places[:, 1], starts, side="right")
    last = np.searchsorted(places[:, 0], ends, side="left")
    return np.maximum(0.0, sums[np.maximum(first, last)] - sums[first])
