"""Sentence splitting by rules, without a model and independent of the language.

A sentence ends after full stops, question or exclamation marks (and the quotes and brackets that close behind them)
before white space, after the full stops of Chinese and Japanese at once, and at an empty line. Abbreviations are not
known: two short sentences where a reader sees one cost an aligner less than one long sentence where there are two.
"""

from __future__ import annotations

import re

SENTENCES = "sentences-1"
"""Name of these rules; whoever keeps spans writes it down beside them. Changed rules get another name."""

_CLOSING = r"[\"'”’»）)\]}」』]*+"
_STOP = ".!?…؟।॥։።"
_END = re.compile(  # a run of stops is looked at once, from its first: ten thousand dots cost no more than ten
    rf"(?<![{_STOP}])[{_STOP}]++{_CLOSING}(?=\s)"  # scripts that put a space behind the stop
    rf"|[。！？｡]++{_CLOSING}"  # those that do not
    r"|\n[^\S\n]*+\n"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Spans [start, end) of the sentences in characters, without the white space around them; none is empty."""
    spans: list[tuple[int, int]] = []
    begin = 0
    for match in _END.finditer(text):
        begin = _add(spans, text, begin, match.end())
    _add(spans, text, begin, len(text))
    return spans


def _add(spans: list[tuple[int, int]], text: str, begin: int, end: int) -> int:
    sentence = text[begin:end]
    length = len(sentence.strip())
    if length:
        start = begin + len(sentence) - len(sentence.lstrip())
        spans.append((start, start + length))
    return end
