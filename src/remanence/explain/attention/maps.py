"""Where the model looks while it says one row: the attention map of one layer, one head or their mean, with its tokens.

Maps are drawn for chosen rows only; for all rows there is `capture.py`, which keeps none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.core.table import FloatsT, IntsT, Rendered
from remanence.explain.attention.listen import Kind, Layer, eager, listen
from remanence.models.huggingface import HuggingFace


@dataclass(frozen=True)
class AttentionMap:
    """The look of one row under one layer and head, or a mean of them."""

    weights: FloatsT
    """[Q, K] how much query position q looks at token k, as the model computed it; NaN where it may not look."""
    says: tuple[str, ...]
    """[Q] what each position is about to say; of an encoder, the token that stands there. Training text."""
    sees: tuple[str, ...]
    """[K] the tokens looked at. Training text."""
    learned: NDArray[np.bool_]
    """[Q] True where the token that is said carries loss."""
    kind: Kind
    layer: int | None
    """None = mean over all layers of the kind."""
    head: int | None
    """None = mean over all heads."""


def attention_map(
    target: HuggingFace, row: Rendered, kind: Kind | None = None, layer: int | None = None, head: int | None = None
) -> AttentionMap:
    """The map of one row: of `kind` (None = self for a decoder-only model, cross for an encoder-decoder).

    Layer and head count from 0, or from the end when negative. Raises `RemanenceError` for a layer or head that is not.
    """
    return attention_maps(target, row, [(kind, layer, head)])[0]


def attention_maps(
    target: HuggingFace, row: Rendered, wanted: Sequence[tuple[Kind | None, int | None, int | None]]
) -> list[AttentionMap]:
    """Several maps (kind, layer, head) of one row from one pass; of the other heads nothing is held."""
    usual: Kind = "self" if row.source is None else "cross"
    asked: list[tuple[Kind, int | None, int | None]] = [(kind or usual, layer, head) for kind, layer, head in wanted]
    held: dict[tuple[Kind, int | None], list[FloatsT]] = {}
    heads: dict[Kind, int] = {}

    def receive(at: Layer, weights: Tensor, visible: Tensor) -> None:
        seen = visible[0].expand(weights.shape[1:])
        maps: FloatsT = weights[0].float().masked_fill(~seen, torch.nan).cpu().numpy()
        heads[at.kind] = len(maps)
        for head in {head for kind, _, head in asked if kind == at.kind}:
            if at.depth == 0:  # a row of a few tokens is read twice: its first reading is a trial of the model
                held[at.kind, head] = []
            held[at.kind, head].append(maps.mean(0) if head is None else _at(maps, head, "heads"))

    with eager(target.module):
        listen(target, [row], ("logprob",), receive)
    found: list[AttentionMap] = []
    for kind, layer, head in asked:
        if kind not in heads:
            raise RemanenceError(f"{target.name} has no {kind} attention: it has {', '.join(heads)}.")
        layers = np.stack(held[kind, head])
        if head is not None:
            head %= heads[kind]
        weights = layers.mean(0) if layer is None else _at(layers, layer, f"{kind} layers")
        found.append(_named(target, row, kind, None if layer is None else layer % len(layers), head, weights))
    return found


def _at(maps: FloatsT, place: int, what: str) -> FloatsT:
    if not -len(maps) <= place < len(maps):
        raise RemanenceError(f"The model has {len(maps)} {what}, counted from 0: there is none with number {place}.")
    return maps[place]


def _named(
    target: HuggingFace, row: Rendered, kind: Kind, layer: int | None, head: int | None, weights: FloatsT
) -> AttentionMap:
    """The map with its tokens. A decoder-only model's position q says token q + 1, so its last position is left out."""
    ids, source = row.ids, row.source if row.source is not None else row.ids
    if kind == "self":
        weights, says, sees, learned = weights[:-1, :-1], ids[1:], ids[:-1], row.supervised[1:]
    elif kind == "encoder":
        says, sees, learned = source, source, np.zeros(source.size, bool)
    else:
        says, learned = ids, row.supervised
        sees = source if kind == "cross" else ids[:-1]
    shown = _tokens(target, sees)
    if kind == "decoder":
        shown = ("(start)", *shown)
    return AttentionMap(weights.astype(np.float32), _tokens(target, says), shown, learned, kind, layer, head)


def _tokens(target: HuggingFace, ids: IntsT) -> tuple[str, ...]:
    """The text of each token by itself; a part of a character is a replacement mark."""
    tokenizer: Any = target.tokenizer
    return tuple(str(tokenizer.decode([int(i)], clean_up_tokenization_spaces=False)) for i in ids)
