"""Attention maps of single rows: the weights of one layer, one head or their mean, with the tokens.

Maps are for chosen rows; `capture.py` measures all rows and keeps no maps.
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
from remanence.explain.attention.recorder import Kind, Layer, eager, record_attention
from remanence.models.huggingface import HuggingFace


@dataclass(frozen=True)
class AttentionMap:
    """The attention map of one row for one layer and head, or a mean of them."""

    weights: FloatsT
    """[Q, K] attention weight of query position q on token k, as the model computed it; NaN if k is not visible."""
    says: tuple[str, ...]
    """[Q] the token that each position predicts; for an encoder the token at the position. Training text."""
    sees: tuple[str, ...]
    """[K] the tokens attended to. Training text."""
    learned: NDArray[np.bool_]
    """[Q] True if the predicted token has loss."""
    kind: Kind
    layer: int | None
    """None = mean over all layers of the kind."""
    head: int | None
    """None = mean over all heads."""


def attention_map(
    target: HuggingFace, row: Rendered, kind: Kind | None = None, layer: int | None = None, head: int | None = None
) -> AttentionMap:
    """The map of one row, of `kind` (None = self for a decoder-only model, cross for an encoder-decoder).

    Layer and head count from 0, or from the end if negative. Raises `RemanenceError` for one that does not exist.
    """
    return attention_maps(target, row, [(kind, layer, head)])[0]


def attention_maps(
    target: HuggingFace, row: Rendered, wanted: Sequence[tuple[Kind | None, int | None, int | None]]
) -> list[AttentionMap]:
    """Several maps (kind, layer, head) of one row from one pass; other heads are not kept."""
    default: Kind = "self" if row.source is None else "cross"
    requests: list[tuple[Kind, int | None, int | None]] = [
        (kind or default, layer, head) for kind, layer, head in wanted
    ]
    kept: dict[tuple[Kind, int | None], list[FloatsT]] = {}
    heads: dict[Kind, int] = {}

    def on_layer(layer: Layer, weights: Tensor, visible: Tensor) -> None:
        seen = visible[0].expand(weights.shape[1:])
        maps: FloatsT = weights[0].float().masked_fill(~seen, torch.nan).cpu().numpy()
        heads[layer.kind] = len(maps)
        for head in {head for kind, _, head in requests if kind == layer.kind}:
            if layer.depth == 0:  # a short row is processed twice, and its first pass is only a trial of the model
                kept[layer.kind, head] = []
            kept[layer.kind, head].append(maps.mean(0) if head is None else _at(maps, head, "heads"))

    with eager(target.module):
        record_attention(target, [row], ("logprob",), on_layer)
    result: list[AttentionMap] = []
    for kind, layer, head in requests:
        if kind not in heads:
            raise RemanenceError(f"{target.name} has no {kind} attention: it has {', '.join(heads)}.")
        layers = np.stack(kept[kind, head])
        if head is not None:
            head %= heads[kind]
        weights = layers.mean(0) if layer is None else _at(layers, layer, f"{kind} layers")
        result.append(_with_tokens(target, row, kind, None if layer is None else layer % len(layers), head, weights))
    return result


def _at(maps: FloatsT, place: int, what: str) -> FloatsT:
    if not -len(maps) <= place < len(maps):
        raise RemanenceError(f"The model has {len(maps)} {what}, counted from 0; {place} does not exist.")
    return maps[place]


def _with_tokens(
    target: HuggingFace, row: Rendered, kind: Kind, layer: int | None, head: int | None, weights: FloatsT
) -> AttentionMap:
    """The map with its tokens. Position q of a decoder-only model predicts token q + 1, so the last one is left out."""
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
    """The text of each token by itself; an incomplete character becomes a replacement character."""
    tokenizer: Any = target.tokenizer
    return tuple(str(tokenizer.decode([int(i)], clean_up_tokenization_spaces=False)) for i in ids)
