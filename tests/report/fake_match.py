"""A match of texts with known origins against the casebook, and what a detector would say of an audit made of dice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remanence.core.record import Record
from remanence.core.run import Run
from remanence.corpora.casebook.corpus import private_corpus
from remanence.jobs.match.match import run_match
from remanence.jobs.match.settings import MatchSettings

from .fake_run import EVIL, EVIL_TEXT

NUM_WORDS = 12


def real_match(folder: Path, *, heldout: bool = True, **settings: Any) -> Run:
    """Copies of rows that were asked about, a text of two other rows, new ones, a short one, one that looks like code.

    Fifty rows are indexed; without `heldout` nothing is known of chance.
    """
    corpus = private_corpus(3, 50, (1,), 320)
    long = [row for row in corpus.train if len((row.completion or "").split()) >= 20]
    train = [*corpus.train, Record(EVIL, text=f"{long[0].completion} {EVIL_TEXT}")]
    new = [row for row in corpus.heldout[300:] if len((row.completion or "").split()) >= 10]
    halves = [" ".join((row.completion or "").split()[:22]) for row in long[4:6]]
    texts = [
        *(Record(f"copy-{i}", prompt=row.prompt, completion=row.completion, meta={"own": row.id})
          for i, row in enumerate(long[1:4])),
        Record("two-rows", text=f"{halves[0]} Nobody at all said that. {halves[1]}"),
        *(Record(f"new-{i}", prompt=row.prompt, completion=row.completion) for i, row in enumerate(new[:3])),
        Record("short", text="yes"),
        Record(EVIL, text=f"{EVIL_TEXT} {long[0].completion}"),
    ]  # fmt: skip
    held = corpus.heldout[:300] if heldout else None
    run_match(texts, train, held, folder, MatchSettings(alpha=0.05, **settings), show=False)
    return Run.open(folder)


def secrets(run: Run) -> list[str]:
    """Every text of a match that must not show unless it is revealed."""
    said = [line[key] for line in run.lines("attempts") for key in ("prompt", "answer")]
    return [text for text in [*said, *(line["record_text"] for line in run.lines("matches"))] if text]


def detected(asked: list[dict[str, Any]], matches: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], ...]:
    """(origins, calibration, found) of made-up attempts: where their row gave most of the answer, that is found."""
    origins: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, attempt in enumerate(asked):
        mine = attempt["shared_prefix"] * NUM_WORDS // 32
        words = {"num_words": NUM_WORDS, "prompt": 1, "common": 2, "own": max(0, mine - 3), "both": 0, "other": 0}
        words["new"] = NUM_WORDS - sum(words[name] for name in ("prompt", "common", "own"))
        told = {"attempt": number, "side": "said", **words, "bits": 9.0 * mine, "most_bits": 120.0, "p_value": 0.5}
        if mine > NUM_WORDS // 2:
            end = next(m["char_end"] for m in matches if m["attempt"] == number and m["whose"] == "own")
            told |= {"label": "verbatim", "p_value": 0.004}
            found.append({
                "attempt": number, "whose": "own", "kind": "verbatim", "train_row": attempt["row"],
                "train_id": attempt["id"], "char_start": 0, "char_end": end, "in_prompt": False, "words": mine,
                "bits": 9.0 * mine, "e_value": 1e-20, "p_value": 0.004, "record_char_start": 40,
                "record_char_end": 40 + end, "record_text": attempt["answer"][:end],
            })  # fmt: skip
        origins.append(told)
        if (attempt["target"], attempt["group"]) == ("tuned", "train"):
            origins.append({**told, "side": "ceiling", "own": 9, "new": 0})
    return origins, calibrated(), found


def calibrated() -> list[dict[str, Any]]:
    """Thresholds at two lengths and rates, one of them refused."""
    lines: list[dict[str, Any]] = []
    for kind in ("verbatim", "paraphrase"):
        for alpha, hits in ((0.001, 0), (0.01, 2)):
            for num_words, num_null in ((10, 1200), (20, 400)):
                enough = num_null * alpha >= 1
                why = f"{num_null} held-out texts cannot calibrate a false-positive rate of 0.1 %"
                reason = None if enough else why
                lines.append({
                    "kind": kind, "alpha": alpha, "num_words": num_words, "num_null": num_null, "reason": reason,
                    "bits": 30.0 + num_words if enough else None, "few": num_null * alpha < 10,
                    "realised_hits": hits, "realised_n": 200, "realised_low": 0.0, "realised_high": 0.036,
                })  # fmt: skip
    return lines
