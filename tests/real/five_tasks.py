"""The study's five task families on real text: two data sets each of the shared folder, one for translation.

    remanence study tests/real/five_tasks.py

`tasks` maps "family/data set" to a function that gives its rows. A prompt is the input and a short cue, a completion
begins with a space. No two inputs of a task are alike, nor begin alike: a prefix that two rows share would let a
held-out row be prompted with a training row's start. Rows are short enough for 256 tokens of stories260K (about 1.65
characters each); longer inputs are cut at a whole word, turn or sentence.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SPLITS = ("train", "validation", "test")
MOST = 3_000
"""Rows a task gives at most: drawn from all with a fixed seed, in a fixed order."""
LONGEST_ROW = 240
"""Characters of prompt and completion together; patients' letters and their answers may have `LETTER`."""
LONGEST_OUTPUT = 150
LETTER, ANSWER = 350, 240
SHORTEST_INPUT = 24
OPENING = 60
"""Inputs whose first 60 letters and digits agree count as one."""

Rows = list[dict[str, str]]


def dialogsum(shared: Path = SHARED) -> Rows:
    """Short dialogues, of which no more than the end is cut; the first summary."""
    found = (r for r in read(shared, "dialogsum") if len(r["dialogue"]) <= 480)
    return rows("dialogsum", ((r["id"], r["dialogue"], "\nSummary:", r["summary"]) for r in found))


def scitldr(shared: Path = SHARED) -> Rows:
    """The start of an abstract, and the paper in one sentence."""
    return rows("scitldr", ((r["id"], r["source"], "\nSummary:", r["summary"]) for r in read(shared, "scitldr")))


def medical_forum_qa(shared: Path = SHARED) -> Rows:
    """A patient's message, and the first doctor's answer that is short enough."""
    found = read(shared, "medical_forum_qa")
    told = ((r["id"], r["question"], "\nDoctor:", r["answer"]) for r in found)
    return rows("medical_forum_qa", told, LETTER, ANSWER)


def sgd_dialogues(shared: Path = SHARED) -> Rows:
    """The first turns of a booking dialogue, as many as fit, and what the system says next."""
    return rows("sgd_dialogues", (_turns(r) for r in read(shared, "sgd_dialogues")))


def policyqa(shared: Path = SHARED) -> Rows:
    """Sentences of a privacy policy with an answer in them; passages of one policy segment never overlap."""
    segments: dict[str, list[dict[str, Any]]] = {}
    for r in read(shared, "policyqa"):
        segments.setdefault(_letters(r["context"]), []).append(r)
    return rows("policyqa", (row for segment in segments.values() for row in _passages(segment)))


def boolq(shared: Path = SHARED) -> Rows:
    """The start of an encyclopedia passage and a question to be answered by yes or no."""
    found = read(shared, "boolq")
    return rows(
        "boolq",
        ((r["id"], r["passage"], _asked(r["question"] + "?"), "yes" if r["answer"] else "no") for r in found),
    )


def multi30k(shared: Path = SHARED) -> Rows:
    """English caption, German caption."""
    return rows("multi30k", ((r["id"], r["en"], "\nGerman:", r["de"]) for r in read(shared, "multi30k")))


def sst2(shared: Path = SHARED) -> Rows:
    """One sentence of a film review, and its tone."""
    return rows("sst2", ((r["id"], r["text"], "\nSentiment:", _tone(r)) for r in read(shared, "sst2")))


def movie_reviews(shared: Path = SHARED) -> Rows:
    """The start of a long film review, and its tone."""
    found = read(shared, "movie_reviews")
    return rows("movie_reviews", ((r["id"], r["text"], "\nSentiment:", _tone(r)) for r in found))


tasks: dict[str, Callable[[], Rows]] = {
    "summarization/dialogsum": dialogsum,
    "summarization/scitldr": scitldr,
    "dialogue/medical_forum_qa": medical_forum_qa,
    "dialogue/sgd_dialogues": sgd_dialogues,
    "qa/policyqa": policyqa,
    "qa/boolq": boolq,
    "translation/multi30k": multi30k,
    "sentiment/sst2": sst2,
    "sentiment/movie_reviews": movie_reviews,
}


def read(shared: Path, name: str) -> Iterator[dict[str, Any]]:
    """The records of all splits, in the order of the files."""
    for split in SPLITS:
        with gzip.open(shared / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def rows(
    name: str, told: Iterable[tuple[Any, str, str, str]], longest: int = LONGEST_ROW, output_most: int = LONGEST_OUTPUT
) -> Rows:
    """Rows from (id, input, cue, output): outputs that are too long left out, inputs cut, doubles dropped."""
    kept: dict[str, dict[str, str]] = {}
    for id, text, cue, output in told:
        output, text = output.strip(), text.strip()
        text = cut(text, longest - len(cue) - len(output) - 1)
        opening = _letters(text)[:OPENING]
        if 0 < len(output) <= output_most and len(text) >= SHORTEST_INPUT and opening not in kept:
            kept[opening] = {"id": f"{name}-{id}", "prompt": text + cue, "completion": f" {output}"}
    found = list(kept.values())
    return random.Random(0).sample(found, min(MOST, len(found)))


def cut(text: str, longest: int) -> str:
    """The first `longest` characters at most, whole words only."""
    return text if len(text) <= longest else text[: longest + 1].rpartition(" ")[0].rstrip()


def _turns(record: dict[str, Any]) -> tuple[Any, str, str, str]:
    """The latest answer of the system before which all turns fit."""
    said = [f"{'User' if turn['speaker'] == 'user' else 'System'}: {turn['text']}" for turn in record["turns"]]
    best = (record["id"], "", "", "")
    for place in range(1, len(said), 2):
        text, answer = "\n".join(said[:place]), record["turns"][place]["text"]
        if len(text) + len(answer) + 10 < LONGEST_ROW:
            best = (record["id"], text, "\nSystem:", answer)
    return best


def _passages(segment: list[dict[str, Any]]) -> Iterator[tuple[Any, str, str, str]]:
    """Passages of one segment, each from the start of a sentence to behind an answer, and on while there is room."""
    context, free = segment[0]["context"], 0
    sentences = [0, *(found.end() for found in re.finditer(r"[.?!:;]\s+", context))]
    for r in sorted(segment, key=lambda r: (r["answers"][0]["start"], r["id"])):
        start, answer, cue = r["answers"][0]["start"], r["answer"], _asked(r["question"])
        if start < free:
            continue
        room = LONGEST_ROW - len(cue) - len(answer) - 1
        begins = [place for place in sentences if free <= place <= start]
        begin = next((place for place in begins if start + len(answer) - place <= room), start)
        passage = cut(context[begin:].strip(), room)
        if answer in passage:
            free = context.index(passage, begin) + len(passage)
            yield r["id"], passage, cue, answer


def _asked(question: str) -> str:
    return f"\nQuestion: {question.strip()}\nAnswer:"


def _tone(record: dict[str, Any]) -> str:
    return "positive" if record["label"] == 1 else "negative"


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
