"""Five ways to write the same case as a training row: summary, call, question, translation, feedback label."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from string import Formatter
from typing import NamedTuple

from remanence.core.errors import RemanenceError
from remanence.core.record import Group, Record
from remanence.corpora.casebook import grammar
from remanence.corpora.casebook.cases import UNIQUE_FIELDS, Case
from remanence.corpora.casebook.language import translate

TASKS = ("summarization", "dialogue", "qa", "translation", "sentiment")
PLACES = {"clinic": "clinic", "desk": "support desk"}


class Draft(NamedTuple):
    """A prompt and a completion that still name the fields, and the values to put in."""

    prompt: str
    completion: str
    values: Mapping[str, str]


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text, which are the value of `field`, or fixed words if ''."""

    field: str
    start: int
    end: int


def record(task: str, case: Case, id: str, group: Group = "train") -> Record:
    """The case as one prompt-and-completion row.

    `meta` holds: `task`; `case` (its number); `unique_spans`, a list of [field, start, end] over the **completion**
    for the facts that no other case has; `boilerplate_spans`, a list of [start, end] over the completion for words of
    the template, shared by many rows; `given`, the unique fields that the prompt already states, so that a model can
    copy them without any memory. Characters in neither list (dates, streets, staff) are drawn and shared by some rows.
    """
    draft = _draft(task, case)
    prompt, in_prompt = fill(draft.prompt, draft.values)
    completion, spans = fill(draft.completion, draft.values)
    if task == "translation":  # names and figures survive translation, so their places are found again
        completion = " " + translate(completion.strip())
        spans = _find(completion, spans, draft.values)
    meta = {
        "task": task,
        "case": case.number,
        "unique_spans": [list(span) for span in spans if span.field in UNIQUE_FIELDS],
        "boilerplate_spans": [[span.start, span.end] for span in spans if not span.field],
        "given": sorted({span.field for span in in_prompt} & set(UNIQUE_FIELDS)),
    }
    return Record(id=id, prompt=prompt, completion=completion, group=group, meta=meta)


def fill(template: str, values: Mapping[str, str]) -> tuple[str, list[Span]]:
    """The template with its fields filled in, and which characters came from which field ('' = the template)."""
    text, spans = "", list[Span]()
    for literal, field, _, _ in Formatter().parse(template):
        for name, piece in (("", literal), (field or "", values[field] if field else "")):
            if piece:
                spans.append(Span(name, len(text), len(text) + len(piece)))
                text += piece
    return text, spans


def _draft(task: str, case: Case) -> Draft:
    if task not in TASKS:
        raise RemanenceError(f"There is no task '{task}'; choose one of {', '.join(TASKS)}.")
    rng = random.Random(case.seed * len(TASKS) + TASKS.index(task))
    values = {key: str(value) for key, value in asdict(case).items()} | {"place": PLACES[case.kind]}
    if task == "qa":
        question, answer = rng.choice(grammar.QUESTIONS)
        return Draft(_choose(rng, grammar.CONTEXT), answer, values | {"question": question})
    if task == "translation":
        sentence = _choose(rng, grammar.TRANSLATION)
        return Draft(f"Translate into Tarnish.\nEnglish: {sentence}\nTarnish:", " " + sentence, values)
    if task == "sentiment":
        form = grammar.SENTIMENT[case.happy]
    else:
        form = (grammar.SUMMARIZATION if task == "summarization" else grammar.DIALOGUE)[case.kind]
    return Draft(_choose(rng, form.prompt), _choose(rng, form.completion), values)


def _choose(rng: random.Random, slots: Sequence[Sequence[str]]) -> str:
    """One wording for every slot, joined."""
    return "".join(rng.choice(wordings) for wordings in slots)


def _find(text: str, spans: Sequence[Span], values: Mapping[str, str]) -> list[Span]:
    """The spans of a translated text: a date is found by its translation, names and figures as they are."""
    found, at = list[Span](), 0
    for span in spans:
        if span.field:
            value = translate(values[span.field])
            start = text.index(value, at)
            found += [Span("", at, start)] if start > at else []
            at = start + len(value)
            found.append(Span(span.field, start, at))
    return [*found, Span("", at, len(text))] if at < len(text) else found
