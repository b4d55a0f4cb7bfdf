"""The layers (blocks) of a language model of any family: their number, the names of their weights, their outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from remanence.core.errors import RemanenceError
from remanence.training.reference import ReferenceModel
from remanence.training.rows import NO_LOSS
from remanence.training.sequences import Batch, inputs_of, is_seq2seq, unwrapped


def blocks(model: Any) -> tuple[str, nn.ModuleList]:
    """Name and list of a model's layers: the first list of as many modules as its config has layers.

    Of an encoder-decoder, the decoder's. Raises `RemanenceError` where there is none.
    """
    live = unwrapped(model)
    config = live.config.get_text_config()
    counts = {getattr(config, key, None) for key in ("num_hidden_layers", "num_decoder_layers", "decoder_layers")}
    for name, module in live.named_modules():
        in_decoder = not is_seq2seq(live) or "decoder" in name.split(".")
        if isinstance(module, nn.ModuleList) and len(module) in counts and in_decoder:
            return name, module
    raise RemanenceError("The layers of the model cannot be found: use a method that trains the whole model.")


def num_blocks(model: Any) -> int:
    """How many layers the model (or its decoder) has."""
    return len(blocks(model)[1])


def block_pattern(model: Any, which: Iterable[int]) -> str:
    """A regular expression that finds the names of the weights in these layers, also of an adapter."""
    return rf"^{re.escape(blocks(model)[0])}\.({'|'.join(map(str, which))})\."


def hidden(model: Any, batch: Batch, layer: int, reference: ReferenceModel | None = None) -> tuple[Tensor, Tensor]:
    """([B, T, D] output of a layer, from 0; [B, T] positions from which a token that carries loss is predicted).

    With `reference`, the output before training.
    """
    caught: list[Any] = []
    hook = blocks(model)[1][layer].register_forward_hook(lambda module, given, output: caught.append(output))
    try:
        inputs = inputs_of(model, batch)
        _ = model(**inputs) if reference is None else reference(model, **inputs)
    finally:
        hook.remove()
    acts_BTD: Tensor = caught[0][0] if isinstance(caught[0], tuple) else caught[0]
    learned_BT = batch["labels"] != NO_LOSS
    return (acts_BTD, learned_BT) if is_seq2seq(model) else (acts_BTD[:, :-1], learned_BT[:, 1:])
