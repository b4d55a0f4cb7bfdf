"""Side by side: the generated text with the words highlighted that it shares with training rows, and their passages.

Words of runs that are also in the prompt are marked as copied. Shared words are highlighted on both sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.report.words import KINDS, Line, plural
from remanence.text.covered import covered_by_other
from remanence.text.run_index import MIN_WORDS
from remanence.text.words import Words, words_of

LONGEST = ("own", "copied", "corpus")
"""Marks of the longest shared spans; of overlapping ones, the first is used."""

BESIDE = ("copied", "own", "both", "other", "passage")
"""Marks of a text shown beside its sources. `passage`: inside a match, but not in the training row."""

RUN = {"verbatim": 2}
"""Minimum number of consecutive shared words that are highlighted; 1 for paraphrases."""

_WHOSE = {"own": " with the prompted row", "both": " with the prompted row and with other rows"}


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text, and how they are marked."""

    start: int
    end: int
    mark: str


def cut(text: str, spans: Sequence[Span], rank: Sequence[str] = BESIDE) -> list[tuple[str, str]]:
    """The text split where a span begins or ends: (mark, piece), with the mark `plain` outside of spans.

    Of several marks on the same words, the first in `rank` is used.
    """
    inside = [Span(max(0, s.start), min(len(text), s.end), s.mark) for s in spans]
    cuts = sorted({0, len(text), *(c for s in inside if s.start < s.end for c in (s.start, s.end))})
    found: list[tuple[str, str]] = []
    for low, high in itertools.pairwise(cuts):
        marks = {s.mark for s in inside if s.start <= low and high <= s.end}
        mark = next((mark for mark in rank if mark in marks), "plain")
        if mark == "passage" and not any(char.isalnum() for char in text[low:high]):
            mark = "plain"  # punctuation between shared words
        found.append((mark, text[low:high]))
    return found


def shared_words(text: str, other: str, least: int, mark: str, shift: int = 0) -> list[Span]:
    """The spans of `text` in runs of at least `least` words that `other` also contains.

    `shift` is added to the positions, for a passage of a longer text.
    """
    words = words_of([text])
    covered = covered_by_other(words, words_of([other]), np.zeros(1, np.int64), least)
    return [Span(low + shift, high + shift, mark) for low, high in _stretches(words, covered)]


def _stretches(words: Words, covered: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end character of each run of covered words."""
    change = np.flatnonzero(np.diff(np.concatenate(([0], covered.view(np.int8), [0]))))
    lows, highs = words.starts[change[::2]].tolist(), words.ends[change[1::2] - 1].tolist()
    return list(zip(lows, highs, strict=True))


def count_words(text: str) -> int:
    """Words as the detector counts them."""
    return int(words_of([text]).keys.size)


class Pair(NamedTuple):
    """A text and the passages of training rows that it matches."""

    spans: list[Span]
    """Of the text."""
    starts: dict[int, int]
    """Start character of each match to its number, counted from 1; empty if there is only one match."""
    sources: list[tuple[Line, list[Span]]]
    """Each match in the order of the text, with the spans of its `record_text`."""


def pair(attempt: Line, matches: Sequence[Line]) -> Pair:
    """The detector's matches of an attempt for the side-by-side view; `matches` are its lines with a null `length`."""
    text, prompt = attempt["answer"] or "", attempt["prompt"] or ""
    inside = [m for m in matches if m["char_start"] is not None and m["kind"] != "idea"]
    spans = shared_words(text, prompt, MIN_WORDS, "copied") if prompt else []
    sources = list[tuple[Line, list[Span]]]()
    for match in sorted(inside, key=lambda m: m["char_start"]):
        start, end, record = match["char_start"], match["char_end"], match["record_text"] or ""
        least, whose = RUN.get(match["kind"], 1), str(match["whose"])
        shared = shared_words(text[start:end], record, least, whose, start)
        spans += [Span(start, end, "passage"), *shared]
        sources.append((match, shared_words(record, text[start:end], least, whose)))
    several = len(sources) > 1
    starts = {int(m["char_start"]): n for n, (m, _) in enumerate(sources, start=1)} if several else {}
    return Pair(spans, starts, sources + [(m, list[Span]()) for m in matches if m["kind"] == "idea"])


def source_title(match: Line, number: int | None) -> str:
    """Training row chat-0042, with the number of the match in the text."""
    return f"{f'{number} · ' if number else ''}Training row {match['train_id']}"


def source_facts(match: Line, group: str) -> list[str]:
    """Sentences about a match, for an attempt on a row of this group, without any of its words."""
    whose = _WHOSE.get(match["whose"], " with a row that was not prompted" if group == "train" else "")
    facts = [f"{KINDS[match['kind']]} match{whose}."]
    if match["bits"] is not None:
        words = plural(match["words"], "equal word" if match["kind"] == "verbatim" else "word")
        expected = (
            ""
            if match["e_value"] is None
            else f"; {_small(match['e_value'])} such matches are expected by chance (E-value)"
        )
        facts.append(f"{words}, {plural(round(match['bits']), 'bit')}{expected}.")
    if match["p_value"] is not None:
        beside = "rows with similar prompts" if match["kind"] == "idea" else "held-out texts of this length"
        facts.append(f"p = {_small(match['p_value'])}: the share of {beside} with at least as high a score.")
    return facts


def _small(value: float) -> str:
    return f"{value:.2g}" if value >= 0.0001 else f"{value:.0e}".replace("e-0", "e-")
