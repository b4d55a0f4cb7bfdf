"""Canonical n-grams: the same words cut into other tokens, set in capitals or spaced otherwise are the same words.

Ippolito et al. 2023 (arXiv 2210.17546) get around a filter of token n-grams by such changes; this closes the ones
that normalising closes. Other words, however close, still pass.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from remanence.core.table import IntsT
from remanence.mitigate.decoding.memfree import MemFreeLogitsProcessor
from remanence.mitigate.decoding.ngram_bloom import NGramBloom

LOOK_BACK = 4
"""How many times n tokens of the answer so far are read again at every step."""


def canonical(text: str) -> str:
    """NFKC, folded case, single spaces, none at the ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def canonical_ids(tokenizer: Any, ids: Sequence[int]) -> IntsT:
    """Decode, normalise, encode again. Special tokens are left out."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return np.asarray(tokenizer(canonical(text), add_special_tokens=False, verbose=False)["input_ids"], np.int32)


def new_ngrams(before: IntsT, after: IntsT, n: int) -> IntsT:
    """[M, n] the n-grams of `after` that do not stand in `before`."""
    known = {tuple(before[i : i + n].tolist()) for i in range(before.size - n + 1)}
    found = [tuple(after[i : i + n].tolist()) for i in range(after.size - n + 1)]
    return np.asarray([gram for gram in found if gram not in known], np.int32).reshape(-1, n)


class CanonicalLogitsProcessor(MemFreeLogitsProcessor):
    """Bans what MemFree bans, and every token after which the text holds a protected canonical n-gram that is new.

    Reading a text anew for each of V tokens would be too slow, so the `candidates` most likely ones are tried and all
    others banned: greedy decoding is exact as long as one of them may be said, and sampling is top-k sampling.
    """

    def __init__(
        self,
        bloom: NGramBloom,
        canon: NGramBloom,
        tokenizer: Any,
        eos_token_id: int | Sequence[int] | None = None,
        candidates: int = 50,
    ) -> None:
        super().__init__(bloom, eos_token_id)
        self.canon, self.tokenizer, self.candidates = canon, tokenizer, candidates

    def allowed(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores [B, V] with -inf at what may not be said."""
        scores = super().allowed(input_ids, scores)
        kept = torch.full_like(scores, -torch.inf)
        best = scores.topk(min(self.candidates, scores.shape[1]), dim=1)
        for row, tokens in enumerate(best.indices.tolist()):
            past = input_ids[row, -LOOK_BACK * self.canon.n :].tolist()
            before = canonical_ids(self.tokenizer, past)
            for token in tokens:
                if not torch.isneginf(scores[row, token]) and self.may_follow(past, before, token):
                    kept[row, token] = scores[row, token]
        return kept

    def may_follow(self, past: list[int], before: IntsT, token: int) -> bool:
        """Whether the text with this token has no new protected n-gram; `before` is the text without it."""
        fresh = new_ngrams(before, canonical_ids(self.tokenizer, [*past, token]), self.canon.n)
        return not (fresh.size and bool(self.canon.contains(fresh).any()))
