"""The evidence for one row: what the model was asked and said, with the recovered span marked.

Unless the user asked to reveal it, no training text leaves this file, only its shape: the length of each word.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from remanence.report.audit import Audit
from remanence.report.words import Line, plural

TAIL = 80
"""Words of a hidden prompt whose shape is drawn; of what stands before, only the count is told."""

_WHY = {
    "table": "asked because the token table says it comes back",
    "near": "asked because it nearly comes back",
    "asked": "asked because every row was asked",
}


def evidence(audit: Audit, *, reveal: bool) -> list[dict[str, Any] | None]:
    """One object per row of the ranking, in its order; None where nothing was asked."""
    attempts = audit.attempts()
    matches = audit.matches(list(attempts))

    def said(number: int | None) -> dict[str, Any] | None:
        attempt = attempts.get(number) if number is not None else None
        return None if attempt is None else _said(attempt, matches.get(number or 0, []), reveal)

    found: list[dict[str, Any] | None] = []
    for line in audit.ranking:
        shown = next((attempts[n] for n in (line["attempt"], line["base_attempt"]) if n in attempts), None)
        found.append(
            None
            if shown is None
            else {
                "prompt": _text(shown["prompt"], reveal, tail=TAIL),
                "tuned": said(line["attempt"]),
                "base": said(line["base_attempt"]),
                "expected": _text(shown["expected"], reveal),
                "how": _how(shown),
            }
        )
    return found


def pieces(text: str, matches: Sequence[Line]) -> list[tuple[str, str]]:
    """The text cut where a span begins or ends: (kind, piece) with kind plain, own, corpus or copied.

    A span of the row's own text wins over the same words in another row; `copied` stood in the prompt already.
    """
    spans = [
        (max(0, m["char_start"]), min(len(text), m["char_end"]), "copied" if m["in_prompt"] else str(m["whose"]))
        for m in matches
        if m["char_start"] is not None and m["char_end"] is not None
    ]
    cuts = sorted({0, len(text), *(c for low, high, _ in spans if low < high for c in (low, high))})
    found: list[tuple[str, str]] = []
    for low, high in itertools.pairwise(cuts):
        kinds = {kind for start, end, kind in spans if start <= low and high <= end}
        kind = next((k for k in ("own", "copied", "corpus") if k in kinds), "plain")
        found.append((kind, text[low:high]))
    return found


def shape(text: str) -> list[int]:
    """Length of each word in characters: all that is told of hidden text."""
    return [len(word) for word in text.split()]


def size(text: str) -> str:
    """12 words, 61 characters."""
    return f"{plural(len(text.split()), 'word')}, {plural(len(text), 'character')}"


def _text(text: str | None, reveal: bool, matches: Sequence[Line] = (), tail: int | None = None) -> dict[str, Any]:
    """Text for the page: pieces of [kind, words] when revealed, of [kind, word lengths] when hidden."""
    text = text or ""
    if reveal:
        return {"size": size(text), "pieces": [[kind, piece] for kind, piece in pieces(text, matches)]}
    hidden = [[kind, shape(piece)] for kind, piece in pieces(text, matches)]
    before = max(0, len(text.split()) - tail) if tail is not None else 0
    if before:
        hidden = [["plain", shape(text)[before:]]]
    return {"size": size(text), "pieces": hidden, "before": before}


def _said(attempt: Line, matches: Sequence[Line], reveal: bool) -> dict[str, Any]:
    return {**_text(attempt["answer"], reveal, matches), "exact": attempt["exact"], "facts": _facts(attempt, matches)}


def _facts(attempt: Line, matches: Sequence[Line]) -> list[str]:
    """Sentences about an answer, without any of its words."""
    facts = [
        f"All {plural(attempt['new_tokens'], 'token')} are the row's own."
        if attempt["exact"]
        else f"The first {attempt['shared_prefix']} of {plural(attempt['new_tokens'], 'token')} are the row's own."
    ]
    longest_own = max((m["length"] for m in matches if m["whose"] == "own"), default=0)
    for match in matches:
        same_row = match["train_row"] == attempt["row"] and attempt["group"] == "train"
        if match["whose"] == "own":
            told, whose = attempt["exact"] and not match["in_prompt"], "the rest of this row"
        else:
            told = same_row and match["length"] <= longest_own
            whose = "all of this row" if same_row else f"training row {match['train_id']}"
        if told or not match["length"]:
            continue
        fact = f"Longest span shared with {whose}: {plural(match['length'], 'token')}"
        facts.append(f"{fact}, but it already stood in the prompt." if match["in_prompt"] else f"{fact}.")
    if attempt["recheck"] == "agrees":
        facts.append("A close call: asked again alone in full precision, with the same result.")
    elif attempt["recheck"] == "overturned":
        facts.append("A close call: asked again alone in full precision, and it did not come back.")
    return facts


def _how(attempt: Line) -> str:
    given = plural(attempt["prefix_tokens"], "token")
    how = "greedy" if attempt["scheme"] == "greedy" else f"sampled with {attempt['scheme']}, seed {attempt['seed']}"
    why = f"; {_WHY[attempt['why']]}" if attempt["why"] in _WHY else ""
    return f"{given} of the row given, {plural(attempt['new_tokens'], 'token')} asked for, {how}{why}."
