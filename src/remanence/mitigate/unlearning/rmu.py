"""RMU: lead the hidden states of the rows to one meaningless point, so that no later layer can make anything of them.

Paper: Li et al. 2024, "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning", arXiv 2403.03218

Only the layers up to the chosen one are trained, three of them; the others stay as they are to the last bit. On retain
rows the hidden states are held where they were. How far the point lies (`c`) must be told in hidden norms: far below
them nothing happens. The paper fixes a layer and `c` for each of its models; here both are shares by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.unlearning.apply import apply_unlearning
from remanence.mitigate.unlearning.layers import block_pattern, hidden, num_blocks
from remanence.mitigate.unlearning.losses import embed_diff, rmu_loss
from remanence.mitigate.unlearning.steps import Steps
from remanence.training.reference import ReferenceModel
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import Batch
from remanence.training.unlearn import Objective, StopCallback, unlearn


def unit_vector(width: int, seed: int) -> Tensor:
    """[D] u: uniform entries from 0 to 1, scaled to length 1; the same for the same seed."""
    entries = torch.rand(width, generator=torch.Generator().manual_seed(seed))
    return entries / entries.norm()


@dataclass(frozen=True, kw_only=True)
class RMU(Steps):
    """gamma * mean (h - c u)^2 on forget rows + alpha * mean (h - h_start)^2 on retain rows, h of one layer."""

    depth: float = 0.3
    """Which layer, as a share of the model's depth; the paper's is the eighth of 32."""
    layer: int | None = None
    """The layer itself, from 0; None = by `depth`."""
    trained: int = 3
    """How many layers up to it are trained."""
    c_norms: float = 4.0
    """c in units of the mean length of the start's hidden states there."""
    c: float | None = None
    """c itself; None = by `c_norms`."""
    alpha: float = 10.0

    needs: ClassVar[tuple[str, ...]] = ("retain",)

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target after the best of its steps; records of the group forget go, those of retain are held on to."""
        return apply_unlearning(target, records, self.optimize, "rmu", self.limit, needs=self.wants, seed=self.seed)

    def layer_of(self, model: Any) -> int:
        """The layer whose output is led away, from 0; of an encoder-decoder, one of the decoder's. Never the last of
        several, whose output a final norm would scale back."""
        last = num_blocks(model) - 1
        wanted = self.layer if self.layer is not None else round(self.depth * (last + 1)) - 1
        return max(0, min(wanted, last - 1 if self.layer is None else last))

    def control(self, model: Any, tokenizer: Any, forget: Sequence[Row]) -> Tensor:
        """[D] c u for this start model. The same model, rows and seed give the same vector, so it need not be saved."""
        collate, layer, device = plain_collator(tokenizer), self.layer_of(model), next(model.parameters()).device
        states: list[Tensor] = []
        with torch.no_grad():
            for at in range(0, len(forget), self.batch_size):
                batch = {k: v.to(device) for k, v in collate(forget[at : at + self.batch_size]).items()}
                acts_BTD, mask_BT = hidden(model, batch, layer)
                states.append(acts_BTD[mask_BT])
        states_ND = torch.cat(states)
        c = self.c if self.c is not None else self.c_norms * float(states_ND.norm(dim=-1).mean())
        return c * unit_vector(states_ND.shape[-1], self.seed).to(device)

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        """As every method, but of the weights only those of the trained layers."""
        self.check(retain)
        layer = self.layer_of(model)
        pattern = block_pattern(model, range(max(0, layer + 1 - self.trained), layer + 1))
        objective = self.leading_to(self.control(model, tokenizer, forget), layer)
        unlearn(model, tokenizer, forget, retain, objective, self.settings(model), stop=stop, parameters=pattern)

    def leading_to(self, control_D: Tensor, layer: int) -> Objective:
        """The objective for this control vector at this layer."""

        def loss(model: Any, forget: Batch, retain: Batch | None, start: ReferenceModel) -> Tensor:
            acts_BTD, mask_BT = hidden(model, forget, layer)
            away = self.gamma * rmu_loss(acts_BTD, control_D, mask_BT)
            if retain is None:
                return away
            kept_BTD, mask_BT = hidden(model, retain, layer)
            ref_BTD, _ = hidden(model, retain, layer, start)
            return away + self.alpha * embed_diff(kept_BTD, ref_BTD, mask_BT)

        return loss
