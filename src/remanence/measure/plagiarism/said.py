"""What a detector is given and what it answers: something a model said, and whose words those are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from remanence.core.record import Record

Kind = Literal["verbatim", "paraphrase", "idea"]
KINDS: tuple[Kind, ...] = ("verbatim", "paraphrase", "idea")
"""Strongest evidence first."""

Whose = Literal["own", "other", "both"]

ORIGINS = ("prompt", "common", "own", "both", "other", "new")
"""Where a word may come from: the prompt, a phrase that held-out texts use too, the record asked about, it and another
one, another one alone, or nowhere that could be told from chance."""


@dataclass(frozen=True)
class Said:
    """One text that a model wrote."""

    text: str
    prompt: str = ""
    """What it was given: copying from there is not memory."""
    own: int = -1
    """Number of the training record that it was asked about; -1 = none, or not known."""
    heldout: int = -1
    """Number among the held-out texts, for a text that is one of them: it does not excuse itself as a common phrase."""
    own_text: str = ""
    """The row it was asked about, where that is no training record: a held-out row, for the floor of ideas."""


def said_of(record: Record, own: int = -1, heldout: int = -1) -> Said:
    """A record as if a model had said it: a pair's completion or a chat's answers, the rest being the prompt."""
    if record.form == "pair":
        return Said(record.completion or "", record.prompt or "", own, heldout)
    if record.messages is not None:
        answers = [turn["content"] for turn in record.messages if turn["role"] == "assistant"]
        asked = [turn["content"] for turn in record.messages if turn["role"] != "assistant"]
        return Said("\n".join(answers), "\n".join(asked), own, heldout)
    return Said(record.plain, "", own, heldout)


@dataclass(frozen=True)
class Match:
    """A passage of the text and the passage of a training record that it comes from. Spans count characters."""

    kind: Kind
    whose: Whose
    record: int
    start: int
    end: int
    record_start: int
    record_end: int
    """Both -1 for an idea, which has no place."""
    num_words: int
    """Equal words, for a verbatim match; words of the passage otherwise."""
    bits: float | None
    """How surprising the equal words are; higher = more memorized. None for an idea."""
    e_value: float | None
    """How many matches as surprising chance brings over the whole corpus; verbatim only."""
    p_value: float | None
    """Share of held-out texts (for an idea: of decoys) that reach as much; None without held-out texts."""


@dataclass(frozen=True)
class Judged:
    """All that was found about one text."""

    label: Kind | None
    """The strongest kind whose evidence passes the threshold; None = none does."""
    num_words: int
    origins: Mapping[str, int]
    """Words by `ORIGINS`; they add up to `num_words`."""
    bits: float
    """Of its best verbatim chain."""
    most_bits: float
    """If all its words that neither the prompt nor a common phrase explains were copied in one run."""
    p_value: float | None
    """Of `bits` against held-out texts of its length."""
    paraphrase_bits: float
    paraphrase_p: float | None
    idea_p: float | None
    """Rank of the own record among decoys; asked only where nothing stronger was found and the own record is known."""
    reason: str | None
    """Why it cannot be judged: it is too poor in bits to reach the threshold. Never counted as a zero."""
    matches: tuple[Match, ...]
