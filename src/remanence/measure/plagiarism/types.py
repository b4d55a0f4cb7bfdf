"""Input and output of the plagiarism detector: generated texts, matches with training records, judgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from remanence.core.record import Record

Kind = Literal["verbatim", "paraphrase", "idea"]
KINDS: tuple[Kind, ...] = ("verbatim", "paraphrase", "idea")
"""Strongest evidence first."""

Whose = Literal["own", "other", "both"]
"""The record that explains a match: the one the model was prompted with, another record, or both equally well."""

ORIGINS = ("prompt", "common", "own", "both", "other", "new")
"""Sources to which a generated word is attributed: the prompt, a phrase that held-out texts also contain, the record
that was prompted, that record and another one, another record only, or none that exceeds the null calibration."""


@dataclass(frozen=True)
class GeneratedText:
    """One text that a model generated."""

    text: str
    prompt: str = ""
    """The prompt of the generation; words copied from it are not counted as memorized."""
    own: int = -1
    """Number of the training record that was prompted; -1 = none or unknown."""
    heldout: int = -1
    """Number among the held-out texts, if it is one: its own phrases are then not treated as common phrases."""
    own_text: str = ""
    """The row that was prompted, if it is not a training record: a held-out row, for the floor of ideas."""


def generated_text_of(record: Record, own: int = -1, heldout: int = -1) -> GeneratedText:
    """Treat a record as a generation: its completion or its assistant turns are the text, the rest is the prompt."""
    if record.form == "pair":
        return GeneratedText(record.completion or "", record.prompt or "", own, heldout)
    if record.messages is not None:
        answers = [turn["content"] for turn in record.messages if turn["role"] == "assistant"]
        prompts = [turn["content"] for turn in record.messages if turn["role"] != "assistant"]
        return GeneratedText("\n".join(answers), "\n".join(prompts), own, heldout)
    return GeneratedText(record.plain, "", own, heldout)


@dataclass(frozen=True)
class Match:
    """A passage of a generated text and the passage of a training record that it matches. Spans count characters."""

    kind: Kind
    whose: Whose
    record: int
    start: int
    end: int
    record_start: int
    record_end: int
    """Both -1 for an idea, which has no position in the record."""
    num_words: int
    """Equal words for a verbatim match; words of the passage otherwise."""
    bits: float | None
    """Surprisal of the equal words; higher = more memorized. None for an idea."""
    e_value: float | None
    """Expected number of matches with at least this surprisal over the whole corpus by chance; verbatim only."""
    p_value: float | None
    """Share of held-out texts (for an idea: of decoys) that score as high; None without held-out texts."""


@dataclass(frozen=True)
class Judgement:
    """The result of the detector for one generated text."""

    label: Kind | None
    """The strongest kind whose evidence exceeds the threshold; None = no kind does."""
    num_words: int
    origins: Mapping[str, int]
    """Number of words by `ORIGINS`; they add up to `num_words`."""
    bits: float
    """Surprisal of the best verbatim chain; higher = more memorized."""
    most_bits: float
    """Upper bound of `bits`: as if all words not explained by the prompt or a common phrase were copied in one run."""
    p_value: float | None
    """Of `bits` against held-out texts of the same length; lower = more memorized."""
    paraphrase_bits: float
    paraphrase_p: float | None
    idea_p: float | None
    """Rank of the prompted record among decoys; computed only without stronger evidence and if the record is known."""
    reason: str | None
    """Why the text cannot be judged: `most_bits` does not reach the threshold. Never counted as zero."""
    matches: tuple[Match, ...]
