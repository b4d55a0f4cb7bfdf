"""DP-SGD: clip what each row may teach and add noise, so that the model hardly depends on any single row.

Paper: Abadi et al. 2016, "Deep Learning with Differential Privacy", arXiv 1607.00133

With an adapter (`lora_rank`) as in Yu et al. 2021, arXiv 2110.06500. It protects the row: a text that stands m times
has m times the epsilon, so deduplicate first. Expect to need larger batches, more epochs and a rate several times as
high as without noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import TrainingArguments

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.core.verbs import Mitigation
from remanence.models.load import Loaded
from remanence.models.render import LossOn
from remanence.training.from_base import finetune_from_base, settings_of, training_records, training_rows, with_lora
from remanence.training.prepare import Prepared
from remanence.training.private import DPConfig, PrivateTrainer, Spent, plan, privacy_statement, require_opacus
from remanence.training.rows import plain_collator
from remanence.training.settings import FinetuneSettings
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


@dataclass(frozen=True)
class DPSGD(Mitigation):
    """DP-SGD as a mitigation: fine-tune the base model once more, with noise. Needs opacus (`remanence[dp]`).

    The optimizer is AdamW without decay on the noised gradients (DP-Adam), its rate falling to zero.
    """

    target_epsilon: float = 8.0
    """What the training gives away at most; the noise follows from it."""
    target_delta: float | None = None
    """Chance that more is given away; None = 1 / number of rows."""
    max_grad_norm: float = 1.0
    """C: length to which each row's gradient is cut, over all trained weights together."""
    noise_multiplier: float | None = None
    """sigma: noise in units of C, in place of `target_epsilon`."""
    noise_seed: int | None = None
    """Repeats batches and noise, for tests: whoever knows it can take the noise off again. None = a secret one."""
    epochs: float = 10
    learning_rate: float = 3e-3
    batch_size: int = 64
    """Expected number of rows in a step."""
    physical_batch_size: int = 16
    """Rows in a forward pass: a matter of memory only."""
    max_length: int = 512
    loss_on: LossOn = "auto"
    seed: int = 0
    """Of a fresh adapter and of dropout."""
    lora_rank: int | None = None
    """Train a fresh LoRA adapter of this rank and nothing else; None = all weights."""
    out: str | None = None
    """Folder for the trained model; None keeps it in memory only."""

    needs: ClassVar[tuple[str, ...]] = ("base",)

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records, and stays as it is."""
        require_opacus()
        return finetune_from_base(target, records, "dp_sgd", self.settings, out=self.out, train=partial(_train, self))

    def privacy(self, target: Opens, records: Sequence[Record]) -> Spent:
        """What training on these records gives away, known beforehand; `promise` puts it in words."""
        rows = training_rows(target, training_records(records), self.settings)
        return plan(self.config, len(rows), self.batch_size, self.epochs)

    def promise(self, target: Opens, records: Sequence[Record]) -> str:
        """The same in words, with the conditions on which it holds."""
        trained = training_records(records)
        copies = max(Counter(record.plain for record in trained).values(), default=1)
        return privacy_statement(self.privacy(target, records), copies)

    @property
    def config(self) -> DPConfig:
        """The same for a `PrivateTrainer` of your own."""
        return DPConfig(
            self.target_epsilon, self.target_delta, self.max_grad_norm, self.noise_multiplier, self.noise_seed
        )

    @property
    def settings(self) -> FinetuneSettings:
        return settings_of(self)


def _train(method: DPSGD, loaded: Loaded, rows: Prepared, settings: FinetuneSettings, scratch: Path) -> Any:
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
