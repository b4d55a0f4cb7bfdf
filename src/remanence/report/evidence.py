"""The evidence for one row: the prompt and the generated text, with the extracted spans marked.

Without `reveal`, training text is replaced by its shape: the length of each word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remanence.report.audit import Audit
from remanence.report.passages import BESIDE, LONGEST, Span, count_words, cut, pair, source_facts, source_title
from remanence.report.words import Line, plural

_TITLES = {"tuned": "Text of the fine-tuned model, compared with all training rows",
         "base": "Text of the base model, compared with all training rows"}  # fmt: skip

_WORDS = {"prompt": "from the prompt", "common": "of common phrases", "own": "of the prompted row",
          "both": "of that row and another", "other": "of training rows", "new": "new"}  # fmt: skip

TAIL = 80
"""Number of words of a hidden prompt whose shape is drawn; the words before them are only counted."""

_WHY = {
    "table": "prompted because the token table predicts extraction",
    "near": "prompted because the token table predicts near extraction",
    "asked": "prompted because every row was prompted",
}


def evidence(audit: Audit, rows: Sequence[Line], *, reveal: bool) -> list[dict[str, Any] | None]:
    """One object per row of the ranking, in order; None for a row that was not prompted."""
    attempts = audit.attempts(n for line in rows for n in (line["attempt"], line["base_attempt"]))
    matches = audit.matches(attempts)

    def answer(number: int | None) -> dict[str, Any] | None:
        attempt = attempts.get(number) if number is not None else None
        return None if attempt is None else _answer(attempt, _longest(matches.get(number or 0, [])), reveal)

    objects: list[dict[str, Any] | None] = []
    for line in rows:
        numbers = [n for n in (line["attempt"], line["base_attempt"]) if n in attempts]
        shown = attempts[numbers[0]] if numbers else None
        objects.append(
            None
            if shown is None
            else {
                "prompt": _text(shown["prompt"], reveal, tail=TAIL),
                "tuned": answer(line["attempt"]),
                "base": answer(line["base_attempt"]),
                "expected": _text(shown["expected"], reveal),
                "how": _how(shown),
                "pairs": [
                    _side_by_side(_TITLES[attempts[n]["target"]], attempts[n], matches[n], reveal)
                    for n in numbers
                    if any(m["length"] is None for m in matches.get(n, []))
                ],
            }
        )
    return objects


def text_evidence(audit: Audit, numbers: Sequence[int], *, reveal: bool) -> list[dict[str, Any] | None]:
    """One object per text of a match: its prompt, its words, and the passages of training rows beside them."""
    attempts = audit.attempts(numbers)
    matches = audit.matches(numbers)
    origins = {line["attempt"]: line for line in audit.origins}
    objects: list[dict[str, Any] | None] = []
    for number in numbers:
        attempt = attempts[number]
        beside = _side_by_side("The text", attempt, matches.get(number, []), reveal)
        beside["facts"] = _origin_facts(origins[number])
        prompt = _text(attempt["prompt"], reveal, tail=TAIL) if attempt["prompt"] else None
        objects.append({"prompt": prompt, "pairs": [beside]})
    return objects


def _side_by_side(title: str, attempt: Line, matches: Sequence[Line], reveal: bool) -> dict[str, Any]:
    beside = pair(attempt, [m for m in matches if m["length"] is None])
    sources: list[dict[str, Any]] = []
    for number, (match, spans) in enumerate(beside.sources, start=1):
        text = match["record_text"]
        shown = {"size": "", "pieces": []} if text is None else _counted(text, spans, reveal)
        several = number if beside.starts and text is not None else None
        sources.append({"title": source_title(match, several), "facts": source_facts(match, attempt["group"]), **shown})
    shown = _counted(attempt["answer"] or "", beside.spans, reveal, beside.starts)
    return {"title": title, **shown, "facts": [], "sources": sources}


def _counted(text: str, spans: Sequence[Span], reveal: bool, starts: Mapping[int, int] | None = None) -> dict[str, Any]:
    return {**_cut(text, spans, reveal, BESIDE, starts), "size": size(text, count_words(text))}


def _longest(matches: Sequence[Line]) -> list[Line]:
    """The longest shared spans, in tokens, without the matches of the detector."""
    return [m for m in matches if m["length"] is not None]


def pieces(text: str, matches: Sequence[Line]) -> list[tuple[str, str]]:
    """The text cut where a longest span begins or ends: (kind, piece) with kind plain, own, corpus or copied.

    A span of the row's own text takes precedence over the same words in another row; `copied` is already in the prompt.
    """
    return cut(text, _spans(matches), LONGEST)


def _spans(matches: Sequence[Line]) -> list[Span]:
    return [
        Span(m["char_start"], m["char_end"], "copied" if m["in_prompt"] else str(m["whose"]))
        for m in matches
        if m["char_start"] is not None and m["char_end"] is not None
    ]


def shape(text: str) -> list[int]:
    """Length of each word in characters: all that is told of hidden text."""
    return [len(word) for word in text.split()]


def size(text: str, num_words: int | None = None) -> str:
    """12 words, 61 characters. Words are separated by spaces, unless `num_words` is given."""
    return f"{plural(len(text.split()) if num_words is None else num_words, 'word')}, {plural(len(text), 'character')}"


def _text(text: str | None, reveal: bool, matches: Sequence[Line] = (), tail: int | None = None) -> dict[str, Any]:
    """Text for the page with its longest spans; the first words of a hidden text may be left out."""
    text = text or ""
    shown = _cut(text, _spans(matches), reveal, LONGEST)
    before = 0 if reveal or tail is None else max(0, len(text.split()) - tail)
    return {**shown, "pieces": [["plain", shape(text)[before:]]], "before": before} if before else shown


def _cut(
    text: str, spans: Sequence[Span], reveal: bool, rank: Sequence[str], starts: Mapping[int, int] | None = None
) -> dict[str, Any]:
    """Text for the page: pieces of [kind, words] when revealed, of [kind, word lengths] when hidden.

    A piece that begins at a position in `starts` has its number as third part.
    """
    shown: list[list[Any]] = []
    place = 0
    for kind, piece in cut(text, spans, rank):
        number = (starts or {}).get(place)
        shown.append([kind, piece if reveal else shape(piece), *([number] if number else [])])
        place += len(piece)
    return {"size": size(text), "pieces": shown, **({} if reveal else {"before": 0})}


def _answer(attempt: Line, matches: Sequence[Line], reveal: bool) -> dict[str, Any]:
    return {**_text(attempt["answer"], reveal, matches), "exact": attempt["exact"], "facts": _facts(attempt, matches)}


def _facts(attempt: Line, matches: Sequence[Line]) -> list[str]:
    """Sentences about a generated text, without any of its words."""
    facts = [
        f"All {plural(attempt['new_tokens'], 'token')} equal those of the row."
        if attempt["exact"]
        else f"The first {attempt['shared_prefix']} of {plural(attempt['new_tokens'], 'token')} equal those of the row."
    ]
    longest_own = max((m["length"] for m in matches if m["whose"] == "own"), default=0)
    for match in matches:
        same_row = match["train_row"] == attempt["row"] and attempt["group"] == "train"
        if match["whose"] == "own":
            known, whose = attempt["exact"] and not match["in_prompt"], "the rest of this row"
        else:
            known = same_row and match["length"] <= longest_own
            whose = "all of this row" if same_row else f"training row {match['train_id']}"
        if known or not match["length"]:
            continue
        fact = f"Longest span shared with {whose}: {plural(match['length'], 'token')}"
        facts.append(f"{fact}, but it is already in the prompt." if match["in_prompt"] else f"{fact}.")
    if attempt["recheck"] == "agrees":
        facts.append("Checked again without batching in full precision, with the same result.")
    elif attempt["recheck"] == "overturned":
        facts.append("Checked again without batching in full precision: the row is not extracted.")
    return facts


def _origin_facts(line: Line) -> list[str]:
    """Sentences about a judged text, without any of its words."""
    if not line["most_bits"] and not line["reason"]:
        return []  # the published detector has no words and bits
    if line["reason"]:
        return [f"Not measurable: {line['reason']}."]
    facts = ["Words: " + ", ".join(f"{line[name]:,} {source}" for name, source in _WORDS.items() if line[name]) + "."]
    if line["label"] == "paraphrase":
        facts.append("Paraphrased words are counted as new, because they are not a run of words of any row.")
    if line["label"] is None:
        best = f"Its best run has {plural(round(line['bits']), 'bit')}"
        facts.append(f"{best}; if all its words were one run of a training row, it would have {line['most_bits']:.0f}.")
        if line["p_value"] is not None:
            facts.append(
                f"p = {line['p_value']:.2g}: the share of held-out texts of the same length with at least as many bits."
            )
    return facts


def _how(attempt: Line) -> str:
    prefix = plural(attempt["prefix_tokens"], "token")
    how = "greedy" if attempt["scheme"] == "greedy" else f"sampled with {attempt['scheme']}, seed {attempt['seed']}"
    why = f"; {_WHY[attempt['why']]}" if attempt["why"] in _WHY else ""
    return f"{prefix} of the row in the prompt, {plural(attempt['new_tokens'], 'token')} generated, {how}{why}."
