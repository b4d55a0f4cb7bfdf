"""AttentionRecorder: pass the attention weights of every layer to a callback during a forward pass, then free them.

Forward hooks on the model's attention modules (modules whose class name contains "attention" and that contain no other
such module) read the weights in the same pass that fills the token table. The hook removes the weights from the
module's output, so they are freed before the next layer runs.

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
    "self": "self-attention of a decoder-only model",
    "encoder": "self-attention of the encoder",
    "decoder": "causal self-attention of the decoder",
    "cross": "cross-attention from the decoder to the source",
}
_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_CROSS = re.compile(r"cross|encdec|encoder_att", re.IGNORECASE)


class Layer(NamedTuple):
    """An attention layer."""

    kind: Kind
    depth: int
    """Its position among the layers of its kind, from 0."""
    name: str
    """The path of its module in the model."""


LayerCallback: TypeAlias = Callable[[Layer, Tensor, Tensor], None]
"""Called with a layer, its weights [B, H, Q, K], and visible [B or 1, H or 1, Q, K]: True if the query may attend to
the key."""


def record_attention(
    target: HuggingFace, rows: Sequence[Rendered], columns: Sequence[str], on_layer: LayerCallback
) -> list[TokenRow]:
    """Run one forward pass over the rows as one batch and call `on_layer` for every attention layer.

    The rows are sorted by length, longest first, and fit into the target's `batch_tokens`. Returns the token rows of
    the same pass. The model must use eager attention, see `eager`. Raises `RemanenceError` if no layer returns weights.
    """
    recorder = AttentionRecorder(target, rows, on_layer)
    with recorder.attached():
        token_rows = list(target.score_rendered(rows, columns))
    assert recorder.found_batch, "the rows were processed in another order, or as several batches"
    if not recorder.num_layers:
        raise RemanenceError(
            f"{target.name} returns no attention weights: load it with attn_implementation='eager'; a model without "
            "attention layers cannot be measured this way."
        )
    return [row for row in token_rows if isinstance(row, TokenRow)]


@contextlib.contextmanager
def eager(module: nn.Module) -> Generator[str | None]:
    """Context manager that switches the model to eager attention, because fused kernels do not compute the weights.

    Yields a sentence that reports the change, or None if the model already used eager attention. The original
    implementation is restored at the end.
    """
    before = [(config, config._attn_implementation_internal) for config in _configs(module)]
    fused = sorted({str(kind) for _, kind in before if kind not in {None, "eager"}})
    note = f"eager attention was used; the model's own implementation ({', '.join(fused)}) returns no weights"
    try:
        for config, _ in before:
            config._attn_implementation_internal = "eager"
        yield note if fused else None
    finally:
        for config, kind in before:
            config._attn_implementation_internal = kind


def _configs(module: nn.Module) -> list[Any]:
    """The configurations of a model and of its submodels, without repeats."""
    configs: dict[int, Any] = {}
    queue: list[Any] = [getattr(part, "config", None) for part in module.modules()]
    while queue:
        config = queue.pop()
        if hasattr(config, "_attn_implementation_internal") and id(config) not in configs:
            configs[id(config)] = config
            queue += [getattr(config, name, None) for name in getattr(config, "sub_configs", ())]
    return list(configs.values())


class AttentionRecorder:
    """Forward hooks for one batch. Forward passes over other inputs (a trial on a few tokens) are ignored."""

    def __init__(self, target: HuggingFace, rows: Sequence[Rendered], on_layer: LayerCallback) -> None:
        self.module: Any = target.module
        self.on_layer = on_layer
        self.num_layers: dict[Kind, int] = {}
        self.found_batch = self.recording = False
        self.ids, mask = pad([row.ids for row in rows], 0, side="right")
        self.real = mask.bool()
        width = self.ids.shape[1]
        causal = torch.ones(width, width, dtype=torch.bool).tril()
        device = target.device
        self.visible: dict[Kind, Tensor]
        if target.family == "causal":
            self.source = None
            self.visible = {"self": (causal & self.real[:, None, None, :]).to(device)}
        else:
            self.source, source_mask = pad([row.source for row in rows if row.source is not None], 0, side="right")
            keys = source_mask.bool()[:, None, None, :].to(device)
            num_source = self.source.shape[1]
            self.visible = {
                "encoder": keys.expand(-1, -1, num_source, -1),
                "decoder": causal[None, None].to(device),
                "cross": keys.expand(-1, -1, width, -1),
            }
            self.encoder = set(map(id, self.module.get_encoder().modules()))

    @contextlib.contextmanager
    def attached(self) -> Generator[None]:
        handles = [self.module.register_forward_pre_hook(self._before_forward, with_kwargs=True)]
        try:
            for name, part in innermost(self.module):
                handles.append(part.register_forward_hook(self._hook(name), with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Record only if the input is this batch."""
        ids = kwargs["input_ids"].cpu()
        if self.source is None:
            self.recording = ids.shape == self.ids.shape and bool(((ids == self.ids) | ~self.real).all())
        else:
            decoder_ids = kwargs["decoder_input_ids"]
            self.recording = ids.shape == self.source.shape and decoder_ids.shape == self.ids.shape
        self.found_batch |= self.recording
        self.num_layers = {}

    def _hook(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
            if not self.recording or not isinstance(output, tuple):
                return None
            kind = self._kind(module, name, kwargs)
            visible = self.visible[kind]
            index = _weights_index(output, visible)
            if index is None:
                return None
            layer = Layer(kind, self.num_layers.get(kind, 0), name)
            self.num_layers[kind] = layer.depth + 1
            weights: Tensor = output[index]
            self.on_layer(layer, weights, _with_model_masks(visible.to(weights.device), module, kwargs))
            return (*output[:index], None, *output[index + 1 :])

        return hook

    def _kind(self, module: nn.Module, name: str, kwargs: dict[str, Any]) -> Kind:
        if self.source is None:
            return "self"
        if id(module) in self.encoder:
            return "encoder"
        states = kwargs.get("key_value_states"), kwargs.get("encoder_hidden_states")
        is_cross = any(state is not None for state in states) or _CROSS.search(name.rpartition(".")[2])
        return "cross" if is_cross else "decoder"


def innermost(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The attention modules with their paths: class name contains "attention", and no such module inside."""
    named = [(name, part) for name, part in module.named_modules() if _ATTENTION.search(type(part).__name__)]
    return [(name, part) for name, part in named if not any(other.startswith(f"{name}.") for other, _ in named)]


def _weights_index(output: tuple[Any, ...], visible: Tensor) -> int | None:
    """Index of the weights [B, H, Q, K] in a module's output: the last item of that shape (T5 has a bias before it)."""
    num_rows, num_queries, num_keys = visible.shape[0], visible.shape[2], visible.shape[3]
    for index in reversed(range(len(output))):
        part = output[index]
        if isinstance(part, Tensor) and part.ndim == 4 and part.shape[2:] == (num_queries, num_keys):
            assert num_rows in (1, part.shape[0])
            return index
    return None


def _with_model_masks(visible: Tensor, module: nn.Module, kwargs: dict[str, Any]) -> Tensor:
    """Remove the keys that the model's own masks hide: a sliding window, or the local layers of GPT-Neo."""
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
