"""Span corruption: a text with some spans cut out, and the spans in order; what T5 learned to fill in.

Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
arXiv 1910.10683, section 3.1.4 (15 % of the tokens, in spans of 3 on average). The k-th span is marked by the k-th
sentinel on both sides, and one more sentinel ends the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError


def corrupted(
    ids: Sequence[int], sentinels: Sequence[int], density: float = 0.15, span: float = 3.0, seed: int = 0
) -> tuple[list[int], list[int]]:
    """(what the encoder reads, what the decoder says) of a text of at least 2 tokens.

    ValueError for a shorter one, and where there are fewer sentinels than spans + 1.
    """
    if len(ids) < 2:
        raise ValueError(f"a text of {len(ids)} tokens has no span to cut out and keep the rest")
    cut = noise_mask(len(ids), density, span, np.random.default_rng(seed))
    starts = cut & ~np.concatenate(([False], cut[:-1]))
    if int(starts.sum()) >= len(sentinels):
        raise ValueError(f"{int(starts.sum())} spans need one sentinel more than that, and there are {len(sentinels)}")
    source: list[int] = []
    said: list[int] = []
    number = 0
    for token, out, first in zip(ids, cut.tolist(), starts.tolist(), strict=True):
        if first:
            source.append(sentinels[number])
            said.append(sentinels[number])
            number += 1
        (said if out else source).append(token)
    return source, [*said, sentinels[number]]


def noise_mask(length: int, density: float, span: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[length] True where a token is cut out: round(density x length) of them in round(that / span) spans, at random.

    At least one token is cut out and one is left. Kept and cut stretches alternate, the first is kept.
    """
    cut = min(max(1, round(length * density)), length - 1)
    spans = min(max(1, round(cut / span)), cut, length - cut)
    lengths = np.stack((_parts(length - cut, spans, rng), _parts(cut, spans, rng)), axis=1).ravel()
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths)


def sentinel_ids(tokenizer: Any, name: str) -> list[int]:
    """Ids of <extra_id_0>, <extra_id_1>, ... Raises `RemanenceError` for a tokenizer without them."""
    known = {} if tokenizer is None else tokenizer.get_vocab()
    found: list[int] = []
    while f"<extra_id_{len(found)}>" in known:
        found.append(known[f"<extra_id_{len(found)}>"])
    if len(found) < 2:
        raise RemanenceError(
            f"{name} has no sentinel tokens (<extra_id_0>, ...), so it never learned to fill in spans: CIT takes an "
            "encoder-decoder like T5, or a decoder-only model."
        )
    return found


def _parts(total: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[count] positive whole numbers that add up to `total`, all such splits alike."""
    cuts = np.sort(rng.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(np.concatenate(([0], cuts, [total])))
