"""Texts that must be learned whole, such as canaries: does any sequence hold each of them, and with loss on it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from remanence.core.table import BoolsT, IntsT
from remanence.jobs.preflight.fed import Fed

State = Literal["whole", "masked", "partly masked", "split", "cut", "absent"]
TRACE = 0.25
"""Share of a text that must stand at the edge of a sequence to say that the rest was cut off."""


class SecretFate(NamedTuple):
    """What becomes of one text."""

    number: int
    """Its place in the list that was given; the text itself is not repeated."""
    state: State
    """whole = somewhere whole and learned; masked = whole, but without loss; split = its parts end one sequence and
    begin another; cut = only a part stands at the edge of a sequence; absent = nowhere."""
    times: int
    """In how many sequences it stands whole."""
    tokens: int
    """Tokens it takes up, where it stands whole."""
    learned: int
    """Of these, how many carry loss, at best."""


def secret_fates(secrets: Sequence[str], sequences: Sequence[Fed], tokenizer: Any) -> list[SecretFate]:
    """The fate of each text, read in the decoded sequences (an encoder's source is read too, and is never learned)."""
    pieces: list[tuple[IntsT, BoolsT]] = []
    for one in sequences:
        ends = np.cumsum(one.lengths)[:-1]
        pieces += zip(np.split(one.ids, ends), np.split(one.learned, ends), strict=True)
        if one.source is not None:
            pieces.append((one.source, np.zeros(one.source.size, np.bool_)))
    texts = [_decoded(tokenizer, ids) for ids, _ in pieces]
    return [_fate(number, secret, pieces, texts, tokenizer) for number, secret in enumerate(secrets)]


def _fate(
    number: int, secret: str, pieces: Sequence[tuple[IntsT, BoolsT]], texts: Sequence[str], tokenizer: Any
) -> SecretFate:
    whole = [i for i, text in enumerate(texts) if secret in text]
    if not whole:
        return SecretFate(number, _edges(secret, texts), 0, 0, 0)
    best = (0, 0)
    for i in whole:
        start, end = token_window(pieces[i][0], secret, tokenizer)
        best = max(best, (int(pieces[i][1][start:end].sum()), end - start))
        if best[0] == best[1]:
            break
    learned, tokens = best
    state: State = "whole" if learned == tokens else "partly masked" if learned else "masked"
    return SecretFate(number, state, len(whole), tokens, learned)


def token_window(ids: IntsT, secret: str, tokenizer: Any) -> tuple[int, int]:
    """(start, end) of the fewest tokens whose text holds the secret, of its first place in the sequence."""
    low, high = 1, ids.size
    while low < high:  # the fewest first tokens that hold it
        middle = (low + high) // 2
        low, high = (low, middle) if secret in _decoded(tokenizer, ids[:middle]) else (middle + 1, high)
    end = low
    low, high = 0, end - 1
    while low < high:  # the latest start that still holds it
        middle = (low + high + 1) // 2
        low, high = (middle, high) if secret in _decoded(tokenizer, ids[middle:end]) else (low, middle - 1)
    return low, end


def _edges(secret: str, texts: Sequence[str]) -> State:
    """split where a beginning ends one text and its very rest begins another; cut where only a part is at an edge."""
    ends = {k for k in range(1, len(secret)) if any(text.endswith(secret[:k]) for text in texts)}
    starts = {k for k in range(1, len(secret)) if any(text.startswith(secret[k:]) for text in texts)}
    enough = max(3, TRACE * len(secret))
    if any(max(k, len(secret) - k) >= enough for k in ends & starts):
        return "split"
    return "cut" if any(k >= enough for k in ends) or any(len(secret) - k >= enough for k in starts) else "absent"


def _decoded(tokenizer: Any, ids: IntsT) -> str:
    return tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False)
