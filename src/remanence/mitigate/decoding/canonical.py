"""Canonical tokens: the ids of a text after normalising its case, white space and Unicode form.

Ippolito et al. 2023 (arXiv 2210.17546) evade a filter of token n-grams by changing case, spacing or tokenization. A
filter of canonical n-grams blocks these changes; other words, however similar, still pass.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from remanence.core.table import IntsT


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
