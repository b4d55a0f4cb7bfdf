"""The result of a pre-flight check: counts, the status of rows and secrets, and warnings with their remedies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from remanence.jobs.preflight.row_status import RowStatus
from remanence.jobs.preflight.secret_status import SecretStatus

MAX_NAMED = 3
"""Maximum number of rows that a warning names."""
STATES = ("whole", "partly masked", "masked", "split", "cut", "absent")
REMEDIES = {
    "absent": "in no sequence: their rows are not in the data, or were truncated, dropped or changed",
    "cut": "cut off at the end of a sequence: raise max_length",
    "split": "split over two sequences: use packing_strategy='bfd'",
    "masked": "read but not learned: they stand where there is no loss, such as in a prompt",
    "partly masked": "learned only in part: the loss mask begins or ends within them",
}


@dataclass(frozen=True)
class Setup:
    """How the trainer prepares rows, as far as its arguments say."""

    trainer: str
    packing: str
    """none, or TRL's strategy: bfd, bfd_split, wrapped."""
    padding_free: bool
    max_length: int | None
    loss_on: str
    """all, completion, assistant; own = the trainer of another library, whose dataset and collator decide."""
    see_each_other: bool | None
    """Whether the rows of a pack attend to the rows before them; None where no pack contains several known rows."""


@dataclass(frozen=True)
class Preflight:
    """What the trainer passes to its model: counts, status row by row, and warnings."""

    setup: Setup
    sequences: int
    """Number of sequences read."""
    num_sequences: int | None
    """Number of sequences in the dataset; None for a stream."""
    pieces: int
    """Number of rows, or parts of rows, in the sequences read."""
    tokens: int
    """Number of their tokens (decoder side)."""
    learned: int
    """How many of these carry loss and can be predicted."""
    no_loss: tuple[int, ...]
    """Indices of sequences in which no token is learned."""
    mask_lost: tuple[int, int]
    """(tokens, sequences) that the dataset masks and the collator gives a loss to."""
    mask_added: tuple[int, int]
    """(tokens, sequences) that the dataset asks to learn and the collator masks."""
    ends: tuple[int, int]
    """(learned, all) pieces that end with the end-of-text token."""
    rows: tuple[RowStatus, ...]
    """One per row, where the rows are available."""
    not_compared: str | None
    """Why there are no rows."""
    secrets: tuple[SecretStatus, ...]

    @property
    def warnings(self) -> list[str]:
        """What to correct before the training begins: one sentence per kind, with counts, first rows and remedy."""
        warnings = [*_loss_warnings(self), *_row_warnings(self), *_mask_warnings(self), *_secret_warnings(self)]
        if self.setup.see_each_other or self.setup.packing == "wrapped":
            warnings.append(
                "Rows in a pack see the rows before them, so they are learned with those as context, and an audit that "
                "reads each row alone finds less than the model memorized: use packing_strategy='bfd', with an "
                "attention implementation that respects position ids."
            )
        return warnings

    def text(self) -> str:
        """A table for people, and the warnings."""
        s = self.setup
        of_all = f" of {self.num_sequences:,}" if self.num_sequences not in (None, self.sequences) else ""
        lines = [
            f"{s.trainer}: packing {s.packing}, max_length {s.max_length}, loss on {s.loss_on}",
            f"  sequences     {self.sequences:>9,}{of_all}",
            f"  rows in them  {self.pieces:>9,}",
            f"  tokens        {self.tokens:>9,}",
            f"  with loss     {self.learned:>9,}  ({100 * self.learned / max(1, self.tokens):.1f} %)",
        ]
        if self.rows:
            counts = {
                "rows given": len(self.rows),
                "whole": sum(r.parts == 1 and r.fed == r.tokens for r in self.rows),
                "cut": sum(0 < r.fed < r.tokens for r in self.rows),
                "split": sum(r.parts > 1 for r in self.rows),
                "left out": sum(r.parts == 0 for r in self.rows),
            }
            lines += [f"  {name:<13} {count:>9,}" for name, count in counts.items()]
        elif self.not_compared:
            lines.append(f"  rows not compared: {self.not_compared}")
        for state in STATES:
            count = sum(secret.state == state for secret in self.secrets)
            lines += [f"  secrets {state:<14} {count:>0,}"] if count else []
        return "\n".join([*lines, *(f"! {warning}" for warning in self.warnings)])

    def json(self) -> dict[str, Any]:
        """The same, JSON-ready; secrets are identified by number, rows by id."""
        return {
            **asdict(self),
            "rows": [row._asdict() for row in self.rows],
            "secrets": [secret._asdict() for secret in self.secrets],
            "warnings": self.warnings,
        }


def _loss_warnings(result: Preflight) -> list[str]:
    warnings: list[str] = []
    if num := len(result.no_loss):
        warnings.append(
            f"{_count(num, 'sequence')} of {result.sequences:,} {'has' if num == 1 else 'have'} no token to "
            f"learn ({_first(result.no_loss, 'place')}): nothing that can be predicted carries loss; raise max_length, "
            "or check the loss mask and the chat template."
        )
    learned, ends = result.ends
    if ends and not learned:
        warnings.append(
            f"The end-of-text token ends {_count(ends, 'row')} and carries loss in none, so the model does not learn "
            "to stop: give padding a token of its own, or include the end-of-text token in the loss mask."
        )
    return warnings


def _row_warnings(result: Preflight) -> list[str]:
    warnings: list[str] = []
    cut = [row for row in result.rows if 0 < row.fed < row.tokens]
    split = [row for row in result.rows if row.parts > 1]
    absent = [row for row in result.rows if row.parts == 0]
    unlearned = [row for row in result.rows if row.parts and not row.learned]
    if cut:
        tokens, lost = sum(r.tokens - r.fed for r in cut), sum(r.lost for r in cut)
        warnings.append(
            f"{_share(cut, result)} cut and {'loses' if len(cut) == 1 else 'lose'} {tokens:,} tokens, {lost:,} of "
            f"which would have carried loss ({_ids(cut)}): raise max_length or shorten the rows."
        )
    if split:
        warnings.append(
            f"{_share(split, result)} split over two sequences or more ({_ids(split)}), and no part sees the ones "
            "before it: use packing_strategy='bfd', and a max_length that the rows fit in."
        )
    if absent:
        warnings.append(
            f"{_share(absent, result)} in no sequence with the token ids that the tokenizer gives ({_ids(absent)}): "
            "they were dropped, as TRL drops a row whose loss is cut off, or changed before training; raise "
            "max_length, or give the rows as they are trained on."
        )
    if unlearned:
        warnings.append(
            f"{_share(unlearned, result)} read without a token that carries loss ({_ids(unlearned)}): raise max_length "
            "or check the loss mask."
        )
    return warnings


def _mask_warnings(result: Preflight) -> list[str]:
    warnings: list[str] = []
    tokens, num_sequences = result.mask_lost
    if tokens:
        warnings.append(
            f"The collator puts a loss on {tokens:,} tokens in {_count(num_sequences, 'sequence')} that the dataset "
            "masks, so prompts are learned too: use the trainer's own collator, or one that keeps labels."
        )
    tokens, num_sequences = result.mask_added
    if tokens:
        warnings.append(
            f"The collator removes the loss from {tokens:,} tokens in {_count(num_sequences, 'sequence')} that the "
            "dataset asks to learn: this happens when the pad token is also the end-of-text token; give padding a "
            "token of its own."
        )
    return warnings


def _secret_warnings(result: Preflight) -> list[str]:
    warnings: list[str] = []
    for state, remedy in REMEDIES.items():
        numbers = [secret.number for secret in result.secrets if secret.state == state]
        if numbers:
            of_all = f"{len(numbers):,} of {_count(len(result.secrets), 'secret')}"
            warnings.append(f"{of_all} ({_first(numbers, 'number')}): {remedy}.")
    return warnings


def _share(rows: Sequence[RowStatus], result: Preflight) -> str:
    """`3 of 10 rows are`."""
    return f"{len(rows):,} of {_count(len(result.rows), 'row')} {'is' if len(rows) == 1 else 'are'}"


def _ids(rows: Sequence[RowStatus]) -> str:
    return _first([row.id for row in rows], "row")


def _first(names: Sequence[Any], what: str) -> str:
    shown = ", ".join(str(name) for name in names[:MAX_NAMED])
    return f"{what}{'s' if len(names) > 1 else ''} {shown}{', ...' if len(names) > MAX_NAMED else ''}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
