"""What a live trainer feeds its model: its prepared data set, sequence by sequence, through its own collator.

TRL tokenizes, masks, cuts and packs when the trainer is made; the collator has the last word on what carries loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.table import BoolsT, IntsT, Rendered
from remanence.training.rows import NO_LOSS

LIMIT = 20_000
"""Sequences that are looked at, at most."""


@dataclass(frozen=True)
class Fed:
    """One sequence as the model gets it: a row, or a pack of rows."""

    place: int
    """In the prepared data set."""
    ids: IntsT
    """[T] what is read; for an encoder-decoder, what its decoder learns."""
    learned: BoolsT
    """[T] True where the collator leaves a loss."""
    lengths: tuple[int, ...]
    """Tokens of the rows in it, in order; one length where it is not a pack of known rows."""
    source: IntsT | None
    """[S] what an encoder reads."""
    wanted: BoolsT | None
    """[T] True where the data set itself asks for a loss; None where it does not say."""
    restarts: bool | None
    """Whether the position ids begin anew with every row in it; None where there are none."""

    @property
    def first(self) -> int:
        """Index of the first token that a model can predict."""
        return 0 if self.source is not None else 1

    def rendered(self) -> list[Rendered]:
        """The rows in it."""
        ends = np.cumsum(self.lengths)[:-1]
        parts = zip(np.split(self.ids, ends), np.split(self.learned, ends), strict=True)
        return [Rendered(ids, learned, self.source) for ids, learned in parts]


def fed(loader: Any, seq2seq: bool, limit: int = LIMIT, seed: int = 0) -> Iterator[Fed]:
    """The sequences of a trainer's data loader (`trainer.get_train_dataloader()`), each collated by itself.

    At most `limit` of them: drawn at random from a data set with a length, the first ones of a stream.
    """
    for place, item in items(loader.dataset, limit, seed):
        yield one_fed(place, item, loader.collate_fn([item]), seq2seq)


def items(dataset: Any, limit: int = LIMIT, seed: int = 0) -> Iterator[tuple[int, Any]]:
    """(place, item) of a data set, as `fed` chooses them."""
    if not hasattr(dataset, "__len__"):
        yield from zip(range(limit), dataset, strict=False)
        return
    places = range(len(dataset))
    if len(places) > limit:
        places = sorted(np.random.default_rng(seed).permutation(len(places))[:limit].tolist())
    for place in places:
        yield place, dataset[place]


def one_fed(place: int, item: Any, batch: Mapping[str, Any], seq2seq: bool) -> Fed:
    """A sequence, from its item in the data set and the batch that the collator makes of it alone."""
    if "labels" not in batch:
        raise RemanenceError(
            "The trainer's collator gives no labels, so what is learned cannot be told: pre-flight reads causal and "
            "encoder-decoder language models."
        )
    labels = _line(batch["labels"])
    read = _line(batch["input_ids"])
    if "attention_mask" in batch and batch["attention_mask"].dim() == 2:
        read = read[_line(batch["attention_mask"]) > 0]
    if seq2seq:
        labels = labels[: _end(labels)]
        ids = np.where(labels == NO_LOSS, 0, labels).astype(np.int32)
        return Fed(place, ids, labels != NO_LOSS, (labels.size,), read.astype(np.int32), _wanted(item, labels), None)
    given = len(item["input_ids"]) if isinstance(item, Mapping) and "input_ids" in item else read.size
    read = read[:given]
    mask = _line(batch["attention_mask"]) > 0 if "attention_mask" in batch and _flat(batch) else None
    labels = (labels if mask is None else labels[mask])[: read.size]
    lengths = _lengths(item, read.size)
    return Fed(
        place,
        read.astype(np.int32),
        labels != NO_LOSS,
        lengths,
        None,
        _wanted(item, labels),
        _restarts(batch, lengths),
    )


def _flat(batch: Mapping[str, Any]) -> bool:
    return batch["attention_mask"].dim() == 2 and batch["attention_mask"].shape == batch["labels"].shape


def _line(tensor: Any) -> np.ndarray[Any, Any]:
    return tensor.reshape(-1).cpu().numpy()


def _end(labels: np.ndarray[Any, Any]) -> int:
    kept = np.flatnonzero(labels != NO_LOSS)
    return int(kept[-1]) + 1 if kept.size else 0


def _lengths(item: Any, size: int) -> tuple[int, ...]:
    found: Sequence[int] | None = item.get("seq_lengths") if isinstance(item, Mapping) else None
    return tuple(int(n) for n in found) if found is not None and len(found) and sum(found) == size else (size,)


def _wanted(item: Any, labels: np.ndarray[Any, Any]) -> BoolsT | None:
    """Where the item asks for a loss: its labels, or else all the masks it carries."""
    if not isinstance(item, Mapping):
        return None
    if item.get("labels") is not None and len(item["labels"]) >= labels.size:
        return np.asarray(item["labels"])[: labels.size] != NO_LOSS
    masks = [item[name] for name in ("completion_mask", "assistant_masks") if item.get(name) is not None]
    masks = [np.asarray(mask)[: labels.size] > 0 for mask in masks if len(mask) >= labels.size]
    return np.logical_and.reduce(masks) if masks else None


def _restarts(batch: Mapping[str, Any], lengths: tuple[int, ...]) -> bool | None:
    if "position_ids" not in batch:
        return None
    positions = _line(batch["position_ids"])[: sum(lengths)]
    return bool(np.array_equal(positions, np.concatenate([np.arange(n) for n in lengths])))
