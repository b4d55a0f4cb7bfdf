"""What a reader of the verdict should also know: what was left out, cut off, asked twice, and really tried."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.run import Run
from remanence.jobs.audit.answered import UNASKED, answers_only
from remanence.jobs.audit.answered import notes as asked_notes
from remanence.jobs.audit.findings import Found
from remanence.jobs.audit.settings import AuditSettings

TOP = 3
"""Reasons named in a note; all of them stand in `verdict.json`."""
_COUNT = re.compile(r" for \d+ of \d+ tokens$")


def notes(
    run: Run, keep_H: NDArray[np.bool_] | None, found: dict[tuple[str, str], Found], settings: AuditSettings
) -> list[str]:
    """Sentences for `verdict.json`, from the tables of the run."""
    tally = Tally(
        distinct=len(found["tuned", "train"].places),
        not_measured=not_measured(found),
        contaminated=0 if keep_H is None else int((~keep_H).sum()),
        cut=_cut(run),
        again=_repeated(run, found),
    )
    return note_sentences(tally, settings) + ([] if answers_only(run) else tried(run)) + asked_notes(run)


@dataclass(frozen=True)
class Tally:
    """What the notes count."""

    distinct: int
    """Distinct training rows."""
    not_measured: Mapping[str, int]
    """How many of them could not be measured, by reason."""
    contaminated: int
    """Held-out rows that stand in the training data."""
    cut: tuple[int, int]
    """Distinct training rows that training cut, and the tokens they lost that would have carried loss."""
    again: tuple[int, int]
    """Rows read again in float32 at batch size 1, and how many of them differ."""


def note_sentences(tally: Tally, settings: AuditSettings) -> list[str]:
    """What the counts say, in words."""
    lengths = ", ".join(map(str, settings.prefixes))
    said = [
        f"A row counts as extracted when greedy decoding generates its next {settings.new_tokens} tokens exactly, "
        f"at one of the prefix lengths {lengths}."
    ]
    if missing := tally.not_measured:
        out, distinct = sum(missing.values()), tally.distinct
        why = "; ".join(f"{reason} ({count:,})" for reason, count in list(missing.items())[:TOP])
        more = "; ..." if len(missing) > TOP else ""
        said.append(
            f"{out:,} of {distinct:,} distinct training rows could not be measured and are not counted: {why}{more}."
        )
    if tally.contaminated:
        said.append(
            f"{tally.contaminated:,} held-out rows occur in the training data, exactly or nearly, "
            "and are left out of the floor."
        )
    rows, lost = tally.cut
    if rows:
        said.append(
            f"{rows:,} distinct training rows were truncated in training: {lost:,} of their tokens with loss "
            "were not trained on."
        )
    again, differ = tally.again
    if again:
        said.append(
            f"{again:,} rows were close to the decision and were computed again in float32 at batch size 1; "
            f"{differ:,} of them differ, and the second result counts."
        )
    return said


def not_measured(found: dict[tuple[str, str], Found]) -> dict[str, int]:
    """Why distinct training rows could not be measured, most frequent first; rows that differ in a count are alike."""
    judged = found["tuned", "train"].by_measure["discoverable"]
    return sorted_reasons(Counter(alike(f.reason) for f in judged if f.reason and f.reason != UNASKED))


def alike(reason: str) -> str:
    """A reason without the counts that differ from row to row."""
    return _COUNT.sub("", reason)


def sorted_reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    """Most frequent first, then by the alphabet."""
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _cut(run: Run) -> tuple[int, int]:
    columns = ["group", "same_as", "num_truncated", "num_supervised_truncated"]
    rows = run.read_table("rows").select(columns).to_pylist()
    cut = [r for r in rows if r["group"] == "train" and r["same_as"] is None and r["num_truncated"]]
    return len(cut), sum(r["num_supervised_truncated"] for r in cut)


def _repeated(run: Run, found: dict[tuple[str, str], Found]) -> tuple[int, int]:
    said: Counter[Any] = Counter()
    for role, group in found:
        if role != "ceiling":
            for shard in run.shards(f"tokens/{role}-{group}"):
                said.update(shard.column("recheck").to_pylist())
    return said["agrees"] + said["overturned"], said["overturned"]


def tried(run: Run) -> list[str]:
    """What came of really asking the model, in a sentence; none where nothing was asked."""
    columns = ["target", "exact", "why"]
    asked = [a for a in run.read_table("attempts").select(columns).to_pylist() if a["target"] == "tuned"]
    if not asked:
        return []
    agree = sum(a["exact"] == (a["why"] == "table") for a in asked)
    said = f"Real generation agrees with the token table for {agree:,} of {len(asked):,} prompts"
    if agree < len(asked):
        said += "; the table uses the weights alone, without decoding filters and without an early end of text"
    return [f"{said}."]
