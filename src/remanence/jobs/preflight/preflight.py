"""Pre-flight: what a trainer will really train on, told before an hour is spent on it.

The prepared data set goes through the live collator, sequence by sequence. Where the rows themselves are at hand, each
is looked up in what is fed: whole, cut, split over sequences, or left out.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.read import records_from
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.jobs.preflight.fed import LIMIT, Fed, fed, items
from remanence.jobs.preflight.packs import rows_see_each_other
from remanence.jobs.preflight.rows import Fate, Haystack, fate
from remanence.jobs.preflight.secrets import SecretFate, secret_fates
from remanence.jobs.preflight.warn import warnings_of
from remanence.models.render import LossOn, Renderer, render_all
from remanence.training.ranks import sharded
from remanence.training.sequences import is_seq2seq
from remanence.training.undisturbed import undisturbed


@dataclass(frozen=True)
class Setup:
    """How the trainer prepares rows, as far as it says."""

    trainer: str
    packing: str
    """none, or TRL's strategy: bfd, bfd_split, wrapped."""
    padding_free: bool
    max_length: int | None
    loss_on: str
    """all, completion, assistant; own = another library's trainer, whose data set and collator decide."""
    see_each_other: bool | None
    """Whether the rows of a pack read the rows before them; None where no pack holds several known rows."""


@dataclass(frozen=True)
class Preflight:
    """What is fed, in figures, row by row, and in sentences of warning."""

    setup: Setup
    sequences: int
    """Sequences looked at,"""
    num_sequences: int | None
    """of so many; None for a stream."""
    pieces: int
    """Rows, or parts of rows, in these sequences."""
    tokens: int
    """Tokens read in these sequences (decoder side)."""
    learned: int
    """Of these, how many carry loss and can be predicted."""
    no_loss: tuple[int, ...]
    """Places of sequences in which nothing is learned."""
    mask_lost: tuple[int, int]
    """(tokens, sequences) that the data set masks and the collator gives a loss to."""
    mask_added: tuple[int, int]
    """(tokens, sequences) that the data set asks to learn and the collator masks."""
    ends: tuple[int, int]
    """(learned, all) pieces that end with the end-of-text token."""
    rows: tuple[Fate, ...]
    """One per row, where the rows are at hand."""
    not_compared: str | None
    """Why there are no rows."""
    secrets: tuple[SecretFate, ...]

    @property
    def warnings(self) -> list[str]:
        """One sentence per kind, with counts, the first rows and the remedy."""
        return warnings_of(self)

    def text(self) -> str:
        """A table for people, and the warnings."""
        s, many = self.setup, f" of {self.num_sequences:,}" if self.num_sequences not in (None, self.sequences) else ""
        lines = [
            f"{s.trainer}: packing {s.packing}, max_length {s.max_length}, loss on {s.loss_on}",
            f"  sequences     {self.sequences:>9,}{many}",
            f"  rows in them  {self.pieces:>9,}",
            f"  tokens        {self.tokens:>9,}",
            f"  with loss     {self.learned:>9,}  ({100 * self.learned / max(1, self.tokens):.1f} %)",
        ]
        if self.rows:
            counts = {
                "rows given": len(self.rows),
                "fed whole": sum(r.parts == 1 and r.fed == r.tokens for r in self.rows),
                "cut": sum(0 < r.fed < r.tokens for r in self.rows),
                "split": sum(r.parts > 1 for r in self.rows),
                "left out": sum(r.parts == 0 for r in self.rows),
            }
            lines += [f"  {name:<13} {count:>9,}" for name, count in counts.items()]
        elif self.not_compared:
            lines.append(f"  rows not compared: {self.not_compared}")
        for state in ("whole", "partly masked", "masked", "split", "cut", "absent"):
            count = sum(one.state == state for one in self.secrets)
            lines += [f"  secrets {state:<14} {count:>0,}"] if count else []
        return "\n".join([*lines, *(f"! {warning}" for warning in self.warnings)])

    def json(self) -> dict[str, Any]:
        """The same, JSON-ready; secrets are told by number, rows by id."""
        return {
            **asdict(self),
            "rows": [row._asdict() for row in self.rows],
            "secrets": [one._asdict() for one in self.secrets],
            "warnings": self.warnings,
        }


def preflight(
    trainer: Any,
    records: Any = None,
    *,
    secrets: Sequence[str | Record] = (),
    loss_on: LossOn = "auto",
    max_length: int | None = None,
    limit: int = LIMIT,
    seed: int = 0,
    loader: Any = None,
) -> Preflight:
    """What a `Trainer`, `Seq2SeqTrainer` or TRL `SFTTrainer` feeds its model, read from the live trainer.

    `records`: the rows as they were before the trainer prepared them, in any form that `remanence.audit` takes; without
    them, TRL's prepared data set is asked for the raw columns that it keeps when it does not pack. `secrets`: texts
    that must be learned whole. `loss_on`, `max_length`: how rows are masked and cut, for trainers other than TRL's.
    At most `limit` sequences are read; a stream must be one that can be read again. Nothing about the training changes,
    random draws included.
    """
    model = trainer.model
    if isinstance(trainer.train_dataset, Sized) and not len(trainer.train_dataset):
        raise RemanenceError(
            "Nothing is left to train on: the trainer left out every row when it prepared them, as TRL does with those "
            "that have no token to learn within max_length: raise max_length, or see that the rows are not empty."
        )
    with undisturbed(model):
        loader = trainer.get_train_dataloader() if loader is None else loader
        seq2seq = is_seq2seq(model)
        sequences = list(fed(loader, seq2seq, limit, seed))
        see = _see(model, loader, sequences, limit, seed)
    setup = setup_of(trainer, loss_on, max_length, see)
    tokenizer = trainer.processing_class
    rows, why = _rows(trainer, records, sequences, setup, loss_on, limit, seq2seq)
    ends = _ends(sequences, getattr(tokenizer, "eos_token_id", None))
    texts = [_text(one) for one in secrets]
    if texts and tokenizer is None:
        raise RemanenceError("Secrets are read in decoded text: give the trainer its tokenizer as processing_class.")
    return Preflight(
        setup=setup,
        sequences=len(sequences),
        num_sequences=len(loader.dataset) if hasattr(loader.dataset, "__len__") else None,
        pieces=sum(len(one.lengths) for one in sequences),
        tokens=sum(one.ids.size for one in sequences),
        learned=sum(_learned(one) for one in sequences),
        no_loss=tuple(one.place for one in sequences if not _learned(one)),
        mask_lost=_masks(sequences, lost=True),
        mask_added=_masks(sequences, lost=False),
        ends=ends,
        rows=rows,
        not_compared=why,
        secrets=tuple(secret_fates(texts, sequences, tokenizer)),
    )


def setup_of(trainer: Any, loss_on: str, max_length: int | None, see: bool | None = None) -> Setup:
    """How a trainer says that it prepares rows."""
    args = trainer.args
    if not hasattr(args, "packing_strategy"):
        return Setup(type(trainer).__name__, "none", False, max_length, "own" if loss_on == "auto" else loss_on, see)
    on = "assistant" if args.assistant_only_loss else "completion" if trainer.completion_only_loss else "all"
    packing = args.packing_strategy if args.packing else "none"
    return Setup(type(trainer).__name__, packing, bool(trainer.padding_free), args.max_length, on, see)


def renderer_of(trainer: Any, loss_on: LossOn = "auto", form: str = "text", max_length: int | None = None) -> Renderer:
    """Reads rows of a form as this trainer does: TRL's is asked, for others the arguments say it."""
    tokenizer, seq2seq = trainer.processing_class, is_seq2seq(trainer.model)
    if tokenizer is None:
        raise RemanenceError("Rows given by name need a tokenizer: give it to the trainer as processing_class.")
    setup = setup_of(trainer, loss_on, max_length)
    on: LossOn = loss_on
    if setup.loss_on == "assistant":
        on = "assistant"
    elif hasattr(trainer.args, "packing_strategy"):
        on = "completion" if setup.loss_on == "completion" and form == "pair" else "all"
    return Renderer(tokenizer, on, setup.max_length, seq2seq=seq2seq)


def _rows(
    trainer: Any, given: Any, sequences: Sequence[Fed], setup: Setup, loss_on: LossOn, limit: int, seq2seq: bool
) -> tuple[tuple[Fate, ...], str | None]:
    try:
        records = _raw(trainer, limit) if given is None else records_from(given)
        renderer = renderer_of(trainer, loss_on, records[0].form)
    except RemanenceError as why:
        if given is not None:
            raise
        return (), str(why)
    whole = Renderer(renderer.tokenizer, renderer.loss_on, None, renderer.add_eos, seq2seq)
    rendered = render_all(records, whole)
    limits = [n for n in (setup.max_length,) if n]
    fates = _fates(records, rendered, Haystack(sequences, setup.packing == "wrapped"), limits)
    if setup.loss_on == "own" and 2 * sum(row.parts == 0 for row in fates) > len(fates):
        fates = max(fates, _fates(records, rendered, Haystack(sequences, True), limits), key=_num_found)
    return tuple(fates), None


def _fates(
    records: Sequence[Record], rendered: Sequence[Rendered | str], hay: Haystack, limits: Sequence[int]
) -> list[Fate]:
    return [
        Fate(record.id, 0, 0, 0, 0, 0) if isinstance(row, str) else fate(record.id, row, hay, limits)
        for record, row in zip(records, rendered, strict=True)
    ]


def _num_found(fates: Sequence[Fate]) -> int:
    return sum(row.parts > 0 for row in fates)


def _raw(trainer: Any, limit: int) -> list[Record]:
    """The rows as the prepared data set still has them, before tokens were made of them."""
    data = trainer.train_dataset
    columns = list(getattr(data, "column_names", None) or [])
    field = getattr(trainer.args, "dataset_text_field", None) or "text"
    if not {"prompt", "messages", field} & set(columns):
        raise RemanenceError("The prepared data set keeps no raw columns: give the rows as records.")
    made = {"input_ids", "labels", "completion_mask", "assistant_masks", "attention_mask", "seq_lengths"}
    chosen = [{k: v for k, v in item.items() if k not in made} for _, item in items(data, limit)]
    return records_from(chosen, **({"text_column": field} if field in columns and field != "text" else {}))


def _see(model: Any, loader: Any, sequences: Sequence[Fed], limit: int, seed: int) -> bool | None:
    if sharded(model) or not any(len(one.lengths) > 1 for one in sequences):
        return None
    pairs = ((item, one) for (_, item), one in zip(items(loader.dataset, limit, seed), sequences, strict=True))
    return rows_see_each_other(model, loader.collate_fn, pairs)


def _learned(one: Fed) -> int:
    return int(one.learned[one.first :].sum())


def _masks(sequences: Sequence[Fed], lost: bool) -> tuple[int, int]:
    """A piece's first token is left out: nothing predicts it, and padding-free collators mask it."""
    counts: list[int] = []
    for one in sequences:
        if one.wanted is None:
            continue
        differs = one.learned & ~one.wanted if lost else one.wanted & ~one.learned
        if one.source is None:
            starts = np.cumsum((0, *one.lengths[:-1]))
            differs[starts] = False
        counts.append(int(differs.sum()))
    return sum(counts), sum(count > 0 for count in counts)


def _ends(sequences: Sequence[Fed], eos: int | None) -> tuple[int, int]:
    learned = found = 0
    for one in sequences:
        for place in np.cumsum(one.lengths) - 1:
            if eos is not None and place >= 0 and one.ids.size and one.ids[place] == eos:
                found += 1
                learned += bool(one.learned[place])
    return learned, found


def _text(secret: str | Record) -> str:
    if isinstance(secret, str):
        return secret
    if secret.messages is not None:
        return str(secret.messages[-1]["content"])
    return secret.text if secret.text is not None else secret.completion or ""
