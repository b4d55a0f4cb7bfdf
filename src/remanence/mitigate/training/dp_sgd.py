"""DP-SGD: clip the gradient of each row and add noise, so that the model hardly depends on any single row.

Paper: Abadi et al. 2016, "Deep Learning with Differential Privacy", arXiv 1607.00133

With an adapter (`lora_rank`) as in Yu et al. 2021, arXiv 2110.06500. The unit of privacy is the row: a text that
occurs m times has m times the epsilon, so deduplicate first. Expect to need larger batches, more epochs and a learning
rate several times as high as without noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainingArguments

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.training.base import TrainedFromBase
from remanence.models.load import Loaded
from remanence.training.from_base import finetune_from_base, training_records, training_rows, with_lora
from remanence.training.prepare import Prepared
from remanence.training.private import DPConfig, PrivateTrainer, Spent, plan, privacy_statement, require_opacus
from remanence.training.rows import plain_collator
from remanence.training.settings import TrainingSettings
from remanence.training.trainers import trainer_arguments


def private_gradient(
    g_BP: Tensor, C: float, sigma: float, expected_batch: float, generator: torch.Generator | None = None
) -> Tensor:
    """G [P] = (sum_i g_i min(1, C / |g_i|) + N(0, sigma^2 C^2)) / expected batch size (algorithm 1 of the paper).

    `g_BP` [B, P] holds the gradient of every row over all trained weights; B may be 0. The divisor is the expected
    batch size, because the real one would give away who was in the batch.
    """
    clipped = g_BP * (C / g_BP.norm(dim=1).clamp(min=1e-12)).clamp(max=1)[:, None]
    noise = torch.randn(g_BP.shape[1], generator=generator, dtype=g_BP.dtype) * (sigma * C) if sigma else 0.0
    return (clipped.sum(0) + noise) / expected_batch


@accepts_old_keywords()
@dataclass(frozen=True)
class DPSGD(TrainedFromBase):
    """Fine-tune the base model with differential privacy. Needs opacus (`remanence[dp]`).

    The optimizer is AdamW without weight decay on the noised gradients (DP-Adam); its rate decreases to zero.
    """

    target_epsilon: float = 8.0
    """Privacy budget epsilon at the end of training; it determines the noise."""
    target_delta: float | None = None
    """Privacy parameter delta. Default: 1 / number of rows."""
    max_grad_norm: float = 1.0
    """C: norm to which the gradient of each row is clipped, over all trained weights together."""
    noise_multiplier: float | None = None
    """sigma: standard deviation of the noise in units of C, in place of `target_epsilon`."""
    noise_seed: int | None = None
    """Seed of batches and noise, for tests: whoever knows it can remove the noise. Default: a secret one."""
    physical_batch_size: int = 16
    """Number of rows per forward pass; affects only memory."""
    _: KW_ONLY
    training: TrainingSettings = TrainingSettings(epochs=10, learning_rate=3e-3, batch_size=64)
    """Training parameters; `batch_size` is the expected number of rows per step."""

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records; it is not changed."""
        require_opacus()
        return finetune_from_base(target, records, "dp_sgd", self.training, out=self.out, train=partial(_train, self))

    def privacy(self, target: Opens, records: Sequence[Record]) -> Spent:
        """The privacy cost of training on these records, known in advance; `promise` states it in words."""
        rows = training_rows(target, training_records(records), self.training)
        return plan(self.config, len(rows), self.training.batch_size, self.training.epochs)

    def promise(self, target: Opens, records: Sequence[Record]) -> str:
        """The same in words, with its conditions."""
        trained = training_records(records)
        copies = max(Counter(record.plain for record in trained).values(), default=1)
        return privacy_statement(self.privacy(target, records), copies)

    @property
    def config(self) -> DPConfig:
        """The same for your own `PrivateTrainer`."""
        return DPConfig(
            self.target_epsilon, self.target_delta, self.max_grad_norm, self.noise_multiplier, self.noise_seed
        )


def _train(method: DPSGD, loaded: Loaded, rows: Prepared, settings: TrainingSettings, scratch: Path) -> Any:
    torch.manual_seed(settings.seed)
    loaded = with_lora(loaded, settings)
    trainer = PrivateTrainer(
        loaded.model,
        TrainingArguments(**trainer_arguments(settings, scratch)),
        rows.rows,
        plain_collator(loaded.tokenizer),
        method.config,
        method.physical_batch_size,
    )
    trainer.train()
    return loaded.model.eval()
