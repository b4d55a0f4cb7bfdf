"""Check that a model with its adapter disabled equals the base model, by logits and, if they differ, by weight.

PEFT switches off what it added, and puts back what `modules_to_save` replaced. Biases trained in place
(`bias="all"`, `bias="lora_only"`) stay as they were trained, and so does whatever else was trained beside the adapter.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.core.table import Rendered

ROUNDING = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""How far logits may lie apart by rounding alone, by the weights' type; the audit's own bounds."""


class Apart(NamedTuple):
    """How far a model with its adapter off is from a base model."""

    logits: float
    """Largest difference of two logits over all rows (nats); the ids that both models know are compared."""
    row: int
    """The row where it was seen."""
    weights: list[str]
    """Weights that differ, by the base model's names."""


@contextmanager
def adapter_off(model: Any) -> Generator[None]:
    """While open, a `PeftModel` answers without its adapter, and PEFT's warning on trained biases is not shown."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Careful, disabling adapter layers")
        with model.disable_adapter():
            yield


def left_on(model: Any) -> list[str]:
    """Names of weights that are being trained and that switching the adapter off does not take back."""
    added = {
        id(weight)
        for module in model.modules()
        if hasattr(module, "adapter_layer_names") or hasattr(module, "original_module")
        for name, weight in module.named_parameters()
        if not name.startswith(("base_layer.", "original_module."))
    }
    return [name for name, weight in model.named_parameters() if weight.requires_grad and id(weight) not in added]


@torch.no_grad()
def apart(model: Any, base: Any, rows: Sequence[Rendered]) -> Apart:
    """Compare a `PeftModel` with its adapter off and a base model, both in eval mode, on rows of either family."""
    worst, place = 0.0, 0
    with adapter_off(model):
        for number, row in enumerate(rows):
            one, other = (_logits(each, row) for each in (model, base))
            width = min(one.shape[-1], other.shape[-1])
            far = float((one[..., :width].float().cpu() - other[..., :width].float().cpu()).abs().max())
            if not far <= worst:
                worst, place = far, number
    return Apart(worst, place, differing(model, base))


@torch.no_grad()
def differing(model: Any, base: Any) -> list[str]:
    """The base model's weights that have other values beneath the adapter; rows that were added do not count."""
    theirs = dict(base.named_parameters())
    found: list[str] = []
    for name, weight in model.named_parameters():
        plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", ".")
        other = theirs.get(plain)
        if other is not None and not _same(weight, other):
            found.append(plain)
    return found


def require_same_base(
    model: Any, base: Any, rows: Sequence[Rendered], *, name: str = "the base model", rounding: float | None = None
) -> Apart:
    """Raise `RemanenceError` unless `model`, with its adapter off, gives the logits of `base` on these rows.

    `rounding` is how far two logits may lie apart; default, by the type of the base model's weights.
    """
    found = apart(model, base, rows)
    allowed = ROUNDING.get(next(base.parameters()).dtype, 1e-3) if rounding is None else rounding
    if found.logits <= allowed:
        return found
    what = "no single weight of the same name differs, so the code or the tokens do"
    if found.weights:
        more = ", ..." if len(found.weights) > 1 else ""
        what = f"{len(found.weights)} of its weights differ ({found.weights[0]}{more})"
    raise RemanenceError(
        f"With its adapter switched off the model is not {name}: logits differ by up to {found.logits:.3g}, and "
        f"{what}{_why(model)}; open {name} itself and compare with that."
    )


def _why(model: Any) -> str:
    configs = list(getattr(model, "peft_config", {}).values())
    biases = sorted({str(c.bias) for c in configs if getattr(c, "bias", "none") != "none"})
    return f", because the adapter was trained with bias={biases[0]!r}, which stays on" if biases else ""


def _logits(model: Any, row: Rendered) -> Tensor:
    device = next(model.parameters()).device
    ids = torch.from_numpy(row.ids.astype("int64"))[None].to(device)
    if row.source is None:
        return model(input_ids=ids, use_cache=False).logits
    source = torch.from_numpy(row.source.astype("int64"))[None].to(device)
    return model(input_ids=source, decoder_input_ids=ids, use_cache=False).logits


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        if one.dim() != 2 or one.shape[1:] != other.shape[1:]:
            return False
        shared = min(len(one), len(other))  # tokens added in training make a table longer
        one, other = one[:shared], other[:shared]
    return torch.equal(one.to(other.dtype).cpu(), other.cpu())
