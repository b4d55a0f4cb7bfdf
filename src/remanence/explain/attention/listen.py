"""Listening to attention while a model reads a batch: every layer's weights are handed over, and then let go.

The hooks sit on the model's own attention modules (those whose class is named after attention and that hold no other),
so the pass is the one that fills the token table. A hook takes the weights out of the module's answer: before the next
layer runs, nothing holds them any more.

Shapes: B rows, H heads, Q query and K key positions of the padded batch.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from remanence.core.errors import RemanenceError
from remanence.core.table import Rendered, TokenRow
from remanence.models.huggingface import HuggingFace, pad

Kind: TypeAlias = Literal["self", "encoder", "decoder", "cross"]
KINDS: dict[Kind, str] = {
    "self": "a decoder-only model's look back over its own row",
    "encoder": "the encoder's look over the source",
    "decoder": "the decoder's look back over what it has said",
    "cross": "the decoder's look into the source",
}
_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_CROSS = re.compile(r"cross|encdec|encoder_att", re.IGNORECASE)


class Layer(NamedTuple):
    """Which layer speaks."""

    kind: Kind
    depth: int
    """Its place among the layers of its kind, from 0."""
    name: str
    """Its module's path in the model."""


Receive: TypeAlias = Callable[[Layer, Tensor, Tensor], None]
"""Takes a layer, its weights [B, H, Q, K], and visible [B or 1, H or 1, Q, K]: True where the query may see the key."""


def listen(target: HuggingFace, rows: Sequence[Rendered], columns: Sequence[str], receive: Receive) -> list[TokenRow]:
    """Reads the rows, longest first and within the target's `batch_tokens`, as one batch; `receive` gets every layer.

    Returns the token rows of that same pass. The model must compute attention plainly: see `eager`. Raises
    `RemanenceError` when no layer hands out its weights.
    """
    ear = _Ear(target, rows, receive)
    with ear.open():
        found = list(target.score_rendered(rows, columns))
    assert ear.met, "the rows were read in another order, or as several batches"
    if not ear.heard:
        raise RemanenceError(
            f"{target.name} hands out no attention weights: load it with attn_implementation='eager'; a model without "
            "attention layers cannot be measured this way."
        )
    return [row for row in found if isinstance(row, TokenRow)]


@contextlib.contextmanager
def eager(module: nn.Module) -> Generator[str | None]:
    """While open, attention is computed plainly, for fused kernels never form the weights; then all is as before.

    Gives a sentence that says what was switched, or None where nothing had to be.
    """
    before = [(config, config._attn_implementation_internal) for config in _configs(module)]
    fused = sorted({str(kind) for _, kind in before if kind not in {None, "eager"}})
    note = f"attention was computed plainly (eager); the model's own way ({', '.join(fused)}) gives no weights"
    try:
        for config, _ in before:
            config._attn_implementation_internal = "eager"
        yield note if fused else None
    finally:
        for config, kind in before:
            config._attn_implementation_internal = kind


def _configs(module: nn.Module) -> list[Any]:
    """The configurations of a model and of all models inside it, each once."""
    found: dict[int, Any] = {}
    queue: list[Any] = [getattr(part, "config", None) for part in module.modules()]
    while queue:
        config = queue.pop()
        if hasattr(config, "_attn_implementation_internal") and id(config) not in found:
            found[id(config)] = config
            queue += [getattr(config, name, None) for name in getattr(config, "sub_configs", ())]
    return list(found.values())


class _Ear:
    """The hooks of one batch. A pass over anything else (a trial on a few tokens) is not listened to."""

    def __init__(self, target: HuggingFace, rows: Sequence[Rendered], receive: Receive) -> None:
        self.module: Any = target.module
        self.receive = receive
        self.heard: dict[Kind, int] = {}
        self.met = self.listening = False
        self.ids, mask = pad([row.ids for row in rows], 0, side="right")
        self.real = mask.bool()
        width = self.ids.shape[1]
        back = torch.ones(width, width, dtype=torch.bool).tril()
        device = target.device
        self.visible: dict[Kind, Tensor]
        if target.family == "causal":
            self.source = None
            self.visible = {"self": (back & self.real[:, None, None, :]).to(device)}
        else:
            self.source, held = pad([row.source for row in rows if row.source is not None], 0, side="right")
            keys = held.bool()[:, None, None, :].to(device)
            num_source = self.source.shape[1]
            self.visible = {
                "encoder": keys.expand(-1, -1, num_source, -1),
                "decoder": back[None, None].to(device),
                "cross": keys.expand(-1, -1, width, -1),
            }
            self.encoder = set(map(id, self.module.get_encoder().modules()))

    @contextlib.contextmanager
    def open(self) -> Generator[None]:
        handles = [self.module.register_forward_pre_hook(self._begins, with_kwargs=True)]
        try:
            for name, part in innermost(self.module):
                handles.append(part.register_forward_hook(self._hook(name), with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _begins(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """The model starts to read: is it this batch?"""
        ids = kwargs["input_ids"].cpu()
        if self.source is None:
            self.listening = ids.shape == self.ids.shape and bool(((ids == self.ids) | ~self.real).all())
        else:
            said = kwargs["decoder_input_ids"]
            self.listening = ids.shape == self.source.shape and said.shape == self.ids.shape
        self.met |= self.listening
        self.heard = {}

    def _hook(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
            if not self.listening or not isinstance(output, tuple):
                return None
            kind = self._kind(module, name, kwargs)
            visible = self.visible[kind]
            place = _weights_place(output, visible)
            if place is None:
                return None
            layer = Layer(kind, self.heard.get(kind, 0), name)
            self.heard[kind] = layer.depth + 1
            weights: Tensor = output[place]
            self.receive(layer, weights, _narrowed(visible.to(weights.device), module, kwargs))
            return (*output[:place], None, *output[place + 1 :])

        return hook

    def _kind(self, module: nn.Module, name: str, kwargs: dict[str, Any]) -> Kind:
        if self.source is None:
            return "self"
        if id(module) in self.encoder:
            return "encoder"
        given = kwargs.get("key_value_states"), kwargs.get("encoder_hidden_states")
        looks_out = any(states is not None for states in given) or _CROSS.search(name.rpartition(".")[2])
        return "cross" if looks_out else "decoder"


def innermost(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The attention modules, by path: those whose class is named after attention and that hold none such."""
    named = [(name, part) for name, part in module.named_modules() if _ATTENTION.search(type(part).__name__)]
    return [(name, part) for name, part in named if not any(other.startswith(f"{name}.") for other, _ in named)]


def _weights_place(output: tuple[Any, ...], visible: Tensor) -> int | None:
    """Which part of a module's answer holds weights [B, H, Q, K]: the last of that shape (T5 gives a bias before)."""
    num_rows, num_queries, num_keys = visible.shape[0], visible.shape[2], visible.shape[3]
    for place in reversed(range(len(output))):
        part = output[place]
        if isinstance(part, Tensor) and part.ndim == 4 and part.shape[2:] == (num_queries, num_keys):
            assert num_rows in (1, part.shape[0])
            return place
    return None


def _narrowed(visible: Tensor, module: nn.Module, kwargs: dict[str, Any]) -> Tensor:
    """Less what the model's own masks hide: a sliding window, or the local layers of GPT-Neo."""
    masks = [kwargs.get("attention_mask"), kwargs.get("mask"), getattr(module, "bias", None)]
    num_queries, num_keys = visible.shape[2:]
    for mask in masks:
        if not isinstance(mask, Tensor) or mask.ndim != 4:
            continue
        part = mask[:, :, :num_queries, :num_keys]
        if part.is_floating_point():
            visible = visible & (part > torch.finfo(part.dtype).min / 2)
        elif part.dtype == torch.bool:
            visible = visible & part
    return visible
