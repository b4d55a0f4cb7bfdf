"""The token sequences that a live trainer passes to its model: its prepared dataset, through its own collator.

TRL tokenizes, masks, truncates and packs when the trainer is created; the collator then sets the final loss mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from remanence.core.errors import RemanenceError
from remanence.core.table import BoolsT, IntsT, Rendered
from remanence.training.rows import NO_LOSS

MAX_SEQUENCES = 20_000
"""Maximum number of sequences that are read."""
LOGIT_TOLERANCE = 1e-3
"""Largest difference of logits (nats), as a fraction of their standard deviation, that counts as rounding."""


@dataclass(frozen=True)
class CollatedSequence:
    """One sequence as the model receives it: a row, or a pack of rows."""

    place: int
    """Index in the prepared dataset."""
    ids: IntsT
    """[T] token ids of the input; for an encoder-decoder, of the decoder's targets."""
    learned: BoolsT
    """[T] True where the collator leaves a loss."""
    lengths: tuple[int, ...]
    """Number of tokens of each row in it, in order; one number where the row boundaries are not known."""
    source: IntsT | None
    """[S] encoder input of an encoder-decoder."""
    requested: BoolsT | None
    """[T] True where the dataset itself asks for a loss; None where it has no mask."""
    positions_restart: bool | None
    """Whether the position ids restart at 0 with every row; None where there are no position ids."""

    @property
    def first(self) -> int:
        """Index of the first token that a model can predict."""
        return 0 if self.source is not None else 1

    @property
    def predicted(self) -> BoolsT:
        """[T] True where a token carries loss and can be predicted."""
        mask = self.learned.copy()
        mask[: self.first] = False
        return mask

    def rendered(self) -> list[Rendered]:
        """The rows in it."""
        ends = np.cumsum(self.lengths)[:-1]
        parts = zip(np.split(self.ids, ends), np.split(self.learned, ends), strict=True)
        return [Rendered(ids, learned, self.source) for ids, learned in parts]


def collated_sequences(
    loader: Any, seq2seq: bool, max_sequences: int = MAX_SEQUENCES, seed: int = 0
) -> Iterator[CollatedSequence]:
    """The sequences of a trainer's data loader (`trainer.get_train_dataloader()`), each collated alone.

    At most `max_sequences`: a random sample of a dataset with a length, the first ones of a stream.
    """
    for place, item in dataset_items(loader.dataset, max_sequences, seed):
        yield collated_sequence(place, item, loader.collate_fn([item]), seq2seq)


def dataset_items(dataset: Any, max_items: int = MAX_SEQUENCES, seed: int = 0) -> Iterator[tuple[int, Any]]:
    """(index, item) of a dataset, the same selection as `collated_sequences`."""
    if not hasattr(dataset, "__len__"):
        yield from zip(range(max_items), dataset, strict=False)
        return
    places = range(len(dataset))
    if len(places) > max_items:
        places = sorted(np.random.default_rng(seed).permutation(len(places))[:max_items].tolist())
    for place in places:
        yield place, dataset[place]


def collated_sequence(place: int, item: Any, batch: Mapping[str, Any], seq2seq: bool) -> CollatedSequence:
    """A sequence, from its item in the dataset and the batch that the collator makes of this item alone."""
    if "labels" not in batch:
        raise RemanenceError(
            "The trainer's collator returns no labels, so it is not known which tokens carry loss: the pre-flight "
            "check supports causal and encoder-decoder language models."
        )
    labels = _flat(batch["labels"])
    ids = _flat(batch["input_ids"])
    if "attention_mask" in batch and batch["attention_mask"].dim() == 2:
        ids = ids[_flat(batch["attention_mask"]) > 0]
    if seq2seq:
        labels = labels[: _end(labels)]
        targets = np.where(labels == NO_LOSS, 0, labels).astype(np.int32)
        source = ids.astype(np.int32)
        requested = _requested(item, labels)
        return CollatedSequence(place, targets, labels != NO_LOSS, (labels.size,), source, requested, None)
    num_tokens = len(item["input_ids"]) if isinstance(item, Mapping) and "input_ids" in item else ids.size
    ids = ids[:num_tokens]
    mask = _flat(batch["attention_mask"]) > 0 if _has_label_shaped_mask(batch) else None
    labels = (labels if mask is None else labels[mask])[: ids.size]
    lengths = _lengths(item, ids.size)
    return CollatedSequence(
        place,
        ids.astype(np.int32),
        labels != NO_LOSS,
        lengths,
        None,
        _requested(item, labels),
        _positions_restart(batch, lengths),
    )


@torch.no_grad()
def rows_attend_across(model: Any, collate: Any, items: Iterable[tuple[Any, CollatedSequence]]) -> bool | None:
    """Whether the second row of the first pack has other logits in the pack than alone.

    `items`: (item of the dataset, its sequence). None without a pack of several rows. Compute in float32 for a clear
    result; put the model into eval mode first.
    """
    pack = next(((item, seq) for item, seq in items if len(seq.lengths) > 1 and seq.lengths[1] > 1), None)
    if pack is None:
        return None
    item, sequence = pack
    device = next(model.parameters()).device
    batch = {k: v.to(device) if hasattr(v, "to") else v for k, v in collate([item]).items() if k != "labels"}
    start, size = sequence.lengths[0], sequence.lengths[1]
    in_pack = model(**batch, use_cache=False).logits[0, start : start + size].float()
    ids = torch.from_numpy(sequence.ids[start : start + size].astype(np.int64))[None].to(device)
    alone = model(input_ids=ids, use_cache=False).logits[0].float()
    tolerance = LOGIT_TOLERANCE if in_pack.dtype == next(model.parameters()).dtype else 50 * LOGIT_TOLERANCE
    return bool((in_pack - alone).abs().max() > tolerance * max(1.0, float(alone.std())))


def _has_label_shaped_mask(batch: Mapping[str, Any]) -> bool:
    mask = batch.get("attention_mask")
    return mask is not None and mask.dim() == 2 and mask.shape == batch["labels"].shape


def _flat(tensor: Any) -> np.ndarray[Any, Any]:
    return tensor.reshape(-1).cpu().numpy()


def _end(labels: np.ndarray[Any, Any]) -> int:
    """Number of labels up to the last one that carries loss."""
    kept = np.flatnonzero(labels != NO_LOSS)
    return int(kept[-1]) + 1 if kept.size else 0


def _lengths(item: Any, size: int) -> tuple[int, ...]:
    lengths: Sequence[int] | None = item.get("seq_lengths") if isinstance(item, Mapping) else None
    known = lengths is not None and len(lengths) and sum(lengths) == size
    return tuple(int(n) for n in lengths) if lengths is not None and known else (size,)


def _requested(item: Any, labels: np.ndarray[Any, Any]) -> BoolsT | None:
    """Where the item asks for a loss: its labels, or else the conjunction of its masks."""
    if not isinstance(item, Mapping):
        return None
    if item.get("labels") is not None and len(item["labels"]) >= labels.size:
        return np.asarray(item["labels"])[: labels.size] != NO_LOSS
    masks = [item[name] for name in ("completion_mask", "assistant_masks") if item.get(name) is not None]
    masks = [np.asarray(mask)[: labels.size] > 0 for mask in masks if len(mask) >= labels.size]
    return np.logical_and.reduce(masks) if masks else None


def _positions_restart(batch: Mapping[str, Any], lengths: tuple[int, ...]) -> bool | None:
    if "position_ids" not in batch:
        return None
    positions = _flat(batch["position_ids"])[: sum(lengths)]
    return bool(np.array_equal(positions, np.concatenate([np.arange(n) for n in lengths])))
