"""The token span of a secret in its row, which is well defined only where tokenization is reversible.

A row is usable when decoding its tokens gives its text, and when the secret has the same tokens inside the row as alone
(with or without a space before it): then no token crosses the edge of the secret, and exactly the secret is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import IntsT, Rendered
from remanence.core.target import ReadsText
from remanence.jobs.canaries.shape import fields_of


class Span(NamedTuple):
    """Tokens `start : end` of a rendered row."""

    start: int
    end: int


def ids_alone(target: ReadsText, text: str) -> IntsT:
    """[K] the tokens of a text by itself, without any that the tokenizer puts around it."""
    tokenizer: Any = getattr(target, "tokenizer", None)
    if tokenizer is not None:
        return np.asarray(tokenizer(text=text, add_special_tokens=False, verbose=False)["input_ids"], np.int32)
    ids = target.render(Record("", text=text)).ids
    said = np.flatnonzero([bool(target.decode(ids[i : i + 1])) for i in range(ids.size)])
    return ids[said[0] : said[-1] + 1] if said.size else ids[:0]


def secret_span(target: ReadsText, rendered: Rendered, secret: str) -> Span:
    """Where the secret's own tokens stand last in the row. Raises `NotMeasured` where they do not."""
    for alone in (ids_alone(target, " " + secret), ids_alone(target, secret)):
        size = alone.size
        if not size or size > rendered.ids.size:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(rendered.ids, size)
        found = np.flatnonzero((windows == alone).all(axis=1))
        found = found[[bool(rendered.scored[at : at + size].all()) for at in found]]
        if found.size:
            return Span(int(found[-1]), int(found[-1]) + size)
    if rendered.num_truncated:
        raise NotMeasured("truncation cut the secret")
    raise NotMeasured("the tokenizer splits the secret differently inside the row than alone")


def is_reversible(target: ReadsText, record: Record) -> bool:
    """Whether decoding the tokens of every field gives the field again (white space at its ends aside)."""
    return all(_same(target.decode(ids_alone(target, text)), text) for _, text in fields_of(record) if text.strip())


def is_plain(text: str) -> bool:
    """Whether a text has only printable characters: no control, private or replacement characters."""
    return all(c == "\n" or (c.isprintable() and c != "\ufffd") for c in text)


def tail(target: ReadsText, text: str, tokens: int) -> str | None:
    """The last words of a text that make at least so many tokens; None when they would be all of it.

    Where nothing stands between words, as in Chinese, the last characters.
    """
    space = " " if " " in text else ""
    starts = [i + 1 for i, c in enumerate(text) if c == " "] or list(range(1, len(text)))
    for start in reversed(starts):
        if ids_alone(target, space + text[start:]).size >= tokens:
            return text[start:]
    return None


def first_difference(one: Sequence[int] | IntsT, other: Sequence[int] | IntsT) -> int:
    """Index of the first difference of two token sequences."""
    both = min(len(one), len(other))
    unlike = np.flatnonzero(np.asarray(one[:both]) != np.asarray(other[:both]))
    return int(unlike[0]) if unlike.size else both


def _same(one: str, other: str) -> bool:
    return one.strip() == other.strip()
