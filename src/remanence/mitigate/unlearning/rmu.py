"""RMU: move the hidden states of the rows to one random point, so that later layers cannot use them.

Paper: Li et al. 2024, "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning", arXiv 2403.03218

Only three layers up to the chosen one are trained; the others stay bit-identical. On retain rows the hidden states are
kept where they were. The distance of the point (`c`) must be set relative to the norm of hidden states: far below it,
nothing happens. The paper fixes a layer and `c` for each of its models; here both are relative by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.unlearning.base import GradientUnlearning
from remanence.mitigate.unlearning.layers import block_pattern, hidden, num_blocks
from remanence.mitigate.unlearning.losses import embed_diff, rmu_loss
from remanence.training.reference import ReferenceModel
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import Batch
from remanence.training.unlearn import Objective, StopCallback, unlearn


def unit_vector(width: int, seed: int) -> Tensor:
    """[D] u: uniform entries from 0 to 1, scaled to length 1; the same for the same seed."""
    entries = torch.rand(width, generator=torch.Generator().manual_seed(seed))
    return entries / entries.norm()


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True, kw_only=True)
class RMU(GradientUnlearning):
    """gamma * mean (h - c u)^2 on forget rows + alpha * mean (h - h_ref)^2 on retain rows, h of one layer."""

    depth: float = 0.3
    """Position of the layer as a fraction of the model's depth; the paper uses the eighth of 32."""
    layer: int | None = None
    """Index of the layer, from 0. Default: by `depth`."""
    trained: int = 3
    """Number of layers that are trained, up to this one."""
    c_norms: float = 4.0
    """c in units of the mean norm of the layer's hidden states before unlearning."""
    c: float | None = None
    """c itself. Default: by `c_norms`."""
    alpha: float = 10.0
    """Weight of the loss on retain rows."""

    def layer_of(self, model: Any) -> int:
        """Index of the layer whose output is moved; of an encoder-decoder, one of the decoder's.

        Not the last of several by default, because a final norm would undo a change of scale.
        """
        last = num_blocks(model) - 1
        wanted = self.layer if self.layer is not None else round(self.depth * (last + 1)) - 1
        return max(0, min(wanted, last - 1 if self.layer is None else last))

    def control(self, model: Any, tokenizer: Any, forget: Sequence[Row]) -> Tensor:
        """[D] c u for this model before unlearning. Determined by model, rows and seed, so it need not be saved."""
        collate, layer, device = plain_collator(tokenizer), self.layer_of(model), next(model.parameters()).device
        size = self.training.batch_size
        states: list[Tensor] = []
        with torch.no_grad():
            for start in range(0, len(forget), size):
                batch = {k: v.to(device) for k, v in collate(forget[start : start + size]).items()}
                acts_BTD, mask_BT = hidden(model, batch, layer)
                states.append(acts_BTD[mask_BT])
        states_ND = torch.cat(states)
        c = self.c if self.c is not None else self.c_norms * float(states_ND.norm(dim=-1).mean())
        return c * unit_vector(states_ND.shape[-1], self.training.seed).to(device)

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        """As every method, but only the weights of the trained layers."""
        self.check(retain)
        layer = self.layer_of(model)
        pattern = block_pattern(model, range(max(0, layer + 1 - self.trained), layer + 1))
        objective = self.objective_at(self.control(model, tokenizer, forget), layer)
        unlearn(model, tokenizer, forget, retain, objective, self.training, stop=stop, parameters=pattern)

    def objective_at(self, control_D: Tensor, layer: int) -> Objective:
        """The objective for this control vector at this layer."""

        def loss(model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel) -> Tensor:
            acts_BTD, mask_BT = hidden(model, forget, layer)
            forget_loss = self.gamma * rmu_loss(acts_BTD, control_D, mask_BT)
            if retain is None:
                return forget_loss
            kept_BTD, mask_BT = hidden(model, retain, layer)
            ref_BTD, _ = hidden(model, retain, layer, reference)
            return forget_loss + self.alpha * embed_diff(kept_BTD, ref_BTD, mask_BT)

        return loss
