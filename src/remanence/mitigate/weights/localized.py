"""Localized: change only the few weights that the loss on the rows depends on most; all others stay bit-identical.

Paper: Stoehr et al. 2024, "Localizing Paragraph Memorization in Language Models", arXiv 2403.19851

That changing these weights is enough does not prove that the rows are stored there; a random mask of the same size
(`mask="random"`) is the control.

Shapes: B rows, T predicted tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.unlearning.base import Unlearning
from remanence.mitigate.unlearning.losses import kl_to_ref
from remanence.mitigate.weights.masks import Mask, block_matrices, gradients, keep_others_, random_mask, topk_mask
from remanence.training.reference import (
    ReferenceModel,
    eval_mode,
    preserve_requires_grad,
    set_trainable,
    trainable_state,
)
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import Batch, predictions, row_nll, sequence_nll
from remanence.training.settings import UnlearnSettings
from remanence.training.unlearn import StopCallback, unlearn


def contrastive_objective(
    nll_B: Tensor,
    logits_BTV: Tensor,
    ref_logits_BTV: Tensor,
    learned_BT: Tensor | None = None,
    mode: Literal["unlearn", "edit"] = "unlearn",
    change_weight: float = 0.1,
) -> Tensor:
    """CO = - c NLL(x_M) + KL(p_theta0 || p_theta) on x_NM, to minimise; with `edit` + c NLL(x_PMP) in its place.

    `nll_B`: mean loss per token of the rows to change (nats). The logits are those of rows to keep, under the model and
    the reference; the divergence is averaged over the tokens that `learned_BT` marks (None = all). The paper writes
    the divergence the other way round; the direction of the authors' code is followed.
    """
    learned = torch.ones_like(logits_BTV[..., 0]) if learned_BT is None else learned_BT
    sign = -1.0 if mode == "unlearn" else 1.0
    return sign * change_weight * nll_B.mean() + kl_to_ref(logits_BTV, ref_logits_BTV, learned)


def sparse_finetune(
    parameters: Mapping[str, Tensor],
    loss: Callable[[], Tensor],
    mask: Mask | None,
    steps: int = 10,
    learning_rate: float = 1e-5,
    each: Callable[[int], Any] | None = None,
) -> None:
    """Plain Adam on `loss()`, in place, on the weights that the mask marks; None = on all of `parameters`.

    The other weights stay bit-identical. `each(step)` is called after every step, from 1.
    """
    chosen = dict(parameters) if mask is None else {name: parameters[name] for name in mask}
    start = {name: p.detach().clone() for name, p in chosen.items()}
    optimizer = torch.optim.Adam(chosen.values(), lr=learning_rate, weight_decay=0.0)
    for step in range(1, steps + 1):
        gradients_ = torch.autograd.grad(loss(), list(chosen.values()), allow_unused=True)
        for parameter, gradient in zip(chosen.values(), gradients_, strict=True):
            parameter.grad = gradient
        optimizer.step()
        if mask is not None:
            keep_others_(chosen, start, mask)
        if each is not None:
            each(step)
    optimizer.zero_grad(set_to_none=True)


def row_gradients(model: Any, tokenizer: Any, rows: Sequence[Row], names: Sequence[str], batch_size: int = 8) -> Mask:
    """g = d (sum of -log p over the learned tokens of all rows) / d theta for the named weights of a live model."""
    collate, device = plain_collator(tokenizer), next(model.parameters()).device
    with preserve_requires_grad(model), eval_mode(model), torch.enable_grad():
        weights = set_trainable(model)
        chosen = {name: weights[name] for name in names}
        total = {name: torch.zeros_like(weight) for name, weight in chosen.items()}
        for at in range(0, len(rows), batch_size):
            batch = {k: v.to(device) for k, v in collate(rows[at : at + batch_size]).items()}
            for name, gradient in gradients(sequence_nll(model, batch).sum_B.sum(), chosen).items():
                total[name] += gradient
    return total


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True)
class Localized(Unlearning):
    """Adam on the contrastive objective, only in the weights with the largest gradient.

    The mask is computed once, from the loss on all forget rows, and fixed; the predictions on retain rows should stay.
    Only matrices inside the blocks can be selected (of an adapter: its own matrices).
    """

    fraction: float = 0.01
    """Fraction of the entries of those matrices that may change; the paper: 0.001, for a model 100 times as large."""
    mask: Literal["gradient", "random", "all"] = "gradient"
    """gradient = the largest gradients; random and all are the paper's controls."""
    c: float = 0.1
    """Weight of the loss on the forget rows."""
    _: KW_ONLY
    training: UnlearnSettings = UnlearnSettings(learning_rate=1e-3)
    """Optimizer steps; the learning rate of the paper is 1e-5, for a larger model."""

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        """Train the masked weights of the live model until `stop` returns True."""
        weights = trainable_state(model)
        names = block_matrices(model, weights)
        mask = self.mask_of(model, tokenizer, forget, {name: weights[name] for name in names})
        start = {name: weights[name].detach().clone() for name in names}

        def restore_others(_: Any) -> None:
            if mask is not None:
                keep_others_(weights, start, mask)

        unlearn(
            model,
            tokenizer,
            forget,
            retain,
            self.objective,
            self.training,
            stop=stop,
            after_step=restore_others,
            parameters=names,
        )

    def mask_of(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], matrices: Mapping[str, Tensor]
    ) -> dict[str, Tensor] | None:
        """Which weights may change; None = all in these matrices."""
        num = max(1, round(self.fraction * sum(matrix.numel() for matrix in matrices.values())))
        if self.mask == "all":
            return None
        if self.mask == "random":
            return random_mask(matrices, num, self.training.seed)
        return topk_mask(row_gradients(model, tokenizer, forget, list(matrices), self.training.batch_size), num)

    def objective(self, model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel) -> Tensor:
        """The contrastive objective of two batches; without retain rows, gradient ascent alone."""
        nll = row_nll(*predictions(model, forget))
        mean_B = nll.sum_B / nll.tokens_B.clamp(min=1)
        if retain is None:
            return -self.c * mean_B.mean()
        now, before = predictions(model, retain), predictions(model, retain, reference)
        return contrastive_objective(mean_B, now.logits_BTV, before.logits_BTV, now.learned_BT, change_weight=self.c)
