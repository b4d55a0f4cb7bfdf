"""Whether texts that must be learned, such as canaries, stand whole and with loss in some sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from remanence.core.table import BoolsT, IntsT
from remanence.jobs.preflight.sequences import CollatedSequence

State = Literal["whole", "masked", "partly masked", "split", "cut", "absent"]
MIN_TRACE = 0.25
"""Minimum fraction of a text at the edge of a sequence for the rest to count as cut off."""


class SecretStatus(NamedTuple):
    """What happens to one secret text."""

    number: int
    """Index in the list that was given; the text itself is not repeated."""
    state: State
    """whole = complete and learned in some sequence; masked = complete, but without loss; split = its parts end one
    sequence and begin another; cut = only a part stands at the edge of a sequence; absent = not found."""
    times: int
    """Number of sequences that contain it whole."""
    tokens: int
    """Number of its tokens, where it stands whole."""
    learned: int
    """How many of these carry loss, in the best sequence."""


def secret_statuses(
    secrets: Sequence[str], sequences: Sequence[CollatedSequence], tokenizer: Any
) -> list[SecretStatus]:
    """The status of each text, searched in the decoded sequences and, as text that is not learned, encoder sources."""
    pieces: list[tuple[IntsT, BoolsT]] = []
    for sequence in sequences:
        ends = np.cumsum(sequence.lengths)[:-1]
        pieces += zip(np.split(sequence.ids, ends), np.split(sequence.learned, ends), strict=True)
        if sequence.source is not None:
            pieces.append((sequence.source, np.zeros(sequence.source.size, np.bool_)))
    texts = [_decoded(tokenizer, ids) for ids, _ in pieces]
    return [_status(number, secret, pieces, texts, tokenizer) for number, secret in enumerate(secrets)]


def _status(
    number: int, secret: str, pieces: Sequence[tuple[IntsT, BoolsT]], texts: Sequence[str], tokenizer: Any
) -> SecretStatus:
    whole = [i for i, text in enumerate(texts) if secret in text]
    if not whole:
        return SecretStatus(number, _edges(secret, texts), 0, 0, 0)
    best = (0, 0)
    for i in whole:
        start, end = token_window(pieces[i][0], secret, tokenizer)
        best = max(best, (int(pieces[i][1][start:end].sum()), end - start))
        if best[0] == best[1]:
            break
    learned, tokens = best
    state: State = "whole" if learned == tokens else "partly masked" if learned else "masked"
    return SecretStatus(number, state, len(whole), tokens, learned)


def token_window(ids: IntsT, secret: str, tokenizer: Any) -> tuple[int, int]:
    """(start, end) of the fewest tokens whose text contains the secret, at its first occurrence."""
    low, high = 1, ids.size
    while low < high:  # the shortest beginning that contains it
        middle = (low + high) // 2
        low, high = (low, middle) if secret in _decoded(tokenizer, ids[:middle]) else (middle + 1, high)
    end = low
    low, high = 0, end - 1
    while low < high:  # the latest start that still contains it
        middle = (low + high + 1) // 2
        low, high = (middle, high) if secret in _decoded(tokenizer, ids[middle:end]) else (low, middle - 1)
    return low, end


def _edges(secret: str, texts: Sequence[str]) -> State:
    """split: a beginning of the secret ends one text and its exact rest begins another; cut: only a part at an edge."""
    ends = {k for k in range(1, len(secret)) if any(text.endswith(secret[:k]) for text in texts)}
    starts = {k for k in range(1, len(secret)) if any(text.startswith(secret[k:]) for text in texts)}
    enough = max(3, MIN_TRACE * len(secret))
    if any(max(k, len(secret) - k) >= enough for k in ends & starts):
        return "split"
    return "cut" if any(k >= enough for k in ends) or any(len(secret) - k >= enough for k in starts) else "absent"


def _decoded(tokenizer: Any, ids: IntsT) -> str:
    return tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False)
