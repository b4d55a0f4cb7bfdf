"""The warnings of a pre-flight: one sentence per kind, with counts, the first rows and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remanence.jobs.preflight.preflight import Preflight

NAMED = 3
"""Rows that are named in a warning."""


def warnings_of(found: Preflight) -> list[str]:
    """What should be seen to before the training begins; empty where all is well."""
    said = [*_loss(found), *_rows(found), *_masks(found), *_secrets(found)]
    if found.setup.see_each_other or found.setup.packing == "wrapped":
        said.append(
            "Rows in a pack see the rows before them, so they are learned with those as context, and an audit that "
            "reads each row alone finds less than the model kept: use packing_strategy='bfd', with attention that "
            "heeds position ids."
        )
    return said


def _loss(found: Preflight) -> list[str]:
    said: list[str] = []
    if found.no_loss:
        said.append(
            f"{_count(len(found.no_loss), 'sequence')} of {found.sequences:,} {_have(len(found.no_loss))} no token to "
            f"learn ({_first(found.no_loss, 'place')}): nothing that can be predicted carries loss; raise max_length, "
            "or check the loss mask and the chat template."
        )
    learned, ends = found.ends
    if ends and not learned:
        said.append(
            f"The end-of-text token ends {_count(ends, 'row')} and carries loss in none, so the model does not learn "
            "to stop: give padding a token of its own, or take it into the loss mask."
        )
    return said


def _rows(found: Preflight) -> list[str]:
    said: list[str] = []
    cut = [row for row in found.rows if 0 < row.fed < row.tokens]
    split = [row for row in found.rows if row.parts > 1]
    out = [row for row in found.rows if row.parts == 0]
    mute = [row for row in found.rows if row.parts and not row.learned]
    all_rows = f"of {_count(len(found.rows), 'row')}"
    if cut:
        tokens, lost = sum(r.tokens - r.fed for r in cut), sum(r.lost for r in cut)
        said.append(
            f"{len(cut):,} {all_rows} {_are(len(cut))} cut and {_lose(len(cut))} {tokens:,} tokens, {lost:,} of which "
            f"would have carried loss ({_first([r.id for r in cut])}): raise max_length or shorten the rows."
        )
    if split:
        said.append(
            f"{len(split):,} {all_rows} {_are(len(split))} split over two sequences or more "
            f"({_first([r.id for r in split])}), and no part sees the ones before it: use packing_strategy='bfd', and "
            "a max_length that the rows fit in."
        )
    if out:
        said.append(
            f"{len(out):,} {all_rows} {_are(len(out))} in no sequence as their tokenizer reads them "
            f"({_first([r.id for r in out])}): they were dropped, as TRL drops a row whose loss is cut off, or changed "
            "before training; raise max_length, or give the rows as they are trained on."
        )
    if mute:
        said.append(
            f"{len(mute):,} {all_rows} {_are(len(mute))} fed without a token that carries loss "
            f"({_first([r.id for r in mute])}): raise max_length or check the loss mask."
        )
    return said


def _masks(found: Preflight) -> list[str]:
    said: list[str] = []
    tokens, where = found.mask_lost
    if tokens:
        said.append(
            f"The collator puts a loss on {tokens:,} tokens in {_count(where, 'sequence')} that the data set masks, so "
            "prompts are learned too: use the trainer's own collator, or one that keeps labels."
        )
    tokens, where = found.mask_added
    if tokens:
        said.append(
            f"The collator takes the loss off {tokens:,} tokens in {_count(where, 'sequence')} that the data set asks "
            "to learn: a pad token that is also the end-of-text token does that; give padding its own."
        )
    return said


_REMEDIES = {
    "absent": "nowhere in what is fed: their rows are not in the data, or were cut, dropped or changed",
    "cut": "cut off at the end of a sequence: raise max_length",
    "split": "split over two sequences: use packing_strategy='bfd'",
    "masked": "read but not learned: they stand where no loss is, such as in a prompt",
    "partly masked": "learned in part only: the loss mask begins or ends within them",
}


def _secrets(found: Preflight) -> list[str]:
    said: list[str] = []
    for state, remedy in _REMEDIES.items():
        hit = [one.number for one in found.secrets if one.state == state]
        if hit:
            said.append(f"{len(hit):,} of {_count(len(found.secrets), 'secret')} ({_first(hit, 'number')}): {remedy}.")
    return said


def _first(names: Sequence[Any], what: str = "row") -> str:
    shown = ", ".join(str(name) for name in names[:NAMED])
    return f"{what}{'s' if len(names) > 1 else ''} {shown}{', ...' if len(names) > NAMED else ''}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _lose(number: int) -> str:
    return "loses" if number == 1 else "lose"
