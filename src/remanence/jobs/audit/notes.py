"""What a reader of the verdict should also know: what was left out, cut off, asked twice, and really tried."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from remanence.core.run import Run
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream_settings import StreamSettings

TOP = 3
"""Reasons named in a note; all of them stand in `verdict.json`."""
_COUNT = re.compile(r" for \d+ of \d+ tokens$")


@dataclass(frozen=True)
class NoteCounts:
    """What the notes count."""

    distinct: int
    """Distinct training rows."""
    not_measured: Mapping[str, int]
    """How many of them could not be measured, by reason."""
    contaminated: int
    """Held-out rows that stand in the training data."""
    truncated: tuple[int, int]
    """Distinct training rows that training truncated, and the tokens they lost that would have carried loss."""
    rechecked: tuple[int, int]
    """Rows scored again in float32 at batch size 1, and how many of them differ."""


def note_sentences(counts: NoteCounts, settings: AuditSettings) -> list[str]:
    """What the counts say, in words."""
    lengths = ", ".join(map(str, settings.prefixes))
    said = [
        f"A row counts as extracted when greedy decoding generates its next {settings.new_tokens} tokens exactly, "
        f"at one of the prefix lengths {lengths}."
    ]
    if missing := counts.not_measured:
        out, distinct = sum(missing.values()), counts.distinct
        why = "; ".join(f"{reason} ({count:,})" for reason, count in list(missing.items())[:TOP])
        more = "; ..." if len(missing) > TOP else ""
        said.append(
            f"{out:,} of {distinct:,} distinct training rows could not be measured and are not counted: {why}{more}."
        )
    if counts.contaminated:
        said.append(
            f"{counts.contaminated:,} held-out rows occur in the training data, exactly or nearly, "
            "and are left out of the floor."
        )
    rows, lost = counts.truncated
    if rows:
        said.append(
            f"{rows:,} distinct training rows were truncated in training: {lost:,} of their tokens with loss "
            "were not trained on."
        )
    again, differ = counts.rechecked
    if again:
        said.append(
            f"{again:,} rows were close to the decision and were computed again in float32 at batch size 1; "
            f"{differ:,} of them differ, and the second result counts."
        )
    return said


def without_counts(reason: str) -> str:
    """A reason without the counts that differ from row to row."""
    return _COUNT.sub("", reason)


def sorted_reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    """Most frequent first, then by the alphabet."""
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


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


def stream_sentences(run: Run, counts: NoteCounts, near_counted: bool, stream: StreamSettings) -> list[str]:
    """What a streamed audit does not know."""
    said: list[str] = []
    if not near_counted:
        held = " and held-out rows that nearly equal training rows" if run.spec["data"]["heldout"] else ""
        said.append(
            f"Near duplicates{held} were not searched: there are more than {stream.in_memory_rows:,} training rows "
            "(--in-memory-rows); copies are rows that are equal word for word."
        )
        if run.has("attempts.parquet") and not run.has("origins.parquet"):
            said.append(
                "The generated texts were compared with the prompted rows only, not with all training text: "
                "`remanence match` does that, with an index on disk."
            )
    measured = counts.distinct - sum(counts.not_measured.values())
    if measured > stream.ranked_rows:
        said.append(
            f"The ranking has the worst {stream.ranked_rows:,} of {measured:,} measured rows; "
            "the tables under blocks/ have one line per row."
        )
    return said
